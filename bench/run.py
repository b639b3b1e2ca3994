"""How fast mail leaves, beside bare smtplib: a table, which goes into bench/MAIL.md.

    python -m bench.run [--rounds 3] [--mails 1000]

Needs Exim (see `bench.server`), root, Linux, and about seven minutes. Everything runs on loopback,
in a folder that goes afterwards. `make bench` runs it, too.
"""

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import server, web

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "MAIL.md"
LIMIT = 300  # seconds a child process may take
ROUND_TRIPS = [0, 20]  # ms
WAYS = ["fresh", "kept", "site"]
# The same four connections, in several processes: as many as a web server's workers would be.
SPREAD = {2: "site, 2 processes", 4: "site, 4 processes"}

NOTES = """
Both sides of a ratio use the same server and the same wire. The server keeps its spool in memory.

"fresh" is smtplib with a connection a message, "kept" smtplib with connections kept open and no
PIPELINING, "site" the site. At 0 ms the bound of "kept" is the server: Exim sleeps until its next
message number, 200 a second and connection. The bound of "site" is Python, which runs one thread
of a process at a time, so two processes send more over the same four connections. Bare smtplib
sends the same bytes each time, where the site claims a row, decides, writes a letter and a token,
and marks what it did. No mail service of the Internet answers in 0 ms.
"""

Figures = dict[str, float]


def main(*words: str) -> None:
    args = argparse.ArgumentParser()
    args.add_argument("--rounds", type=int, default=3)
    args.add_argument("--mails", type=int, default=1000)
    options = args.parse_args(words or None)
    before = os.getloadavg()[0]
    lines = measure(options.rounds, options.mails)
    when = (
        f"Written by `python -m bench.run` on {datetime.now(UTC).date()}, on a machine of "
        f"{os.cpu_count()} cores with a load {before:.1f} before and {os.getloadavg()[0]:.1f} "
        f"after, with Python {platform.python_version()}."
    )
    RESULTS.write_text("\n".join(["# How fast mail leaves", "", when, "", *lines, ""]))
    print(RESULTS.read_text())


def measure(rounds: int, mails: int, *, with_web: bool = True) -> list[str]:
    # The server's spool in memory: a disk would make it slow, and hide what we cost.
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with (
        tempfile.TemporaryDirectory() as ours,
        tempfile.TemporaryDirectory(dir=memory) as theirs,
        server.running(Path(theirs)) as mail_server,
    ):
        bench = Bench(Path(ours), mail_server, mails)
        figures = {rtt: bench.rounds(rtt, rounds) for rtt in ROUND_TRIPS}
        pages = {}
        if with_web:
            with bench.wire(ROUND_TRIPS[-1]) as port:
                pages = web.compare(bench.folder, bench.environment(port))
    return report(rounds, mails, figures, pages)


class Bench:
    def __init__(self, folder: Path, mail_server: server.Server, mails: int) -> None:
        self.folder = folder
        self.server = mail_server
        self.mails = mails
        letter = self.child(["letter"], self.environment(mail_server.port), database="letter")
        (folder / "letter").write_bytes(letter)

    def environment(self, port: int) -> dict[str, str]:
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "bench.settings",
            "EMAIL_HOST": server.HOST,
            "EMAIL_PORT": str(port),
            "EMAIL_USE_TLS": "true",
            "EMAIL_HOST_USER": server.USER,
            "EMAIL_HOST_PASSWORD": server.PASSWORD,
            "SSL_CERT_FILE": str(self.server.certificates),
            "BENCH_LETTER": str(self.folder / "letter"),
            "MAIL_THREADS": "4",
            "MAIL_THREADS_AT_MOST": "4",  # as many connections as the others have
        }

    @contextlib.contextmanager
    def wire(self, round_trip: int) -> Iterator[int]:
        """The port at which the mail server is so far away; without a wire for 0 ms."""
        if not round_trip:
            yield self.server.port
            return
        port = server.free_port()
        command = [sys.executable, "-m", "bench.wire"]
        command += map(str, [port, self.server.port, round_trip])
        with server.stopped_at_the_end(subprocess.Popen(command, cwd=ROOT)):
            server.wait_for(port)
            yield port

    def rounds(self, round_trip: int, count: int) -> list[dict[str, Figures]]:
        """Each round runs every way, so that what else the machine does meets all alike."""
        with self.wire(round_trip) as port:
            done = []
            for number in range(count):
                figures = {way: self.run(way, port, f"{round_trip}-{number}") for way in WAYS}
                if round_trip == 0:
                    for processes, way in SPREAD.items():
                        name = f"spread-{processes}-{number}"
                        figures[way] = self.run_spread(port, name, processes)
                print(f"{round_trip} ms, round {number + 1}: {rates(figures)}", flush=True)
                done.append(figures)
            return done

    def run(self, way: str, port: int, name: str) -> Figures:
        taken = self.server.taken()
        mails = self.mails if round_trip_is_short(way) else self.mails // 4
        out = self.child([way, str(mails)], self.environment(port), database=name)
        self.check(taken, mails)
        return dict(json.loads(out))

    def run_spread(self, port: int, name: str, processes: int) -> Figures:
        """Several processes of the site on one database, as under a web server with workers."""
        taken = self.server.taken()
        share = str(4 // processes)
        threads = {"MAIL_THREADS": share, "MAIL_THREADS_AT_MOST": share}
        environment = self.environment(port) | threads | self.database(name)
        command = [sys.executable, "-m", "bench.senders", "site", str(self.mails // processes)]
        command += ["--together"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        all_of_them = [
            subprocess.Popen(command, cwd=ROOT, env=environment, **pipes)  # type: ignore[call-overload]
            for _ in range(processes)
        ]
        for process in all_of_them:
            process.stdout.readline()  # it is ready
        for process in all_of_them:
            process.stdin.write("go\n")
            process.stdin.flush()
        out = [json.loads(process.communicate(timeout=LIMIT)[0]) for process in all_of_them]
        self.check(taken, self.mails)
        took = max(each["ended"] for each in out) - min(each["began"] for each in out)
        return {
            "mails_per_second": self.mails / took,
            "cpu_ms": statistics.mean(each["cpu_ms"] for each in out),
        }

    def check(self, taken_before: int, mails: int) -> None:
        """The server's own log must say that it has them."""
        taken = self.server.taken() - taken_before
        if taken < mails:
            raise SystemExit(f"only {taken} of {mails} mails have reached the server")
        self.server.empty()

    def database(self, name: str) -> dict[str, str]:
        url = {"DATABASE_URL": f"sqlite:///{self.folder / name}.sqlite3"}
        environment = self.environment(0) | url | {"EMAIL_PORT": "1"}
        migrate = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
        subprocess.run(migrate, cwd=ROOT, env=environment, check=True, timeout=LIMIT)
        return url

    def child(self, args: list[str], environment: dict[str, str], database: str) -> bytes:
        if args[0] in ("site", "letter"):
            environment = environment | self.database(database)
        command = [sys.executable, "-m", "bench.senders", *args]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True, timeout=LIMIT
        )
        return done.stdout


def round_trip_is_short(way: str) -> bool:
    return way != "fresh"  # a connection a mail is slow, and needs fewer mails for its figure


def rates(figures: dict[str, Figures]) -> str:
    return ", ".join(f"{way} {each['mails_per_second']:.0f}/s" for way, each in figures.items())


# The report


def report(
    rounds: int,
    mails: int,
    figures: dict[int, list[dict[str, Figures]]],
    pages: dict[str, Figures],
) -> list[str]:
    near, far = figures[0], figures[ROUND_TRIPS[-1]]
    asked = [
        ("20 ms: site / a connection a message", ratio(far, "site", "fresh"), "≥ 2.5"),
        ("20 ms: site / smtplib kept open", ratio(far, "site", "kept"), "≥ 1.5"),
        ("0 ms: site / smtplib kept open", ratio(near, "site", "kept"), ""),
        *(
            (f"0 ms: {way} / smtplib kept open", ratio(near, way, "kept"), "")
            for way in SPREAD.values()
        ),
        ("0 ms: commit to 250, more than smtplib", later(near, "latency_ms"), "≤ 15 ms"),
        ("20 ms: commit to 250, more than smtplib", later(far, "latency_ms"), "≤ 15 ms"),
    ]
    if pages:
        rss, p50 = [pages["queued"][key] - pages["empty"][key] for key in ("rss_mb", "p50_ms")]
        asked += [
            ("p50 of a page, 10,000 rows more than none", f"{p50:+.1f} ms", f"± {web.P50_MS} ms"),
            ("memory (RSS), 10,000 rows more than none", f"{rss:+.1f} MB", f"± {web.RSS_MB} MB"),
        ]
    lines = [
        f"Medians of {rounds} rounds of {mails} messages over 4 connections; in brackets the least "
        "and the most.",
        "",
        "| Ratio or difference | Measured | Asked |",
        "|---|---|---|",
        *(f"| {what} | {figure} | {wanted} |" for what, figure, wanted in asked),
        "",
        "| Round trip | Way | Messages a second | CPU of one, ms | Latency, ms | with a new one |",
        "|---|---|---|---|---|---|",
    ]
    for round_trip, done in figures.items():
        for way in done[0]:
            cells = [
                spread([each[way].get(key) for each in done], digits)
                for key, digits in (
                    ("mails_per_second", 0),
                    ("cpu_ms", 1),
                    ("latency_ms", 1),
                    ("cold_ms", 1),
                )
            ]
            lines.append(f"| {round_trip} ms | {way} | {' | '.join(cells)} |")
    if pages:
        lines += [
            "",
            "| Web process | p50 of a page, ms | RSS, MB | Messages sent meanwhile, a second |",
            "|---|---|---|---|",
        ]
    for name, each in pages.items():
        cells = f"{each['p50_ms']:.1f} | {each['rss_mb']:.1f} | {each['mails']:.0f}"
        lines.append(f"| {name} | {cells} |")
    return [*lines, NOTES.rstrip()]


def ratio(done: list[dict[str, Figures]], ours: str, theirs: str) -> str:
    key = "mails_per_second"
    return spread([each[ours][key] / each[theirs][key] for each in done], 2)


def later(done: list[dict[str, Figures]], key: str) -> str:
    return spread([each["site"][key] - each["kept"][key] for each in done], 1) + " ms"


def spread(figures: list[Any], digits: int) -> str:
    if None in figures:
        return ""
    low, middle, high = min(figures), statistics.median(figures), max(figures)
    return f"{middle:.{digits}f} ({low:.{digits}f} … {high:.{digits}f})"


if __name__ == "__main__":
    main()
