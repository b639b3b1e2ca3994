"""More machines: PostgreSQL, Celery on RabbitMQ or Redis, or senders apart from the web server.

Whatever is killed, every mail arrives; and a broker that is away is nobody's concern but ours.
"""

import contextlib
import os
import random
import signal
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.e2e.brokers import Broker, RabbitMQ, Redis
from tests.e2e.mailservers import SmtpServer
from tests.e2e.sites import PYTHON, Site, wait_for
from tests.e2e.test_postgresql import postgresql  # noqa: F401  a fixture, of this module too
from tests.e2e.visitor import Visitor, address_of

CELERY = ("-m", "celery", "-A", "cs_web")
WORKER = (*CELERY, "worker", "--without-gossip", "--without-mingle")
BEAT = (*CELERY, "beat")

PEOPLE = 200
PROCESSES = 2  # of each worker
# RabbitMQ 3.10 writes down a new queue's state after five seconds. One that is killed before has a
# queue without a leader, for ever (rabbitmq/rabbitmq-server issue 10070).
QUEUE_IS_SAFE_AFTER = 6
# Registers as the view does, but in one process and without the slow hash.
REGISTER = f"""
import django, time
django.setup()
from django.conf import settings
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
from users import accounts
for number in range({PEOPLE}):
    accounts.register(
        user_id=f"person-{{number:03}}", email=f"person-{{number:03}}@example.com", name="Person",
        password="correct-horse-battery", language="en",
    )
    time.sleep(0.07)
"""
EVERYBODY = {f"person-{number:03}@example.com" for number in range(PEOPLE)}

DUE = "SELECT 1 FROM mail_mail WHERE state = 'pending' AND due <= now()"
HELD = "SELECT 1 FROM mail_mail WHERE state = 'pending' AND faults > 0"
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
                env=self.site.env | {"DJANGO_SETTINGS_MODULE": "cs_web.settings"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        wait_for(lambda: self.ready in self.said() or self.ended(), 30, "it is ready")
        assert not self.ended(), self.said()

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def ended(self) -> bool:
        return self.process.poll() is not None

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


@pytest.fixture(params=[RabbitMQ, Redis])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    broker: Broker = request.param()
    try:
        broker.up()
        yield broker
    finally:
        broker.remove()


class Postgres:
    """A database of its own for each test."""

    numbers = iter(range(100))

    def __init__(self, server: str) -> None:
        name = f"cs_web_{next(self.numbers)}"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        self.url = f"{server.removesuffix('/cs_web')}/{name}"

    def rows(self, query: str) -> list[Any]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
def database(postgresql: str) -> Postgres:  # noqa: F811
    return Postgres(postgresql)


@pytest.fixture
def celery_site(
    new_smtp_site: NewSite, database: Postgres, broker: Broker, smtp: SmtpServer
) -> Site:
    smtp.up()
    return new_smtp_site(
        DATABASE_URL=database.url,
        MAIL_ENGINE="celery",
        CELERY_BROKER_URL=broker.url,
        MAIL_THREADS=PROCESSES,
        FORMS_PER_NETWORK_LIMIT=1000,
    )


def nobody_is_missing(smtp: SmtpServer) -> bool:
    return {letter.to for letter in smtp.letters} == EVERYBODY


def test_whatever_is_killed_every_mail_arrives(
    celery_site: Site,
    broker: Broker,
    database: Postgres,
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
    held = []
    wait_for(lambda: smtp.letters, 10, "mail leaves")
    for worker in workers:
        some_time()
        held.append(len(database.rows(HELD)))
        worker.kill()
        worker.start()
        if worker is workers[0]:
            time.sleep(max(0, declared_at + QUEUE_IS_SAFE_AFTER - time.monotonic()))
            broker.kill()
            some_time()
            broker.up()
    assert not registering.ended(), "all of this happened while people registered"
    assert registering.process.wait(60) == 0, registering.said()

    wait_for(lambda: not (database.rows(DUE) or smtp.receiving), 60, "only leases are left")
    left = len(database.rows(END_OF_LEASES))
    wait_for(lambda: not database.rows(PENDING), 30, "nothing waits any more")
    seconds = time.monotonic() - begun

    doubles = Counter(letter.message["Message-ID"] for letter in smtp.letters).total() - PEOPLE
    print(
        f"{type(broker).__name__}: {PEOPLE} registered, {len(smtp.letters)} mails, {doubles} of "
        f"them twice, {held} in flight at the kills of 2 workers, {left} left for the end of "
        f"their lease, 1 kill of the broker, {seconds:.0f} s"
    )
    assert nobody_is_missing(smtp), "nothing is lost"
    assert doubles <= len(workers) * PROCESSES, "twice only what was in flight"

    smtp.seconds_a_mail = 2
    Visitor(celery_site.start()).register("last")
    wait_for(lambda: smtp.receiving, 10, "one more is being sent")
    for worker in workers:
        worker.process.send_signal(signal.SIGTERM)
    assert [worker.process.wait(25) for worker in workers] == [0, 0]
    assert smtp.to(address_of("last")), "SIGTERM lets a worker finish"
    assert not database.rows(PENDING)


def median_to_register(site: Site, name: str) -> float:
    """Seconds that one of twenty visitors spends on the form and on its answer."""
    seconds = []
    for number in range(20):
        begun = time.monotonic()
        assert Visitor(site).register(f"{name}-{number}").path == "/users/register/success/"
        seconds.append(time.monotonic() - begun)
    return statistics.median(seconds)


def test_nobody_waits_for_a_broker_that_is_away(
    celery_site: Site,
    broker: Broker,
    database: Postgres,
    smtp: SmtpServer,
    new_program: Callable[..., Program],
) -> None:
    new_program(celery_site, *WORKER, ready=" ready.").wait_until_ready()
    new_program(celery_site, *BEAT)
    declared_at = time.monotonic()
    site = celery_site.start()
    Visitor(site).register("first")
    smtp.wait(address_of("first"), within=3)

    up = median_to_register(site, "up")
    time.sleep(max(0, declared_at + QUEUE_IS_SAFE_AFTER - time.monotonic()))
    broker.freeze()
    frozen = median_to_register(site, "frozen")
    broker.thaw()
    broker.kill()
    away = median_to_register(site, "away")
    assert database.rows(PENDING)
    broker.up()
    begun = time.monotonic()
    wait_for(lambda: not database.rows(PENDING), 40, "all of it is sent when the broker is back")
    print(
        f"{type(broker).__name__}: a registration takes {up * 1000:.0f} ms; with a broker that "
        f"hangs {frozen * 1000:.0f} ms, with one that is away {away * 1000:.0f} ms; "
        f"all mail sent {time.monotonic() - begun:.0f} s after it came back"
    )
    assert frozen < 2 * up
    assert away < 2 * up
    assert len({letter.to for letter in smtp.letters}) == len(smtp.letters) == 1 + 3 * 20
    assert "Traceback" not in site.log.read_text()


def test_senders_apart_from_the_web_server(
    new_smtp_site: NewSite, smtp: SmtpServer, new_program: Callable[..., Program]
) -> None:
    smtp.up().seconds_a_mail = 1
    site = new_smtp_site(MAIL_ENGINE="work").start()
    for user_id in ("alice", "bob", "carol"):
        Visitor(site).register(user_id)
    assert len(site.rows(PENDING)) == 3, "the web processes send nothing"

    work = new_program(site, "manage.py", "mail", "work", "--threads", "2", ready="at work")
    wait_for(lambda: smtp.receiving == 2, 10, "two of the three are being sent")
    work.process.send_signal(signal.SIGTERM)
    assert work.process.wait(25) == 0
    assert len(smtp.letters) == 2, "what was begun is finished, and nothing else is begun"
    assert (len(site.rows(PENDING)), len(site.rows(HELD))) == (1, 0)
    assert "stopped. 2 mails sent since the start, 1 are due" in work.said()

    once = new_program(site, "manage.py", "mail", "work", "--once")
    assert once.process.wait(20) == 0
    assert len(smtp.letters) == 3
