"""What a site costs that has grown: every flow beside an empty database, on SQLite and PostgreSQL.

    python -m bench.growth [--people 1000000] [--mails 5000000] [--databases sqlite postgresql]

Writes bench/GROWTH.md. Password hashes are left out: they are slow on purpose, and never grow. Both
databases are asked in turn, so that what else the machine does meets both alike. Needs
PostgreSQL's programs, 12 GB of disk for a million people, and half an hour.
"""

import argparse
import contextlib
import json
import os
import platform
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "GROWTH.md"
PASSWORD, NEW_PASSWORD = "correct-horse-battery", "staple-horse-correct"
VISITORS = 60  # a round
Figures = dict[str, list[float]]
INTRODUCTION = """# Growth

Written by `python -m bench.growth`: every flow with an empty database and with one that is full, in
turn. Milliseconds, p50; password hashes are left out, and so is the network. Ratios under 1 mean
that the machine had more other work in the empty rounds: the full ones are an upper bound then.
"""


def main() -> None:
    args = argparse.ArgumentParser()
    args.add_argument("--people", type=int, default=1_000_000)
    args.add_argument("--mails", type=int, default=5_000_000)
    args.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"])
    args.add_argument("--rounds", type=int, default=3)
    args.add_argument("--folder", help="where to keep the databases; default: one that goes")
    options = args.parse_args()
    for name in options.databases:
        with databases(name, options) as (empty, full):
            write(name, section(options, compare(empty, full, options)))
    print(RESULTS.read_text())


def compare(empty: str, full: str, options: argparse.Namespace) -> dict[str, Figures]:
    for url in (empty, full):
        child(url, "manage.py", "migrate", "--verbosity=0")
    began = time.monotonic()
    child(full, "-m", "bench.growth_rows", str(options.people), str(options.mails))
    print(f"filled in {time.monotonic() - began:.0f} s", flush=True)
    figures: dict[str, Figures] = {"empty": defaultdict(list), "full": defaultdict(list)}
    for number in range(options.rounds):
        for name, url in (("empty", empty), ("full", full)):
            out = json.loads(child(url, "-m", "bench.growth_visits", str(number)))
            for flow, times in out.items():
                figures[name][flow] += times
        print(f"round {number + 1} of {options.rounds}", flush=True)
    return figures


@contextlib.contextmanager
def databases(name: str, options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    if name == "postgresql":
        from tests.e2e.postgresql import PostgreSQL

        server = PostgreSQL()
        try:
            yield server.new_database().url, server.new_database().url
        finally:
            server.remove()
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        yield f"sqlite:///{folder}/empty.sqlite3", f"sqlite:///{folder}/full.sqlite3"


def child(url: str, *command: str) -> str:
    environment = {
        **os.environ,
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "bench.growth_settings",
        "SECRET_KEY": secrets.token_urlsafe(50),
        "DEBUG": "false",
        "SITE_URL": "http://127.0.0.1:8000",
        "ALLOWED_HOSTS": "testserver",
        "EMAIL_SERVICE": "console",
        "MAIL_ENGINE": "work",
    }
    run = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    if run.returncode:
        raise SystemExit(f"{command} has failed")
    return run.stdout


def section(options: argparse.Namespace, figures: dict[str, Figures]) -> list[str]:
    lines = [
        f"On {datetime.now(UTC).date()}: {options.people:,} people and {options.mails:,} rows of "
        f"mail, {os.cpu_count()} cores that others used as well (load {os.getloadavg()[0]:.1f}), "
        f"Python {platform.python_version()}.",
        "",
        "| | empty | full | times |",
        "|---|---|---|---|",
    ]
    for flow in figures["empty"]:
        empty, full = (statistics.median(figures[which][flow]) for which in ("empty", "full"))
        lines.append(f"| {flow} | {empty:.2f} | {full:.2f} | {full / empty:.2f} |")
    return lines


def write(name: str, lines: list[str]) -> None:
    """In the place of what an earlier run has said of this database."""
    text = RESULTS.read_text() if RESULTS.exists() else ""
    parts = dict(part.split("\n", 1) for part in text.split("\n## ")[1:])
    parts[name] = "\n" + "\n".join(lines) + "\n"
    RESULTS.write_text(INTRODUCTION + "".join(f"\n## {one}\n{parts[one]}" for one in sorted(parts)))


if __name__ == "__main__":
    main()
