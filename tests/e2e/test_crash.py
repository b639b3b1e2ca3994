"""Whatever falls over, every mail arrives: power cuts, restarts, a mail server that is away."""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.mailservers import BlackHole, SmtpServer
from tests.e2e.sites import GUNICORN, Site, wait_for
from tests.e2e.visitor import Answer, Visitor, address_of

PEOPLE = [f"person-{number:02}" for number in range(20)]
ADDRESSES = {address_of(user_id) for user_id in PEOPLE}
SENDERS = 2 * 4  # workers × MAIL_THREADS: what can be in flight at one time

PENDING = "SELECT 1 FROM mail_mail WHERE state = 'pending'"
HELD = "SELECT 1 FROM mail_mail WHERE state = 'pending' AND attempts > 0"
TRIED = f"{HELD} AND NOT taken"
SENT = "SELECT 1 FROM mail_mail WHERE state = 'sent'"
A_LEASE = 62  # seconds, at the most: then the mail of a dead process is anybody's

NewSite = Callable[..., Site]


def register_everybody(site: Site) -> None:
    def register(user_id: str) -> Answer:
        return Visitor(site).register(user_id)

    with ThreadPoolExecutor(4) as visitors:
        answers = list(visitors.map(register, PEOPLE))
    assert {answer.path for answer in answers} == {"/users/register/success/"}


def letters_by_address(smtp: SmtpServer) -> Counter[str]:
    return Counter(letter.to for letter in smtp.letters)


def everybody_has_mail(smtp: SmtpServer) -> bool:
    return letters_by_address(smtp).keys() == ADDRESSES


def test_after_a_kill_9_every_mail_arrives(new_smtp_site: NewSite, smtp: SmtpServer) -> None:
    smtp.up().seconds_a_mail = 2
    site = new_smtp_site().start()
    register_everybody(site)
    wait_for(lambda: smtp.letters and smtp.receiving, 10, "some have been sent, some are being")
    site.kill()
    assert len(site.rows(PENDING)) > len(site.rows(HELD)) > 0, "killed in the middle of the work"
    wait_for(lambda: not smtp.receiving, 5, "the mail server has noticed")

    smtp.seconds_a_mail = 0
    Visitor(site.start()).get("/")
    wait_for(lambda: not site.rows(PENDING), A_LEASE + 15, "nothing waits any more")
    letters = letters_by_address(smtp)
    assert letters.keys() == ADDRESSES
    assert letters.total() - len(ADDRESSES) <= SENDERS, "twice only what was in flight"
    assert len({letter.message["Message-ID"] for letter in smtp.letters}) == len(ADDRESSES), (
        "a repetition can be told by its id"
    )


def test_sigterm_finishes_what_is_being_sent_and_leaves_the_rest(
    new_smtp_site: NewSite, smtp: SmtpServer
) -> None:
    smtp.up().seconds_a_mail = 2
    site = new_smtp_site().start()
    register_everybody(site)
    wait_for(lambda: smtp.receiving, 10, "some are being sent")
    seconds = site.terminate(within=20)
    assert seconds < 8, "a mail takes two seconds, and no second one was begun"
    assert len(smtp.letters) == len(site.rows(SENT)) < len(PEOPLE)
    assert site.rows(PENDING)
    assert not site.rows(HELD), "what was begun is finished, what was not is free"

    smtp.seconds_a_mail = 0
    Visitor(site.start()).get("/")
    wait_for(lambda: everybody_has_mail(smtp), 15, "the rest has arrived")
    assert set(letters_by_address(smtp).values()) == {1}, "nobody has two"


def test_nobody_waits_for_a_mail_server_that_is_away(
    new_smtp_site: NewSite, smtp: SmtpServer
) -> None:
    site = new_smtp_site(EMAIL_TIMEOUT=10).start()
    Visitor(site).get("/")  # a worker's first answer takes longer
    with BlackHole(smtp.port):
        for user_id in PEOPLE[:3]:
            begun = time.monotonic()
            answer = Visitor(site).register(user_id)
            assert answer.path == "/users/register/success/"
            assert time.monotonic() - begun < 5, "two pages and one hashed password"
        wait_for(lambda: len(site.rows(HELD)) == 3, 5, "the senders wait for the server")

    # It hangs up and is back at once; the first retry is 10 seconds later, give or take a quarter.
    smtp.up()
    for user_id in PEOPLE[:3]:
        smtp.wait(address_of(user_id), within=25)
    wait_for(lambda: len(site.rows(SENT)) == 3, 5, "the rows say so")
    assert len(smtp.letters) == 3


def test_a_kill_9_while_the_mail_server_is_down(new_smtp_site: NewSite, smtp: SmtpServer) -> None:
    site = new_smtp_site().start()
    register_everybody(site)
    wait_for(lambda: len(site.rows(TRIED)) == len(PEOPLE), 10, "each was tried once")
    site.kill()

    smtp.up()
    Visitor(site.start()).get("/")
    wait_for(lambda: everybody_has_mail(smtp), 30, "all are sent at their second attempt")
    assert set(letters_by_address(smtp).values()) == {1}, "nobody has two"


def test_a_dropped_connection_is_no_mail_lost(new_smtp_site: NewSite, smtp: SmtpServer) -> None:
    smtp.up()
    one_sender = (*GUNICORN, "--workers", "1")  # so that it is the one whose connection is dead
    site = new_smtp_site(one_sender, MAIL_THREADS=1).start()
    Visitor(site).register("before")
    smtp.wait("before@example.com")
    smtp.down()  # the connections that the senders keep open are dead now
    smtp.up()
    Visitor(site).register("after")
    Visitor(site).register("afterwards")
    smtp.wait("after@example.com", within=5)
    smtp.wait("afterwards@example.com", within=5)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads in Linux's /proc")
def test_senders_live_in_the_workers_of_a_preloading_server(
    new_smtp_site: NewSite, smtp: SmtpServer
) -> None:
    smtp.up()
    site = new_smtp_site((*GUNICORN, "--preload")).start()
    register_everybody(site)
    wait_for(lambda: everybody_has_mail(smtp), 15, "all mail of both workers")

    assert site.process
    master = Path(f"/proc/{site.process.pid}/task")
    [children] = [(master / str(site.process.pid) / "children").read_text().split()]
    assert threads(site.process.pid) == 1
    assert any(threads(int(child)) > 4 for child in children)
    assert site.terminate(within=20) < 8


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))
