"""Whatever falls over, every message arrives: power cuts, restarts, a mail server that is away."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.e2e.sites import GUNICORN, PRELOADING, Site, on_linux, threads
from tests.e2e.visitor import SECONDS, Answer, Visitor, address_of
from tests.servers import BlackHole, SmtpServer, wait_for

PEOPLE = [f"person-{number:02}" for number in range(20)]
ADDRESSES = {address_of(user_id) for user_id in PEOPLE}
SENDERS = 2 * 4  # workers × MAIL_THREADS, in the workers: what can be in flight at one time
IN_WORKERS = {"MAIL_ENGINE": "threads", "MAIL_THREADS": 4, "MAIL_THREADS_AT_MOST": 4}

PENDING = "SELECT 1 FROM mail_mail WHERE state = 'pending'"
CLAIMED = f"{PENDING} AND claimed"
TRIED = f"{PENDING} AND attempts > 0 AND NOT claimed"
PROBED = "SELECT 1 FROM mail_attempt"
SENT = "SELECT 1 FROM mail_mail WHERE state = 'sent'"
ATTEMPTS = "SELECT attempts FROM mail_mail"
PATIENT = {"EMAIL_TIMEOUT": 120}  # seconds, the longest that it may be

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
    smtp.up().accepts = 3
    site = new_smtp_site(**PATIENT).start()
    register_everybody(site)
    wait_for(lambda: len(smtp.letters) == 3 and smtp.receiving, "some are sent, some in flight")
    wait_for(lambda: len(site.rows(SENT)) == 3, "the rows say so")
    site.kill()
    assert len(site.rows(PENDING)) > len(site.rows(CLAIMED)) > 0, "killed in the middle of the work"
    wait_for(lambda: not smtp.receiving, "the mail server has noticed")

    smtp.accepts = len(PEOPLE) + SENDERS
    Visitor(site.start()).get("/")
    # The leases of the dead are up to a minute long. This is the test that waits for their end.
    wait_for(lambda: not site.rows(PENDING), "nothing waits any more")
    letters = letters_by_address(smtp)
    assert letters.keys() == ADDRESSES
    assert letters.total() - len(ADDRESSES) <= SENDERS, "twice only what was in flight"
    assert len({letter.message["Message-ID"] for letter in smtp.letters}) == len(ADDRESSES), (
        "a repetition can be recognized by its id"
    )


@on_linux
def test_sigterm_finishes_what_is_being_sent_and_leaves_the_rest(
    new_smtp_site: NewSite, smtp: SmtpServer
) -> None:
    smtp.up().accepts = 3
    site = new_smtp_site(GUNICORN, **PATIENT, **IN_WORKERS).start()
    register_everybody(site)
    # A worker sweeps as soon as it is asked for something; so there is work for everybody.
    wait_for(lambda: Visitor(site).get("/") and smtp.receiving == SENDERS, "each sender has one")
    assert len(smtp.letters) == 3

    # The thread of a worker that sweeps ends as soon as its senders begin nothing more.
    before = {pid: threads(pid) for pid in site.workers()}
    site.terminate()
    wait_for(lambda: all(threads(pid) < number for pid, number in before.items()), "it stops")
    smtp.accepts = len(PEOPLE)
    assert site.has_ended()
    assert len(smtp.letters) == len(site.rows(SENT)) == 3 + SENDERS, "no second one was begun"
    assert len(site.rows(PENDING)) == len(PEOPLE) - 3 - SENDERS
    assert not site.rows(TRIED), "what was not begun is as it was"
    assert not site.rows(CLAIMED), "what was begun is finished, what was not is free"

    Visitor(site.start()).get("/")
    wait_for(lambda: everybody_has_mail(smtp), "the rest has arrived")
    assert set(letters_by_address(smtp).values()) == {1}, "nobody has two"


def test_nobody_waits_for_a_mail_server_that_is_away(
    new_smtp_site: NewSite, smtp: SmtpServer
) -> None:
    site = new_smtp_site(**PATIENT).start()
    assert PATIENT["EMAIL_TIMEOUT"] > SECONDS, "a visitor who had to wait for it would give up"
    with BlackHole(smtp.port):
        for user_id in PEOPLE[:3]:
            assert Visitor(site).register(user_id).path == "/users/register/success/"
        wait_for(lambda: len(site.rows(CLAIMED)) == 3, "the senders wait for the server")

    # It hangs up and is back at once.
    smtp.up()
    for user_id in PEOPLE[:3]:
        smtp.wait(address_of(user_id))
    wait_for(lambda: len(site.rows(SENT)) == 3, "the rows say so")
    assert len(smtp.letters) == 3


def test_a_kill_9_while_the_mail_server_is_down(new_smtp_site: NewSite, smtp: SmtpServer) -> None:
    site = new_smtp_site().start()
    register_everybody(site)
    wait_for(lambda: site.rows(PROBED) and not site.rows(CLAIMED), "one was tried, for all")
    site.kill()
    assert len(site.rows(PENDING)) == len(PEOPLE)

    smtp.up()
    Visitor(site.start()).get("/")
    wait_for(lambda: everybody_has_mail(smtp), "all are sent at a later attempt")
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
    smtp.wait("after@example.com")
    smtp.wait("afterwards@example.com")
    wait_for(lambda: not site.rows(PENDING), "the rows say so")
    assert site.rows(ATTEMPTS) == [(1,)] * 3, "and it costs no attempt"


@on_linux
def test_senders_live_in_the_workers_of_a_preloading_server(
    new_smtp_site: NewSite, smtp: SmtpServer
) -> None:
    smtp.up()
    site = new_smtp_site(PRELOADING, **IN_WORKERS).start()
    register_everybody(site)
    wait_for(lambda: everybody_has_mail(smtp), "all mail of both workers")

    assert site.process
    assert threads(site.process.pid) == 1
    assert any(threads(pid) > 4 for pid in site.workers())
    site.terminate()
    assert site.has_ended()
