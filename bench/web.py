"""What 10,000 queued mails do to the web process: its p50 of a page, and its memory.

Two servers of the site, one with an empty queue and one whose senders are at work on 10,000 rows,
are asked for the same page in turn, so that what else the machine does meets both alike.
"""

import contextlib
import http.client
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import server

ROOT = Path(__file__).resolve().parent.parent
PAGE = "/users/register/"
SOME, ROWS = 80, 10_000
WARM_UP, REQUESTS = 200, 500
PAUSE = 0.02  # seconds between two requests: a visitor, not a flood
SWEEP = 7  # seconds after which the sweeper must have seen the rows
# What counts as "as they were": below what a person or an operator can notice.
P50_MS, RSS_MB = 1, 3


@dataclass
class Site:
    port: int
    database: Path
    master: int

    def page_ms(self) -> float:
        began = time.perf_counter()
        connection = http.client.HTTPConnection(server.HOST, self.port, timeout=20)
        connection.request("GET", PAGE, headers={"Host": server.HOST})
        response = connection.getresponse()
        response.read()
        connection.close()
        if response.status != 200:
            raise SystemExit(f"{PAGE} answers {response.status}")
        return 1000 * (time.perf_counter() - began)

    def rss_mb(self) -> float:
        """Of the one worker: gunicorn's master has no other child."""
        children = Path(f"/proc/{self.master}/task/{self.master}/children").read_text().split()
        status = Path(f"/proc/{children[0]}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
        return int(line.split()[1]) / 1024

    def sent(self) -> int:
        with contextlib.closing(sqlite3.connect(self.database, timeout=20)) as database:
            query = "SELECT count(*) FROM mail_mail WHERE state = 'sent'"
            return int(database.execute(query).fetchone()[0])


def compare(folder: Path, environment: dict[str, str]) -> dict[str, dict[str, float]]:
    with (
        running(folder / "empty", environment) as empty,
        running(folder / "full", environment) as full,
    ):
        sites = {"empty": empty, "queued": full}
        for site in sites.values():  # both have sent mail before, as any web process has
            fill(site, SOME, environment)
        for _ in range(WARM_UP):
            for site in sites.values():
                site.page_ms()
        wait_until_sent(sites.values(), SOME)
        fill(full, ROWS, environment)
        time.sleep(SWEEP)
        sent, began = full.sent(), time.monotonic()
        times: dict[str, list[float]] = {name: [] for name in sites}
        for _ in range(REQUESTS):
            for name, site in sites.items():
                times[name].append(site.page_ms())
                time.sleep(PAUSE)
        rate = (full.sent() - sent) / (time.monotonic() - began)
        if full.sent() >= ROWS:
            raise SystemExit("the queue was empty before the end: more rows, or fewer requests")
        return {
            name: {
                "p50_ms": statistics.median(times[name]),
                "rss_mb": site.rss_mb(),
                "mails": rate if name == "queued" else 0,
            }
            for name, site in sites.items()
        }


@contextlib.contextmanager
def running(stem: Path, environment: dict[str, str]) -> Iterator[Site]:
    port, database = server.free_port(), stem.with_suffix(".sqlite3")
    environment = environment | {"DATABASE_URL": f"sqlite:///{database}"}
    migrate = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
    subprocess.run(migrate, cwd=ROOT, env=environment, check=True, timeout=120)
    command = [sys.executable, "-m", "gunicorn", "cs_web.wsgi", "--bind", f"{server.HOST}:{port}"]
    command += ["--workers", "1", "--threads", "4", "--log-level", "warning"]
    gunicorn = subprocess.Popen(command, cwd=ROOT, env=environment)
    with server.stopped_at_the_end(gunicorn):
        server.wait_for(port)
        yield Site(port, database, gunicorn.pid)


def wait_until_sent(sites: Iterable[Site], count: int, within: float = 60) -> None:
    end = time.monotonic() + within
    while any(site.sent() < count for site in sites):
        if time.monotonic() > end:
            raise SystemExit("the sites do not send")
        time.sleep(0.2)


def fill(site: Site, count: int, environment: dict[str, str]) -> None:
    environment = environment | {"DATABASE_URL": f"sqlite:///{site.database}"}
    command = [sys.executable, "-m", "bench.people", str(count)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=120)
