"""A very bad day: a crowd that registers, five kills, and a mail server with every bad habit.

    CHAOS_SEED=7 pytest -s tests/e2e/test_chaos.py     the same day once more, with its diary

Nothing may be lost, and nobody may get two messages but where a kill, or the mail server's own
silence, left in doubt whether there was one. Half of the time the server is gone.
"""

import contextlib
import http.client
import os
import random
import re
import secrets
import signal
import sqlite3
import statistics
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from email import message_from_bytes, policy
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.e2e.nastyserver import NastyServer
from tests.e2e.sites import GUNICORN, Site, on_linux
from tests.e2e.visitor import CSRF, PASSWORD, address_of
from tests.elsewhere import IN_CI
from tests.servers import LOGIN, Letter, wait_for
from tests.servers import PASSWORD as MAIL_PASSWORD

CROWD = 1000 if IN_CI else 500
PEOPLE = [f"person-{number:04}" for number in range(CROWD)]
CLIENTS = 8  # at one time, each on a connection that it keeps
WORKERS = 4  # processes that answer visitors
SENDERS = 16  # at most, threads of the one process that sends
TIMEOUT = 5  # EMAIL_TIMEOUT, seconds
GIVE_UP_AFTER = 900  # seconds: something hangs
PRESSES_AGAIN_FOR = 180  # seconds, a person whose browser says that the site does not answer

A_WORKER, EVERYTHING = "a worker", "everything"
FORM, SUCCESS = "/users/register/", "/users/register/success/"
USER_ID_TAKEN = "This ID is taken."
DEAD = (http.client.HTTPException, OSError)  # the connection, because its server is
LINK = re.compile(r"/users/activate/[^/\s\"<>]+/([^/\s\"<>]+)/")

ROWS = """
    SELECT person.user_id, person.email, mail.id, mail.state
    FROM users_user AS person LEFT JOIN mail_mail AS mail ON mail.user_id = person.id
"""
PENDING = "SELECT id FROM mail_mail WHERE state = 'pending'"
# A claim counts a crash, and every orderly end of it takes the crash back.
HELD = f"{PENDING} AND crashes > 0"
LONG_AGO = "'2020-01-01 00:00:00'"
END_OF_LEASES = f"UPDATE mail_mail SET due = {LONG_AGO} WHERE id IN ({HELD})"
END_OF_PAUSES = f"UPDATE mail_mail SET due = {LONG_AGO} WHERE state = 'pending' AND NOT claimed"
END_OF_THE_ALARMS_PAUSE = f"UPDATE mail_alarm SET probe_at = {LONG_AGO}"


class Browser:
    """A connection that is kept, for one person after another: each brings cookies of his own."""

    def __init__(self, site: Site) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=60)

    def ask(
        self, method: str, path: str, body: str | None = None, **headers: str
    ) -> tuple[http.client.HTTPResponse, str]:
        """The answer, or one of DEAD."""
        try:
            self._connection.request(method, path, body, {"Accept-Language": "en", **headers})
            answer = self._connection.getresponse()
            return answer, answer.read().decode()
        except DEAD:
            self.close()
            raise

    def close(self) -> None:
        self._connection.close()


class Crowd:
    """Everybody who registers, and somebody who only reads: a site is never without visitors."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.over = threading.Event()
        self.registered: list[str] = []
        self.seconds: list[float] = []  # of each POST that was answered
        self.answers: Counter[str] = Counter()
        self.cut_off: Counter[str] = Counter()  # requests without an answer, by method
        self.ended_at = 0.0
        self._people = iter(PEOPLE)
        self._turn = threading.Lock()
        self._pool = ThreadPoolExecutor(CLIENTS + 1, "browser")
        self._work: list[Future[None]] = []

    def __enter__(self) -> "Crowd":
        self._work = [self._pool.submit(self._register_people) for _ in range(CLIENTS)]
        self._work.append(self._pool.submit(self._read))
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._pool.shutdown()

    def number(self) -> int:
        """How many have registered. Raises what any of them could not bear."""
        for work in self._work:
            if work.done():
                work.result()
        return len(self.registered)

    def _next(self) -> str | None:
        with self._turn:
            return None if self.over.is_set() else next(self._people, None)

    def _register_people(self) -> None:
        with contextlib.closing(Browser(self.site)) as browser:
            while user_id := self._next():
                self._register(browser, user_id)

    def _register(self, browser: Browser, user_id: str) -> None:
        answer, page, _ = self._press(browser, "GET")
        token = CSRF.search(page)
        assert answer.status == 200, page
        assert token, page
        cookies = "; ".join(
            cookie.partition(";")[0] for cookie in answer.headers.get_all("Set-Cookie", [])
        )
        form = {
            "csrfmiddlewaretoken": token[1],
            "user_id": user_id,
            "name": user_id.title(),
            "email": address_of(user_id),
            "password": PASSWORD,
            "terms": "on",
            "privacy": "on",
        }
        answer, page, presses = self._press(
            browser,
            "POST",
            urlencode(form),
            **{"Content-Type": "application/x-www-form-urlencoded"},
            Cookie=cookies,
            Origin=self.site.url,
        )
        if (answer.status, answer.headers["Location"]) == (302, SUCCESS):
            self.answers["302"] += 1
        else:  # a press before did it, and only the answer was cut off
            assert presses > 1, f"{answer.status}: {page}"
            assert answer.status == 200, page
            assert USER_ID_TAKEN in page
            self.answers["200, taken by themself"] += 1
        self.registered.append(user_id)
        self.ended_at = time.monotonic()

    def _press(
        self, browser: Browser, method: str, body: str | None = None, **headers: str
    ) -> tuple[http.client.HTTPResponse, str, int]:
        """The answer, and how often the person had to press the button for it."""
        deadline = time.monotonic() + PRESSES_AGAIN_FOR
        presses = 0
        while time.monotonic() < deadline and not self.over.is_set():
            presses += 1
            begun = time.monotonic()
            try:
                answer, page = browser.ask(method, FORM, body, **headers)
            except DEAD:
                self.cut_off[method] += 1
                self.over.wait(0.2)
                continue
            if method == "POST":
                self.seconds.append(time.monotonic() - begun)
            return answer, page, presses
        raise AssertionError(f"{method} {FORM} was pressed {presses} times in vain")

    def _read(self) -> None:
        while not self.over.wait(0.5):  # a connection each, so that every worker is asked
            with contextlib.closing(Browser(self.site)) as browser, contextlib.suppress(*DEAD):
                answer, page = browser.ask("GET", "/")
                assert answer.status == 200, f"{answer.status}: {page}"


@dataclass
class Kill:
    whom: str
    when: str
    number: int  # of registrations or mails
    later: float  # seconds

    def __str__(self) -> str:
        return f"{self.whom} {self.later * 1000:.0f} ms after {self.number} {self.when}"


def kills(dice: random.Random) -> list[Kill]:
    """Five. The last is of everything, so that afterwards nobody holds a row."""
    moments = [
        ("registrations", dice.uniform(0.05, 0.15)),
        ("registrations", dice.uniform(0.30, 0.90)),
        ("mails", dice.uniform(0.30, 0.42)),
        ("mails", dice.uniform(0.60, 0.76)),
        ("mails", dice.uniform(0.80, 0.93)),
    ]
    whom = [*dice.choices([A_WORKER, EVERYTHING], k=4), EVERYTHING]
    return [
        Kill(w, when, round(share * CROWD), dice.uniform(0, 0.5))
        for w, (when, share) in zip(whom, moments, strict=True)
    ]


def kill_a_worker(site: Site, dice: random.Random) -> bool:
    """Whether it was the one that sends."""
    senders = site.senders()
    worker = dice.choice([*site.workers(), *senders])
    os.kill(worker, signal.SIGKILL)
    return worker in senders


@pytest.fixture
def seed() -> int:
    return int(os.environ.get("CHAOS_SEED") or secrets.randbelow(1_000_000))


@pytest.fixture
def smtp(tmp_path: Path, seed: int) -> Iterator[NastyServer]:
    server = NastyServer(seed, tmp_path, TIMEOUT, CROWD)
    server.up()
    try:
        yield server
    finally:
        server.down()


@pytest.fixture
def site(new_site: Callable[..., Site], smtp: NastyServer) -> Site:
    return new_site(
        (*GUNICORN, "--workers", str(WORKERS), "--threads", "3", "--keep-alive", "30"),
        EMAIL_SERVICE="smtp",
        EMAIL_HOST="127.0.0.1",
        EMAIL_PORT=smtp.port,
        EMAIL_HOST_USER=LOGIN,
        EMAIL_HOST_PASSWORD=MAIL_PASSWORD,
        EMAIL_TIMEOUT=TIMEOUT,
        SSL_CERT_FILE=smtp.authority_file,
        MAIL_THREADS_AT_MOST=SENDERS,
        FORMS_PER_NETWORK_LIMIT=100_000,  # all of them come from this machine
        EMAIL_PER_NETWORK_LIMIT=100_000,
    )


@on_linux
def test_a_very_bad_day(site: Site, smtp: NastyServer, seed: int) -> None:
    dice = random.Random(f"{seed} kills")
    day = Day(site, smtp)
    try:
        with Crowd(site.start()) as crowd:
            day.live_through(kills(dice), crowd, dice)
        day.look_back(crowd)
    finally:
        site.kill()
        print(f"\n  CHAOS_SEED={seed}", *day.diary, *smtp.weather, sep="\n  ")


class Day:
    def __init__(self, site: Site, smtp: NastyServer) -> None:
        self.site, self.smtp = site, smtp
        self.begun = time.monotonic()
        self.diary: list[str] = []
        self.in_flight_at_most = 0  # at all the kills together
        self.held: set[str] = set()  # rows that somebody held at a kill: also the orphans
        self.last_kill_at = self.hurried_at = 0.0

    def live_through(self, kills: list[Kill], crowd: Crowd, dice: random.Random) -> None:
        for kill in kills:
            self._wait_for_its_moment(kill, crowd)
            self.diary.append(
                f"kill -9 of {kill}, at {self._seconds():.0f} s, "
                f"with {self.smtp.receiving} mails on the wire"
            )
            if kill.whom == EVERYTHING:
                self.site.kill()
            if kill.whom == EVERYTHING or kill_a_worker(self.site, dice):
                self.in_flight_at_most += SENDERS
            self.held |= {pk for (pk,) in self.site.rows(HELD)}
            if kill.whom == EVERYTHING and kill is not kills[-1]:
                self.site.start()
        self.last_kill_at = self._seconds()
        # Fair, because it is only the time that passes: at the end of its lease, a minute later, a
        # row is as free as this. (test_crash.py waits for it.)
        self.site.rows(END_OF_LEASES)
        self.site.start()
        wait_for(
            lambda: crowd.number() == len(PEOPLE) and not self._waiting(),
            "nothing waits any more",
            GIVE_UP_AFTER - self._seconds(),
        )

    def _wait_for_its_moment(self, kill: Kill, crowd: Crowd) -> None:
        def reached() -> bool:
            registrations = crowd.number()
            mails = len(self.smtp.taken)
            self._waiting()
            return (mails if kill.when == "mails" else registrations) >= kill.number

        wait_for(reached, str(kill), GIVE_UP_AFTER - self._seconds())
        time.sleep(kill.later)

    def _waiting(self) -> list[tuple[str]]:
        """What is not sent. Once the server is well it waits for nothing any more: as fair."""
        if self.smtp.is_well and time.monotonic() > self.hurried_at + 1:
            self.hurried_at = time.monotonic()
            self.site.rows(END_OF_THE_ALARMS_PAUSE)
            self.site.rows(END_OF_PAUSES)
        return self.site.rows(PENDING)

    def _seconds(self) -> float:
        return time.monotonic() - self.begun

    def look_back(self, crowd: Crowd) -> None:
        letters = [
            Letter(taken.to, message_from_bytes(taken.content, policy=policy.default))
            for taken in self.smtp.taken
        ]
        rows = self.site.rows(ROWS)
        copies = Counter(letter.to for letter in letters)
        ids = {(letter.to, letter.message["Message-ID"]) for letter in letters}
        # What the server took in silence may come once more, for each time that it did.
        by_kill = {
            address: number
            for address in copies
            if (number := copies[address] - 1 - self.smtp.unanswered[address]) > 0
        }
        self._tell(crowd, copies, by_kill)

        # Nothing is lost.
        assert sorted(crowd.registered) == PEOPLE
        assert sorted(user_id for user_id, *_ in rows) == PEOPLE, "each has one row"
        assert {state for *_, state in rows} == {"sent"}
        assert copies.keys() == {address_of(user_id) for user_id in PEOPLE}
        assert all(letter.message["To"] == letter.to for letter in letters)

        # Two mails only where that could not be known, and then the reader's server can tell.
        held = {email for _, email, pk, _ in rows if pk in self.held}
        assert by_kill.keys() <= held, "a double that no kill explains"
        assert sum(by_kill.values()) <= self.in_flight_at_most
        assert ids == {(email, f"<{uuid.UUID(pk)}@127.0.0.1>") for _, email, pk, _ in rows}

        # Nobody who reads the database or the log can open an account.
        log = self.site.log.read_text()
        with contextlib.closing(sqlite3.connect(self.site.database)) as database:
            dump = "\n".join(database.iterdump())
        for files in self.site.database.parent.glob(f"{self.site.database.name}*"):
            dump += files.read_bytes().decode("latin-1")  # freed pages too, and the journal
        tokens = {LINK.search(letter.link)[1] for letter in letters}  # type: ignore[index]
        assert len(tokens) >= len(PEOPLE)
        for place in (log, dump):
            assert not LINK.search(place)
            assert not [token for token in tokens if token in place]
        assert "Traceback" not in log
        assert " ERROR " not in log, "a line of the site's own; gunicorn writes [ERROR] for a kill"

    def _tell(self, crowd: Crowd, copies: Counter[str], by_kill: dict[str, int]) -> None:
        *_, p95 = cuts = statistics.quantiles(crowd.seconds, n=20)
        [(attempts, in_vain)] = self.site.rows(
            "SELECT SUM(attempts), (SELECT COUNT(*) FROM mail_attempt) FROM mail_mail"
        )
        last_mail = self.smtp.taken[-1].at - self.begun
        registered_at = crowd.ended_at - self.begun
        self.diary += [
            f"{len(crowd.registered)} registrations in {registered_at:.0f} s: {dict(crowd.answers)}"
            f"; without an answer: {dict(crowd.cut_off)}",
            f"POST: p50 {cuts[9] * 1000:.0f} ms, p95 {p95 * 1000:.0f} ms, "
            f"longest {max(crowd.seconds) * 1000:.0f} ms",
            f"mail server: {self.smtp.opened} connections, {self.smtp.transactions} mails begun, "
            f"{len(self.smtp.taken)} taken",
            *(f"    {number:4} {what}" for what, number in sorted(self.smtp.refusals.items())),
            f"attempts: {attempts} counted by the rows, {in_vain} of them noted as in vain",
            f"doubles: {copies.total() - len(copies)}, of which {sum(by_kill.values())} by kills "
            f"(at most {self.in_flight_at_most}), which met {len(self.held)} messages in flight; "
            f"the server took {self.smtp.unanswered.total()} without an answer that was read",
            f"last mail at {last_mail:.0f} s: {last_mail - registered_at:.0f} s after the last "
            f"registration, {last_mail - self.last_kill_at:.0f} s after the last kill",
        ]
