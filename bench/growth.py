"""What a site costs that has grown: every flow beside an empty database, on SQLite and PostgreSQL.

    python -m bench.growth [--people 1000000] [--mails 5000000] [--databases sqlite postgresql]

Writes bench/GROWTH.md. Password hashes are left out: they are slow on purpose, and never grow. Both
databases are asked in turn, one visitor here, one visitor there, so that what else the machine does
meets both alike. Needs PostgreSQL's programs, 12 GB of disk for a million people, and half an hour.
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
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "GROWTH.md"
# What an administrator would give it; its own 128 MB are for machines of another time.
MEMORY = {"shared_buffers": "1GB", "maintenance_work_mem": "512MB", "max_wal_size": "8GB"}
WARM_UP = 10  # visitors
STAFF_EVERY = 8  # visitors, comes one of the office: each of their lists was seconds once
Figures = dict[str, list[float]]
SIDES = ["empty", "full", "empty, work", "full, work"]
INTRODUCTION = """# Growth

Written by `python -m bench.growth`: every flow with an empty database and with one that is full, in
turn. Milliseconds, p50; password hashes are left out, and so is the network. *Work* is the time on
a processor, of the site and of PostgreSQL for it, which hardly depends on what else the machine
does; *times* is the median of the ratios of two visitors who came one after the other. SQLite has
no statistics (`ANALYZE`), as on a site. A chore deletes a batch: it is measured with nothing to
delete, and with as many old rows in both databases.
"""


def main(*words: str) -> None:
    args = argparse.ArgumentParser()
    args.add_argument("--people", type=int, default=1_000_000)
    args.add_argument("--mails", type=int, default=5_000_000)
    args.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"])
    args.add_argument("--visitors", type=int, default=80)
    args.add_argument("--folder", help="where SQLite's databases are made")
    args.add_argument("--urls", nargs=2, metavar=("EMPTY", "FULL"), help="of two that stay")
    options = args.parse_args(words or None)
    for name in options.databases:
        with databases(name, options) as (empty, full):
            fill(empty, full, options)
            lines = [*section(options, compare(empty, full, options.visitors)), size(full)]
            write(f"{name}, {options.people:,} people", lines)
    print(RESULTS.read_text())


def fill(empty: str, full: str, options: argparse.Namespace) -> None:
    for url in (empty, full):
        child(url, "manage.py", "migrate", "--verbosity=0")
    if child(full, "-c", HOW_MANY).strip() != "0":
        return
    began = time.monotonic()
    child(full, "-m", "bench.growth_rows", str(options.people), str(options.mails))
    print(f"filled in {time.monotonic() - began:.0f} s", flush=True)


HOW_MANY = """
import django
django.setup()
from users.models import User
print(len(User.objects.all()[:1]))
"""


SIZE = """
import django
django.setup()
from django.db import connection
sqlite = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
with connection.cursor() as cursor:
    is_sqlite = connection.vendor == "sqlite"
    cursor.execute(sqlite if is_sqlite else "SELECT pg_database_size(current_database())")
    print(cursor.fetchone()[0])
"""


def size(url: str) -> str:
    return f"\nThe full one has {int(child(url, '-c', SIZE)) / 1e9:.1f} GB, with its indexes."


def compare(empty: str, full: str, visitors: int) -> dict[str, Figures]:
    """Of each flow the figure of each visit, in the same order on both sides."""
    figures: dict[str, Figures] = {side: defaultdict(list) for side in SIDES}
    visits = [sys.executable, "-m", "bench.growth_visits"]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with contextlib.ExitStack() as stack:
        sides = {}
        for side, url in (("empty", empty), ("full", full)):
            process = subprocess.Popen(visits, cwd=ROOT, env=environment(url), **pipes)
            sides[side] = stack.enter_context(process)
        for number in range(WARM_UP + visitors):
            order = list(sides) if number % 2 else list(reversed(sides))
            people = ["visitor", "staff"] if number % STAFF_EVERY == 0 else ["visitor"]
            for who in people:
                for side in order:
                    times, work = ask(sides[side], f"{who} {number}")
                    for flow in times if number >= WARM_UP else ():
                        figures[side][flow].append(statistics.median(times[flow]))
                        figures[f"{side}, work"][flow].append(statistics.median(work[flow]))
            if number % 20 == 0:
                print(f"visitor {number} of {WARM_UP + visitors}", flush=True)
        for process in sides.values():
            process.stdin.close()  # it ends
    return figures


def ask(process: Any, line: str) -> tuple[Figures, Figures]:
    process.stdin.write(line + "\n")
    process.stdin.flush()
    if answer := process.stdout.readline():
        times, work = json.loads(answer)
        return times, work
    raise SystemExit(f"{line}: no answer")


@contextlib.contextmanager
def databases(name: str, options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    if options.urls:
        yield tuple(options.urls)
        return
    if name == "postgresql":
        from tests.e2e import postgresql

        postgresql.HASTE |= MEMORY
        server = postgresql.PostgreSQL()
        try:
            yield server.new_database().url, server.new_database().url
        finally:
            server.remove()
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        yield f"sqlite:///{folder}/empty.sqlite3", f"sqlite:///{folder}/full.sqlite3"


def environment(url: str) -> dict[str, str]:
    return {
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


def child(url: str, *command: str) -> str:
    line = [sys.executable, *command]
    run = subprocess.run(line, cwd=ROOT, env=environment(url), stdout=subprocess.PIPE, text=True)
    if run.returncode:
        raise SystemExit(f"{command} has failed")
    return run.stdout


def section(options: argparse.Namespace, figures: dict[str, Figures]) -> list[str]:
    lines = [
        f"On {datetime.now(UTC).date()}: {options.people:,} people and {options.mails:,} rows of "
        f"mail, {os.cpu_count()} cores that others used as well (load {os.getloadavg()[0]:.1f}), "
        f"Python {platform.python_version()}.",
        "",
        "| | empty | full | times | work, empty | work, full | times |",
        "|---|---|---|---|---|---|---|",
    ]
    for flow in figures["empty"]:
        cells = []
        for empty, full in (SIDES[:2], SIDES[2:]):
            sides = [figures[side][flow] for side in (empty, full)]
            cells += [f"{statistics.median(side):.2f}" for side in sides]
            cells.append(f"{statistics.median(f / e for e, f in zip(*sides, strict=True)):.2f}")
        lines.append(f"| {flow} | {' | '.join(cells)} |")
    return lines


def write(name: str, lines: list[str]) -> None:
    """In the place of what an earlier run has said of this database."""
    text = RESULTS.read_text() if RESULTS.exists() else ""
    parts = dict(part.split("\n", 1) for part in text.split("\n## ")[1:])
    parts[name] = "\n" + "\n".join(lines) + "\n"
    RESULTS.write_text(INTRODUCTION + "".join(f"\n## {one}\n{parts[one]}" for one in sorted(parts)))


if __name__ == "__main__":
    main()
