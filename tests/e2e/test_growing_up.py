"""More machines: PostgreSQL, Celery on RabbitMQ or Redis, or senders apart from the web server.

Whatever is killed, every message arrives; and a broker that is away is nobody's concern but ours.
"""

import contextlib
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mail.queue.engines.celery import PAUSE
from tests.e2e.brokers import Broker, RabbitMQ, Redis
from tests.e2e.postgresql import Database
from tests.e2e.sites import PYTHON, Site, on_linux, threads
from tests.e2e.visitor import Visitor, address_of
from tests.elsewhere import IN_CI
from tests.servers import PATIENCE, SmtpServer, wait_for

CELERY = ("-m", "celery", "-A", "cs_web")
WORKER = (*CELERY, "worker", "--without-gossip", "--without-mingle")
BEAT = (*CELERY, "beat")

PROCESSES = 2  # of each worker
WEB_PROCESSES = 2
IN_VAIN = "the message broker takes no hints"
# RabbitMQ 3.10 writes down a new queue's state after five seconds. One that is killed before has a
# queue without a leader, for ever (rabbitmq/rabbitmq-server issue 10070).
QUEUE_IS_SAFE_AFTER = 10
# Registers one after another, as the view does, but in one process; until it is told that it is
# enough.
REGISTER = """
import django, itertools, signal, time
django.setup()
from users import accounts
enough = []
signal.signal(signal.SIGTERM, lambda *_: enough.append(True))
for number in itertools.count():
    if enough:
        break
    accounts.register(
        user_id=f"person-{number:05}", email=f"person-{number:05}@example.com", name="Person",
        password="correct-horse-battery", language="en",
    )
    time.sleep(0.1)
"""

REGISTERED = "SELECT email FROM users_user"
DUE = "SELECT 1 FROM mail_mail WHERE state = 'pending' AND due <= now()"
CLAIMED = "SELECT id, attempts FROM mail_mail WHERE state = 'pending' AND claimed"
PENDING = "SELECT 1 FROM mail_mail WHERE state = 'pending'"
# A lease lasts a minute, for which test_crash.py waits; here it is over.
END_OF_LEASES = "UPDATE mail_mail SET due = now() WHERE state = 'pending' RETURNING 1"

NewSite = Callable[..., Site]


class Program:
    """A program of the site that is no web server: a worker, beat, `manage.py mail work`."""

    def __init__(self, site: Site, *command: str, ready: str = "") -> None:
        self.site, self.command, self.ready = site, command, ready
        self.log = site.log.with_suffix(f".{id(self)}.log")
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [PYTHON, *self.command],
                cwd=self.site.checkout.path,
                env=self.site.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        wait_for(lambda: self.ready in self.said() or self.ended(), "it is ready")
        assert not self.ended(), self.said()

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def ended(self) -> bool:
        return self.process.poll() is not None

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def exit_code(self) -> int:
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """kill -9, with its children."""
        with contextlib.suppress(ProcessLookupError):  # all of them have ended
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def new_program() -> Iterator[Callable[..., Program]]:
    programs: list[Program] = []

    def make(*arguments: Any, **options: Any) -> Program:
        programs.append(Program(*arguments, **options))
        return programs[-1]

    try:
        yield make
    finally:
        for program in programs:
            program.kill()


# One of them at home, another each time; the same for all workers, who have to agree on the tests.
DICE = random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID"))
BROKERS = [RabbitMQ, Redis] if IN_CI else [DICE.choice([RabbitMQ, Redis])]


# Of the module: RabbitMQ takes ten seconds to start.
@pytest.fixture(scope="module", params=BROKERS)
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    broker: Broker = request.param()
    try:
        yield broker
    finally:
        broker.remove()


@pytest.fixture
def celery_site(
    new_smtp_site: NewSite, database: Database, broker: Broker, smtp: SmtpServer
) -> Site:
    smtp.up()
    broker.up()
    return new_smtp_site(
        DATABASE_URL=database.url,
        MAIL_ENGINE="celery",
        CELERY_BROKER_URL=broker.url,
        MAIL_THREADS=PROCESSES,
        FORMS_PER_NETWORK_LIMIT=1000,
        EMAIL_PER_NETWORK_LIMIT=1000,
    )


def test_whatever_is_killed_every_mail_arrives(
    celery_site: Site,
    broker: Broker,
    database: Database,
    smtp: SmtpServer,
    new_program: Callable[..., Program],
) -> None:
    smtp.seconds_a_mail = 0.2  # so that every kill meets mails in flight
    workers = [new_program(celery_site, *WORKER, "-n", name, ready=" ready.") for name in "ab"]
    new_program(celery_site, *BEAT)
    for worker in workers:
        worker.wait_until_ready()
    declared_at = time.monotonic()

    def some_time() -> None:
        time.sleep(random.uniform(0.5, 2))

    registering = new_program(celery_site, "-c", REGISTER)
    begun = time.monotonic()
    in_flight: list[set[tuple[Any, int]]] = []
    wait_for(lambda: smtp.letters, "mail leaves")
    for worker in workers:
        some_time()
        worker.kill()
        in_flight.append(set(database.rows(CLAIMED)))
        worker.start()
        if worker is workers[0]:
            time.sleep(max(0, declared_at + QUEUE_IS_SAFE_AFTER - time.monotonic()))
            broker.kill()
            some_time()
            broker.up()
    some_time()
    registering.terminate()
    assert registering.exit_code() == 0, registering.said()
    everybody = {email for (email,) in database.rows(REGISTERED)}

    def only_leases_of_the_dead_are_left() -> bool:
        claimed = set(database.rows(CLAIMED))
        return not database.rows(DUE) and claimed <= set().union(*in_flight)

    wait_for(only_leases_of_the_dead_are_left, "only leases are left")
    left = len(database.rows(END_OF_LEASES))
    wait_for(lambda: not database.rows(PENDING), "nothing waits any more")
    seconds = time.monotonic() - begun

    ids = Counter(letter.message["Message-ID"] for letter in smtp.letters)
    doubles = ids.total() - len(everybody)
    print(
        f"{type(broker).__name__}: {len(everybody)} registered, {ids.total()} messages, {doubles} "
        f"of them twice, {[len(rows) for rows in in_flight]} in flight at the kills of 2 workers, "
        f"{left} left for the end of their lease, 1 kill of the broker, {seconds:.0f} s"
    )
    assert {letter.to for letter in smtp.letters} == everybody, "nothing is lost"
    assert len(ids) == len(everybody), "a repetition can be recognized by its id"
    assert doubles <= len(workers) * PROCESSES, "twice only what was in flight"

    smtp.accepts = ids.total()
    Visitor(celery_site.start()).register("last")
    wait_for(lambda: smtp.receiving, "one more is being sent")
    for worker in workers:
        worker.terminate()
    for worker in workers:
        wait_for(lambda worker=worker: "Warm shutdown" in worker.said(), "it stops")  # type: ignore[misc]
    smtp.accepts += 1
    assert [worker.exit_code() for worker in workers] == [0, 0]
    assert smtp.to(address_of("last")), "SIGTERM lets a worker finish"
    assert not database.rows(PENDING)


class Visitors:
    """They register, one after another, and none of them waits for the broker.

    That is not a matter of seconds, which depend on the machine: after one hint in vain a process
    spares all of its visitors the next ones, for PAUSE seconds.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self.registered = 0

    def hints_in_vain(self) -> int:
        return self.site.log.read_text(errors="replace").count(IN_VAIN)

    def register(self, number: int) -> None:
        """So many of them, and more, until a hint of theirs was in vain."""
        before, begun = self.hints_in_vain(), time.monotonic()
        deadline = begun + PATIENCE
        for count in range(10_000):
            if count >= number and self.hints_in_vain() > before:
                break
            assert time.monotonic() < deadline, "no hint was in vain"
            answer = Visitor(self.site).register(f"person-{self.registered}")
            assert answer.path == "/users/register/success/"
            self.registered += 1
        pauses = int((time.monotonic() - begun) / PAUSE)
        assert self.hints_in_vain() - before <= WEB_PROCESSES * (1 + pauses)


def test_nobody_waits_for_a_broker_that_is_away(
    celery_site: Site,
    broker: Broker,
    database: Database,
    smtp: SmtpServer,
    new_program: Callable[..., Program],
) -> None:
    new_program(celery_site, *WORKER, ready=" ready.").wait_until_ready()
    declared_at = time.monotonic()
    site = celery_site.start()
    Visitor(site).register("first")
    smtp.wait(address_of("first"))  # by its hint: nobody sweeps yet
    new_program(celery_site, *BEAT)

    visitors = Visitors(site)
    time.sleep(max(0, declared_at + QUEUE_IS_SAFE_AFTER - time.monotonic()))
    broker.freeze()
    visitors.register(20)
    broker.thaw()
    broker.kill()
    visitors.register(20)
    assert database.rows(PENDING)
    broker.up()
    begun = time.monotonic()
    wait_for(lambda: not database.rows(PENDING), "all of it is sent when the broker is back")
    print(
        f"{type(broker).__name__}: {visitors.registered} registered while it was away, and "
        f"{visitors.hints_in_vain()} of them waited for it; "
        f"all mail sent {time.monotonic() - begun:.0f} s after it came back"
    )
    assert len({letter.to for letter in smtp.letters}) == len(smtp.letters)
    assert len(smtp.letters) == 1 + visitors.registered
    assert "Traceback" not in site.log.read_text()


@on_linux
def test_senders_apart_from_the_web_server(
    new_smtp_site: NewSite, smtp: SmtpServer, new_program: Callable[..., Program]
) -> None:
    smtp.up().accepts = 0
    site = new_smtp_site(MAIL_BESIDE="false", EMAIL_TIMEOUT=120).start()
    for user_id in ("alice", "bob", "carol"):
        Visitor(site).register(user_id)
    assert len(site.rows(PENDING)) == 3, "the web processes send nothing"

    work = new_program(site, "manage.py", "mail", "work", "--threads", "2", ready="at work")
    wait_for(lambda: smtp.receiving == 2, "two of the three are being sent")
    before = threads(work.process.pid)
    work.terminate()
    # The thread that sweeps ends as soon as the senders begin nothing more.
    wait_for(lambda: threads(work.process.pid) < before, "it stops")
    smtp.accepts = 3
    assert work.exit_code() == 0
    assert len(smtp.letters) == 2, "what was begun is finished, and nothing else is begun"
    assert (len(site.rows(PENDING)), len(site.rows(CLAIMED))) == (1, 0)
    assert "stopped. 2 messages sent since the start, 1 are due" in work.said()

    once = new_program(site, "manage.py", "mail", "work", "--once")
    assert once.exit_code() == 0
    assert len(smtp.letters) == 3
