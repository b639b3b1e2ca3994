"""Whether mail is conserved: histories that dice decide, with a model beside them.

    python -m bench.conserve [--steps 10000] [--seed 1] [--ways cs_web django-mailer …]

A step is a registration, a request for a new password, a kill -9 of the worker in mid-send, a
change of the mail server's weather (well, slow, away, "not now", cut off after the dot), a minute
that passes, or a moment's rest. In the end the server is well, and hours pass. The model knows what
was posted and what the server has taken. The others run as their documents set them up, from a
virtualenv of their own (`make bench` makes it); all on PostgreSQL, whose programs are needed.

A service is started again at once, and what cron starts, with the next minute. A minute passes by
aging what rows wait for: each waits for its time, and nobody for a clock.
"""

import argparse
import asyncio
import json
import os
import random
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import charts, peers

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "CONSERVE.md"
WAYS = ["cs_web", "django-mailer", "django-mailer, without its lock file", "django-post-office",
        "django-tasks"]  # fmt: skip
ACTS = {"post": 78, "kill": 2, "weather": 4, "minute": 6, "rest": 10}
WEATHER = {"well": 50, "slow": 20, "away": 10, "not now": 10, "cut": 10}
RETRY_EVERY = 20  # minutes, as django-mailer's documents say
AFTERWARDS = 8 * 60  # minutes at the most, of good weather
LIMIT = 60.0  # seconds, of a step that hangs
# Seconds until the server has taken a message.
TAKES, TAKES_SLOW = 0.005, 0.1
INTRODUCTION = """# Is mail conserved?

Written by `python -m bench.conserve`: the same history for each, which one seed decides: messages
posted, workers killed in mid-send (kill -9), a mail server that is well, slow, away, says "not
now", or takes a message and hangs up before it says so; then hours of good weather. Each as its
documents set it up, on PostgreSQL: what cron starts comes every minute, `retry_deferred` every
20 minutes, post-office with the four retries of its documents' example (its default is none).
"""
NOTES = """
*Lost*: the server has never seen it, and no row says that something is wrong. *Given up*: it has
never left, and its row says failed: somebody has to look. *Stranded*: it waits, the server is well,
a worker runs, and nothing moves it. A message that was cut off may or may not have left, so either
it is sent again, or perhaps lost: no queue can do better than two there. A kill meets as many
messages as are in flight: four or more here, five with post-office, one with the others. Minutes
are short here (people go on posting in them), so only the long waits can be compared.
"""


class Server:
    """SMTP in its simplest form, in a thread, and in every weather."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock, self.weather, self.dice = clock, "well", random.Random(0)
        self.taken: dict[str, list[float]] = defaultdict(list)  # when, by address
        self.cut: set[str] = set()  # taken, and the answer was never sent
        self.takes = {"slow": TAKES_SLOW}
        self.receiving = 0
        self.port = 0
        ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self.run(ready)), daemon=True).start()
        ready.wait(LIMIT)

    async def run(self, ready: threading.Event) -> None:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await server.serve_forever()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self.talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # it was killed
        finally:
            writer.transport.abort()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(line: str) -> None:
            writer.write(f"{line}\r\n".encode())

        if self.weather == "away":
            say("421 4.3.2 not now")
            return await writer.drain()
        say("220 mail.example.com")
        address = ""
        while line := (await reader.readline()).decode("ascii", "replace").strip():
            word = line[:4].upper()
            if word == "RCPT":
                address = line[line.index("<") + 1 : line.index(">")]
                say("451 4.3.2 not now" if self.weather == "not now" else "250 ok")
            elif word == "DATA":
                say("354 go ahead")
                if not await self.take(address, reader):
                    return None
                say("250 taken")
            else:
                say("221 bye" if word == "QUIT" else "250 ok")
            await writer.drain()
        return None

    async def take(self, address: str, reader: asyncio.StreamReader) -> bool:
        """Whether to answer."""
        self.receiving += 1
        try:
            await reader.readuntil(b"\r\n.\r\n")
            await asyncio.sleep(self.takes.get(self.weather, TAKES))
            self.taken[address].append(self.clock())
            if self.weather == "cut" and self.dice.random() < 0.5:
                self.cut.add(address)
                return False
            return True
        finally:
            self.receiving -= 1


class Side:
    """The process of one of them."""

    def __init__(self, way: str, url: str, port: int, folder: Path) -> None:
        ours = way == "cs_web"
        python = sys.executable if ours else str(peers.PYTHON)
        settings = "bench.apart_settings" if ours else "bench.peers.settings"
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": settings,
            "DATABASE_URL": url,
            "EMAIL_PORT": str(port),
            "BENCH_WAY": way,
            "BENCH_LOG": str(folder / "log"),
            "BENCH_LOCK": str(folder / "lock"),
            **(OURS | {"SECRET_KEY": secrets.token_urlsafe(50)} if ours else {}),
        }
        command = [python, "-W", "ignore", "-m", "bench.conserve_side", way]
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with (folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log, **pipes)
        self.is_service = self("service")

    def __call__(self, command: str) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        if answer := self.process.stdout.readline():
            return json.loads(answer)
        raise SystemExit(f"{command}: no answer")

    def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()  # it kills its worker
        self.process.wait(LIMIT)


OURS = {
    "DEBUG": "false",
    "SITE_URL": "http://127.0.0.1:8000",
    "ALLOWED_HOSTS": "testserver",
    "EMAIL_SERVICE": "smtp",
    "EMAIL_HOST": "127.0.0.1",
    "EMAIL_USE_TLS": "false",
    "DEFAULT_FROM_EMAIL": "noreply@cs.example.ac.kr",
    "MAIL_ENGINE": "work",
    # Of the others nobody limits anything.
    "EMAIL_DAILY_LIMIT": "0",
    "FORMS_PER_NETWORK_LIMIT": "1000000",
    "EMAIL_PER_NETWORK_LIMIT": "1000000",
}


class History:
    def __init__(self, way: str, steps: int, seed: int, url: str, folder: Path) -> None:
        self.steps, self.dice = steps, random.Random(seed)
        self.minutes, self.began = 0, time.monotonic()
        self.server = Server(self.clock)
        self.side = Side(way, url, self.server.port, folder)
        self.posted: dict[str, float] = {}
        self.kills = 0

    def clock(self) -> float:
        """Minutes: those that were made to pass, and what the bench itself has taken."""
        return self.minutes + (time.monotonic() - self.began) / 60

    def live(self) -> None:
        self.begin()
        acts = {name: getattr(self, name) for name in ACTS}
        for number in range(self.steps):
            acts[self.dice.choices(list(ACTS), list(ACTS.values()))[0]]()
            if number % 1000 == 999:
                print(f"  step {number + 1}, {len(self.posted)} posted", flush=True)
        self.server.weather = "well"
        end = self.minutes + AFTERWARDS
        while self.minutes < end and self.waiting():
            self.minute()

    def begin(self) -> None:
        if self.side.is_service:
            self.side("start")

    def waiting(self) -> int:
        if self.minutes % 10:  # it reads all rows
            return 1
        return sum(state == "waiting" for _, state in self.side("rows"))

    # The acts

    def post(self) -> None:
        kind = self.dice.choices(["register", "reset"], [3, 1])[0]
        number = len(self.posted)
        self.side(f"post {kind} {number}")
        self.posted[f"{kind}{number}@mailbox.example"] = self.clock()

    def kill(self) -> None:
        for _ in range(3):
            self.post()
        self.side("start")
        self.wait(lambda: self.server.receiving, 1)
        time.sleep(self.dice.uniform(0, 0.05))
        self.side("kill")
        self.kills += 1
        self.begin()

    def weather(self) -> None:
        self.server.weather = self.dice.choices(list(WEATHER), list(WEATHER.values()))[0]

    def minute(self) -> None:
        self.wait(self.quiet, 3)
        self.minutes += 1
        self.side("age 60")
        if self.side.is_service:
            return
        if self.minutes % RETRY_EVERY == 0:
            self.side("retry")
            self.wait(self.quiet, 20)
        self.side("start")

    def rest(self) -> None:
        time.sleep(0.05)

    def quiet(self) -> bool:
        return bool(not self.server.receiving and self.side("idle"))

    def wait(self, until: Callable[[], Any], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not until() and time.monotonic() < deadline:
            time.sleep(0.01)

    def figures(self) -> dict[str, Any]:
        rows = dict(self.side("rows"))
        found = judged(self.posted, self.server.taken, self.server.cut, rows, self.clock())
        return {"posted": len(self.posted), "kills": self.kills, **found}


def judged(
    posted: dict[str, float],
    taken: dict[str, list[float]],
    cut: set[str],
    rows: dict[str, str],
    now: float,
) -> dict[str, Any]:
    """The model: what became of what was posted, by what the server has taken and the rows say."""
    never = [address for address in posted if address not in taken]
    doubled = [address for address in posted if len(taken.get(address, [])) > 1]
    waits = sorted(taken[a][0] - at for a, at in posted.items() if a in taken)
    stranded = [a for a in never if rows.get(a) == "waiting"]
    return {
        "silent": sum(rows.get(a) in (None, "sent") for a in never),
        "failed": sum(rows.get(a) == "failed" for a in never),
        "stranded": len(stranded),
        "since": max((now - posted[a] for a in stranded), default=0),
        "killed": sum(a not in cut for a in doubled),
        "cut": sum(a in cut for a in doubled),
        "copies": sum(len(taken[a]) - 1 for a in doubled),
        "waits": [waits[int(len(waits) * 0.99)], waits[-1]],
    }


HEAD = ["", "messages", "kills", "lost: neither sent nor noted", "given up: noted as failed",
        "stranded: no end in sight, since", "doubled by a kill", "doubled by a cut answer",
        "copies too many", "minutes until it came: p99, the last"]  # fmt: skip


def line(way: str, figures: dict[str, Any]) -> str:
    stranded = str(figures["stranded"])
    if figures["stranded"]:
        stranded += f", {figures['since'] / 60:.0f} h"
    keys = ("posted", "kills", "silent", "failed")
    cells = [way, *(f"{figures[key]:,}" for key in keys), stranded]
    cells += [f"{figures[key]:,}" for key in ("killed", "cut", "copies")]
    cells.append(", ".join(f"{wait:.0f}" for wait in figures["waits"]))
    return f"| {' | '.join(cells)} |"


def table(ways: list[str], steps: int, seed: int) -> list[str]:
    from tests.e2e.postgresql import PostgreSQL

    lines = [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
    cluster = PostgreSQL()
    try:
        for way in ways:
            print(f"{way} …", flush=True)
            with tempfile.TemporaryDirectory() as folder:
                url = cluster.new_database().url
                history = History(way, steps, seed, url, Path(folder))
                try:
                    history.live()
                    lines.append(line(way, history.figures()))
                finally:
                    history.side.end()
            print(lines[-1], flush=True)
    finally:
        cluster.remove()
    return lines


def main(*words: str) -> None:
    args = argparse.ArgumentParser()
    args.add_argument("--steps", type=int, default=10_000)
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    options = args.parse_args(words or None)
    peers.install()
    for way in options.ways:
        for row in table([way], options.steps, options.seed)[2:]:
            load = f"{datetime.now(UTC).date()}, {options.steps:,} steps, seed {options.seed}, load"
            write(way, f"{row} {load} {os.getloadavg()[0]:.0f} |")
    print(RESULTS.read_text())


def write(way: str, row: str) -> None:
    """In the place of what an earlier run has said of this one."""
    rows = {}
    for line in RESULTS.read_text().splitlines() if RESULTS.exists() else ():
        name = line.strip("| ").split(" |")[0]
        if line.startswith("|") and name in WAYS:
            rows[name] = line
    rows[way] = row
    head = [f"| {' | '.join([*HEAD, 'run'])} |", "|---" * (len(HEAD) + 1) + "|"]
    known = [rows[name] for name in WAYS if name in rows]
    RESULTS.write_text("\n".join([INTRODUCTION, *head, *known, "", chart(known), NOTES]))


def chart(rows: list[str]) -> str:
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]
    return charts.bars(
        "conserve",
        "Messages that never come unless somebody acts: given up or stranded",
        [(name, _number(up) + _number(stranded)) for name, _, _, _, up, stranded, *_ in cells],
        "",
    )


def _number(cell: str) -> float:
    return float(cell.split(", ")[0].replace(",", ""))


if __name__ == "__main__":
    main()
