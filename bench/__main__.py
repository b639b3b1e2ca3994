"""All benchmarks: `make bench` (a few minutes), `make bench FULL=1` (some hours).

    python -m bench [--full] [--only visitors mail pages growth bursts senders conserve]

Writes bench/RESULTS.md with charts (bench/charts), --full also MAIL.md, GROWTH.md and CONSERVE.md.
Figures of one table were measured in one run, in turn, so their ratios hold on a busy machine, too;
each table says how busy it was. On loopback; PostgreSQL's programs and Exim are needed.
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bench import burst, charts, conserve, growth, pages, peers, run, sites, spread

RESULTS = Path(__file__).resolve().parent / "RESULTS.md"
QUICK_GROWTH = argparse.Namespace(
    people=10_000, mails=50_000, visitors=8, databases=["sqlite", "postgresql"], urls=None,
    folder=None,
)  # fmt: skip
INTRODUCTION = """# Results

Written by `make bench`, on {cores} cores, with Python {python}. *Load* is what waited for a
processor before and after a table was made; with more than {cores} the machine was busy with other
work, and only what stands in one table may be compared. Passwords are hashed quickly, for all.
"""

# The sections. Each returns its lines.


def visitors(full: bool) -> list[str]:
    """What visitors wait for, beside sites that others build (`python -m bench.sites`)"""
    table = sites.table(30 if full else 5, [0, 20, 100])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table[2:]]
    slow = [row for row in rows if row[:1] == ["100 ms"]]
    chart = charts.bars(
        "register",
        "Registering, while the mail server takes 100 ms a message (p50)",
        [(row[1], float(row[3])) for row in slow],
        "ms",
    )
    return [*table, "", chart]


def mail(full: bool) -> list[str]:
    """How fast mail leaves, beside bare smtplib (`python -m bench.run`)"""
    if full:
        run.main("--rounds", "3")
        return ["See [MAIL.md](MAIL.md)."]
    lines = run.measure(1, 120, with_web=False)
    return [*lines, "", "More rounds, and what a full queue does to pages: [MAIL.md](MAIL.md)."]


def page(full: bool) -> list[str]:
    """What our own layers cost a page (`python -m bench.pages`)"""
    return pages.table(15 if full else 5)


def grown(full: bool) -> list[str]:
    """A site that has grown (`python -m bench.growth`)"""
    if full:
        growth.main("--people", "100000", "--mails", "500000")
        growth.main("--people", "1000000", "--mails", "5000000")
        return ["See [GROWTH.md](GROWTH.md)."]
    lines = []
    for name in QUICK_GROWTH.databases:
        with growth.databases(name, QUICK_GROWTH) as (empty, filled):
            growth.fill(empty, filled, QUICK_GROWTH)
            figures = growth.compare(empty, filled, QUICK_GROWTH.visitors)
        lines += [f"### {name}", "", *growth.section(QUICK_GROWTH, figures), ""]
    return [*lines, "A million people: see [GROWTH.md](GROWTH.md)."]


def bursts(full: bool) -> list[str]:
    """Many at once, and a mail server that is slow or takes few connections (`bench.burst`)"""
    return burst.table()


def senders(full: bool) -> list[str]:
    """Sender processes on PostgreSQL, against a server of 400 ms (`python -m bench.spread`)"""
    return spread.table(800 if full else 100)


def conserved(full: bool) -> list[str]:
    """Kills and a bad mail server: is mail conserved? (`python -m bench.conserve`)"""
    if full:
        conserve.main("--steps", "10000")
        return ["See [CONSERVE.md](CONSERVE.md)."]
    lines = conserve.table(conserve.WAYS, 80, 1)
    return [
        *lines,
        "",
        "80 steps each. 10,000, and what the columns mean: [CONSERVE.md](CONSERVE.md).",
    ]


Section = Callable[[bool], list[str]]
SECTIONS: dict[str, Section] = {
    "visitors": visitors,
    "mail": mail,
    "pages": page,
    "growth": grown,
    "bursts": bursts,
    "senders": senders,
    "conserve": conserved,
}


def write(section: Section, lines: list[str]) -> None:
    """In the place of what an earlier run has said of it."""
    text = RESULTS.read_text() if RESULTS.exists() else ""
    parts = {part.split("\n")[0]: f"## {part}" for part in text.split("\n## ")[1:]}
    parts[str(section.__doc__)] = "\n".join(lines)
    head = INTRODUCTION.format(cores=os.cpu_count(), python=platform.python_version())
    known = [parts[str(one.__doc__)] for one in SECTIONS.values() if str(one.__doc__) in parts]
    RESULTS.write_text("\n".join([head, *(part.rstrip() + "\n" for part in known)]))


def main() -> int:
    args = argparse.ArgumentParser()
    args.add_argument("--full", action="store_true")
    args.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    options = args.parse_args()
    peers.install()
    ended_well = True
    for name in options.only:
        print(f"{name} …", flush=True)
        section = SECTIONS[name]
        before, began = os.getloadavg()[0], time.monotonic()
        try:
            lines = section(options.full)
        except (Exception, SystemExit) as error:  # the others can still be measured
            lines, ended_well = [f"Could not be measured: {error}"], False
        took, after = time.monotonic() - began, os.getloadavg()[0]
        when = f"{datetime.now(UTC).date()}, {took:.0f} s, load {before:.1f} … {after:.1f}."
        write(section, [f"## {section.__doc__}", "", when, "", *lines, ""])
    print(RESULTS.read_text())
    return 0 if ended_well else 1


if __name__ == "__main__":
    sys.exit(main())
