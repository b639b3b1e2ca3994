"""The fire drill: faults put on a running site, and what they cost.

    make drill                          all of them, about a minute each
    make drill ARGS="locked frozen"     those with one of these words in their name

Visitors register all the while, one after another. A mail is lost if it never comes to somebody who
was answered, doubled if it comes twice; late is the longest time from the answer to the mail. Each
fault is a function here; the short ones are tests as well (tests/e2e). Debian's packages for the
servers are those of the tests.
"""

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP

from bench.slow_smtp import Crowded
from tests.e2e.brokers import Broker, RabbitMQ, Redis
from tests.e2e.postgresql import PostgreSQL
from tests.e2e.sites import GUNICORN, PYTHON, Checkout, Site
from tests.e2e.visitor import Answer, Visitor, address_of
from tests.servers import DeafProxy, RememberingController, SmtpServer, wait_for

LASTS = 20.0  # seconds, each fault
BEFORE = 3.0  # seconds of peace
FIRST = 12  # pages that are not measured
SETTLED_WITHIN = 150.0  # seconds, after the fault: leases and retries take their time
DEPLOYED = (*GUNICORN, "--threads", "4")  # as docs/operations.md starts it
ADMIN = "kim@example.com"
SETTINGS = {
    "ADMINS": ADMIN,
    "EMAIL_SERVICE": "smtp",
    "EMAIL_HOST": "127.0.0.1",
    "EMAIL_USE_TLS": "false",
    "FORMS_PER_NETWORK_LIMIT": 100_000,
    "EMAIL_PER_NETWORK_LIMIT": 100_000,
}

Fault = Callable[["Stage"], None]
faults: list[Fault] = []


def fault(do: Fault) -> Fault:
    """Its first line of documentation is its line in the table."""
    faults.append(do)
    return do


class Clocked(SmtpServer):
    """Knows when each letter came, and can be as bad as mail servers are."""

    def __init__(self) -> None:
        super().__init__()
        self.came: dict[str, list[float]] = {}
        self.refuses = False
        self.answers_after = 0.0  # seconds, when it has the message

    def up(self) -> SmtpServer:
        self._controller = Controller(self, "127.0.0.1", self.port)
        self._controller.start()
        return self

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if self.refuses:
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        answer = await super().handle_DATA(server, session, envelope)
        self.came.setdefault(envelope.rcpt_tos[0], []).append(time.monotonic())
        await asyncio.sleep(self.answers_after)
        return answer


class Controller(RememberingController):
    def factory(self) -> SMTP:
        self.connections.append(Crowded(self.handler, **self.SMTP_kwargs))
        return self.connections[-1]


class Timed(Visitor):
    """Every request of theirs is noted: how long it took, and what came of it."""

    def __init__(self, stage: "Stage") -> None:
        super().__init__(stage.running)
        self.stage = stage

    def _open(self, address: str, fields: dict[str, str] | None) -> Answer:
        begun, seen = time.monotonic(), "no answer"
        try:
            answer = super()._open(address, fields)
            seen = str(answer.status)
        except (urllib.error.URLError, OSError) as error:
            raise Away from error
        finally:
            self.stage.seen[seen] += 1
            waited = time.monotonic() - begun
            self.stage.longest = max(self.stage.longest, waited)
        return answer


class Away(Exception):
    """The site did not answer at all."""


class Stage(contextlib.ExitStack):
    """A site, its mail server and its visitors, for one fault."""

    def __init__(self, checkout: Checkout) -> None:
        super().__init__()
        self.checkout = checkout
        self.folder = Path(self.enter_context(tempfile.TemporaryDirectory()))
        self.smtp = Clocked()
        self.callback(self.smtp.down)
        self.smtp.up()
        self.answered: dict[str, float] = {}
        self.seen: Counter[str] = Counter()
        self.longest = 0.0
        self.running: Site

    def site(self, server: tuple[str, ...] = DEPLOYED, **settings: Any) -> Site:
        mail = {"EMAIL_PORT": self.smtp.port}
        site = Site(self.checkout, self.folder, server, **{**SETTINGS, **mail, **settings})
        self.callback(site.kill)
        self.running = site.start()
        return site

    @contextlib.contextmanager
    def visitors(self, number: int = 3) -> Iterator[None]:
        """They come before the block and after it, too."""
        over, names = threading.Event(), itertools.count()
        for _ in range(FIRST):  # every worker imports all of the site with its first page
            Visitor(self.running).get("/users/register/")

        def come() -> None:
            while not over.is_set():
                user_id = f"visitor-{next(names):05}"
                with contextlib.suppress(Away, AssertionError):  # noted, or a page without a form
                    answer = Timed(self).register(user_id)
                    if answer.path == "/users/register/success/":
                        self.answered[user_id] = time.monotonic()
                over.wait(0.25)

        threads = [threading.Thread(target=come) for _ in range(number)]
        for thread in threads:
            thread.start()
        try:
            time.sleep(BEFORE)
            yield
            time.sleep(BEFORE)
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def settle(self) -> None:
        deadline = time.monotonic() + SETTLED_WITHIN
        while self.lost() and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(2)  # for what comes twice

    def lost(self) -> list[str]:
        return [user_id for user_id in self.answered if address_of(user_id) not in self.smtp.came]

    def line(self) -> list[str]:
        came = {user_id: self.smtp.came.get(address_of(user_id), []) for user_id in self.answered}
        late = max((min(at) - self.answered[who] for who, at in came.items() if at), default=0)
        log = self.running.log.read_text(errors="replace")
        return [
            str(len(came)),
            str(len(self.lost())),
            str(sum(len(at) > 1 for at in came.values())),
            f"{max(late, 0):.1f} s",
            ", ".join(f"{number} × {what}" for what, number in sorted(self.seen.items())),
            f"{self.longest:.1f} s",
            f"{len(log) // 1024} kB, {log.count('Traceback')} tracebacks",
            str(len(self.smtp.came.get(ADMIN, []))),
        ]


# The database


@fault
def sqlite_locked(stage: Stage) -> None:
    """SQLite locked by another process"""
    site = stage.site()
    with stage.visitors(), contextlib.closing(sqlite3.connect(site.database)) as other:
        other.execute("BEGIN EXCLUSIVE")
        time.sleep(LASTS)


def as_soon_as_nobody_uses_it(*command: object) -> None:
    """What was killed has its files open for a moment more."""
    line = [str(part) for part in command]
    wait_for(lambda: subprocess.run(line, stderr=subprocess.DEVNULL).returncode == 0, line[0], 60)


@contextlib.contextmanager
def small_disk(stage: Stage) -> Iterator[Path]:
    """A file system of its own, which a root may make full or read-only."""
    disk = stage.folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk], check=True)
    shutil.copy(stage.checkout.empty_database, disk / "db.sqlite3")
    try:
        yield disk
    finally:
        stage.running.kill()
        as_soon_as_nobody_uses_it("umount", disk)


@fault
def sqlite_disk_full(stage: Stage) -> None:
    """the disk of SQLite full"""
    with small_disk(stage) as disk:
        stage.site(DATABASE_URL=f"sqlite:///{disk / 'db.sqlite3'}")
        with stage.visitors():
            filler = disk / "filler"
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 4096)
            time.sleep(LASTS)
            filler.unlink()
        stage.settle()


@fault
def sqlite_read_only(stage: Stage) -> None:
    """the disk of SQLite read-only, from a start on"""
    with small_disk(stage) as disk:
        site = stage.site(DATABASE_URL=f"sqlite:///{disk / 'db.sqlite3'}")

        def start_with(mode: str) -> None:
            site.kill()  # nobody may have a file open
            as_soon_as_nobody_uses_it("mount", "-o", f"remount,{mode}", disk)
            site.start()

        with stage.visitors():
            start_with("ro")
            time.sleep(LASTS)
            start_with("rw")
        stage.settle()


@contextlib.contextmanager
def own_postgresql(stage: Stage) -> Iterator[PostgreSQL]:
    server = PostgreSQL(stage.checkout)
    try:
        yield server
    finally:
        server.thaw()
        stage.running.kill()
        server.remove()


@fault
def postgresql_frozen(stage: Stage) -> None:
    """PostgreSQL frozen"""
    with own_postgresql(stage) as server:
        stage.site(DATABASE_URL=server.new_database().url)
        with stage.visitors():
            server.freeze()
            time.sleep(LASTS)
            server.thaw()
        stage.settle()


@fault
def postgresql_deaf(stage: Stage) -> None:
    """PostgreSQL behind a proxy that is deaf"""
    with own_postgresql(stage) as server, contextlib.closing(DeafProxy(server.port)) as proxy:
        url = server.new_database().url.replace(str(server.port), str(proxy.port))
        stage.site(DATABASE_URL=url)
        with stage.visitors():
            proxy.hears.clear()
            time.sleep(LASTS)
            proxy.hears.set()
        stage.settle()


@fault
def postgresql_ends_connections(stage: Stage) -> None:
    """PostgreSQL ends every connection, once a second"""
    with own_postgresql(stage) as server:
        database = server.new_database()
        stage.site(DATABASE_URL=database.url)
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        with stage.visitors():
            for _ in range(int(LASTS)):
                database.rows(f"{end} AND datname = current_database()")
                time.sleep(1)
        stage.settle()


# The cache, and the broker


@contextlib.contextmanager
def up(broker: Broker) -> Iterator[Any]:
    try:
        broker.up()
        yield broker
    finally:
        broker.thaw()
        broker.remove()


@fault
def cache_frozen(stage: Stage) -> None:
    """Redis (CACHE_URL) frozen"""
    with up(Redis()) as cache:
        stage.site(CACHE_URL=cache.url)
        with stage.visitors():
            cache.freeze()
            time.sleep(LASTS)
            cache.thaw()


@contextlib.contextmanager
def celery(stage: Stage, broker: Broker) -> Iterator[None]:
    """The site with a worker and beat."""
    site = stage.site(MAIL_ENGINE="celery", CELERY_BROKER_URL=broker.url)
    programs = []
    try:
        for what in (("worker", "--without-gossip", "--without-mingle"), ("beat",)):
            with (stage.folder / f"{what[0]}.log").open("wb") as log:
                command = [PYTHON, "-m", "celery", "-A", "cs_web", *what]
                options: dict[str, Any] = {"stdout": log, "stderr": subprocess.STDOUT}
                where = {"cwd": site.checkout.path, "env": site.env, "start_new_session": True}
                programs.append(subprocess.Popen(command, **options, **where))
        time.sleep(10)  # RabbitMQ writes down a new queue after five seconds
        with stage.visitors():
            yield
        stage.settle()
    finally:
        for program in programs:
            os.killpg(program.pid, signal.SIGKILL)
            program.wait()


@fault
def broker_blocked(stage: Stage) -> None:
    """RabbitMQ without memory: it blocks who publishes"""
    with up(RabbitMQ()) as broker, celery(stage, broker):
        broker.block()
        time.sleep(LASTS)
        broker.unblock()


@fault
def broker_frozen(stage: Stage) -> None:
    """RabbitMQ frozen"""
    with up(RabbitMQ()) as broker, celery(stage, broker):
        broker.freeze()
        time.sleep(LASTS)
        broker.thaw()


# The mail server


@fault
def mail_away(stage: Stage) -> None:
    """the mail server away"""
    stage.site()
    with stage.visitors():
        stage.smtp.down()
        time.sleep(LASTS)
        stage.smtp.up()


@fault
def mail_crowded(stage: Stage) -> None:
    """421 to the third connection, 0.3 s a message"""
    stage.site()
    stage.smtp.seconds_a_mail = 0.3
    with stage.visitors():
        Crowded.most = 2
        time.sleep(LASTS)
    stage.settle()
    Crowded.most = 1_000_000


@fault
def mail_refuses_everybody(stage: Stage) -> None:
    """550 to everybody"""
    stage.site()
    with stage.visitors():
        stage.smtp.refuses = True
        time.sleep(LASTS)
        stage.smtp.refuses = False


@fault
def mail_answers_late(stage: Stage) -> None:
    """the answer after the dot comes 15 s late"""
    stage.site()
    with stage.visitors():
        stage.smtp.answers_after = 15
        time.sleep(LASTS)
        stage.smtp.answers_after = 0


# The site itself


@fault
def sigterm(stage: Stage) -> None:
    """SIGTERM and a start, with mail in flight (1 s each)"""
    site = stage.site()
    stage.smtp.seconds_a_mail = 1
    with stage.visitors():
        site.terminate()
        site.has_ended()
        site.start()


@fault
def killed(stage: Stage) -> None:
    """kill -9 of everything and a start, with mail in flight (1 s each)"""
    site = stage.site()
    stage.smtp.seconds_a_mail = 1
    with stage.visitors():
        site.kill()
        site.start()


HEAD = ["fault", "registered", "lost", "doubled", "late", "what visitors saw", "longest wait",
        "log", "letters to ADMINS"]  # fmt: skip


def main(words: list[str]) -> int:
    chosen = [do for do in faults if not words or any(word in do.__name__ for word in words)]
    lines, ended_well = [HEAD, ["---"] * len(HEAD)], True
    with tempfile.TemporaryDirectory() as folder:
        checkout = Checkout(Path(folder))
        for do in chosen:
            (checkout.path / "var" / "outage.reported").unlink(missing_ok=True)
            print(f"{do.__name__} …", file=sys.stderr, flush=True)
            try:
                with Stage(checkout) as stage:
                    do(stage)
                    stage.settle()
                    lines.append([str(do.__doc__), *stage.line()])
                    ended_well &= not stage.lost()
            except Exception as error:
                lines.append([str(do.__doc__), f"could not be tried: {error}"])
                ended_well = False
            print(f"| {' | '.join(lines[-1])} |", file=sys.stderr, flush=True)
    for line in lines:
        print(f"| {' | '.join(line)} |")
    return 0 if ended_well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
