"""A sign-up storm, simulated event by event: who waits for what on a site of some size.

    python -m bench.storm [--costs]

People come by chance, for a while many times as many as usual. They need a processor for their
pages and their hash, the database for its part, and their message a processor and one of the
connections to a mail service, which may have a rate of its own. At most cores - 1 hash at a time,
and one waits in each process: the others get a 503, and press again (`users.hashing`). What each
needs stands in docs/scaling.md; --costs measures it anew (`bench.costs`). Writes the tables of that
page, and its chart.
"""

import argparse
import heapq
import random
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench import charts, costs

PAGE = Path(__file__).resolve().parent.parent / "docs" / "scaling.md"
CALM, STORM, AFTER = 30.0, 120.0, 270.0  # seconds
SAME = 50.0  # people a second, the storm of the chart for all of them
STEP = 5.0  # seconds between two points of a chart
END = 1200.0  # whoever has not come through by then is counted so
PRESSES_AGAIN = (5.0, 15.0)  # seconds after a 503


@dataclass(frozen=True)
class Site:
    """Cores of the web, of the senders and of the one database; connections to the service."""

    name: str
    web: int
    senders: int
    database: int
    connections: int
    message_seconds: float  # that the service takes
    a_second: float = 1e9  # messages that the service allows

    @property
    def hashing(self) -> int:
        return max(1, self.web - 1)


SITES = [
    Site("one core", 1, 1, 1, 4, 0.6),
    Site("one machine: 8 cores", 6, 1, 1, 32, 0.1),
    Site("one machine, SES with 14 a second", 6, 1, 1, 4, 0.1, 14),
    Site("ten machines of 8 cores, and the database's 16", 60, 20, 16, 320, 0.1),
]


class Station:
    """So many at a time; the others wait in their order."""

    def __init__(self, places: int) -> None:
        self.free = places
        self.waiting: deque[tuple[float, Callable[[float], None]]] = deque()


@dataclass
class Person:
    came: float
    answered: float = 0.0
    mailed: float = 0.0
    refused: int = 0


@dataclass
class World:
    site: Site
    rate: float  # people a second in the storm; a twentieth before and after
    dice: random.Random
    costs: costs.Costs
    events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    people: list[Person] = field(default_factory=list)
    now: float = 0.0
    number: int = 0
    allowed_at: float = 0.0

    def __post_init__(self) -> None:
        site = self.site
        self.web, self.hashing = Station(site.web), Station(site.hashing)
        self.senders, self.database = Station(site.senders), Station(site.database)
        self.connections = Station(site.connections)

    def at(self, time: float, do: Callable[[], None]) -> None:
        self.number += 1
        heapq.heappush(self.events, (time, self.number, do))

    def use(
        self, station: Station, seconds: float, then: Callable[[], None], *, first: bool = False
    ) -> None:
        if not station.free:
            add = station.waiting.appendleft if first else station.waiting.append
            add((seconds, lambda s: self._begin(station, s, then)))
            return
        self._begin(station, seconds, then)

    def _begin(self, station: Station, seconds: float, then: Callable[[], None]) -> None:
        station.free -= 1

        def end() -> None:
            station.free += 1
            if station.waiting:
                waited, begin = station.waiting.popleft()
                begin(waited)
            then()

        self.at(self.now + seconds, end)

    # A registration

    def arrivals(self) -> Iterator[float]:
        time, rate = 0.0, self.rate
        while time < CALM + STORM + AFTER:
            time += self.dice.expovariate(rate if CALM <= time < CALM + STORM else rate / 20)
            yield time

    def come(self) -> None:
        person = Person(self.now)
        self.people.append(person)
        page, form = self.costs["status page"], self.costs["register"]
        # The form, the POST, and the page after it.
        self.use(self.web, (2 * page[0] + form[0]) / 1000, lambda: self.submit(person))

    def submit(self, person: Person) -> None:
        if self.hashing.free:
            self.hashing.free -= 1
            return self.hash(person)
        if len(self.hashing.waiting) < self.site.web:
            self.hashing.waiting.append((0.0, lambda _: self.hash(person)))
            return None
        person.refused += 1
        form = self.costs["register"][0] / 1000

        def again() -> None:
            self.use(self.web, form, lambda: self.submit(person))

        return self.at(self.now + self.dice.uniform(*PRESSES_AGAIN), again)

    def hash(self, person: Person) -> None:
        page, form = self.costs["status page"], self.costs["register"]

        def answer() -> None:
            person.answered = self.now
            self.mail(person)

        def hashed() -> None:
            if self.hashing.waiting:
                self.hashing.waiting.popleft()[1](0.0)
            else:
                self.hashing.free += 1
            self.use(self.database, (2 * page[1] + form[1]) / 1000, answer)

        # Whoever has a slot computes; those who ask for a page wait.
        self.use(self.web, self.costs["hash"][0] / 1000, hashed, first=True)

    def mail(self, person: Person) -> None:
        own, theirs = (ms / 1000 for ms in self.costs["message"])

        def came() -> None:
            person.mailed = self.now

        def transmit() -> None:
            self.use(self.connections, self.site.message_seconds, came)

        def when_allowed() -> None:
            self.allowed_at = max(self.allowed_at, self.now) + 1 / self.site.a_second
            self.at(self.allowed_at, transmit)

        self.use(self.senders, own, lambda: self.use(self.database, theirs, when_allowed))

    def run(self) -> "World":
        for time in self.arrivals():
            self.at(time, self.come)
        while self.events and self.now < END:
            self.now, _, do = heapq.heappop(self.events)
            do()
        return self


def carries(site: Site, each: costs.Costs) -> dict[str, float]:
    """Registrations a second at which each part is full; the least of them is what it carries."""
    page, form, hash_, mail = (each[n] for n in ("status page", "register", "hash", "message"))
    return {
        "processors of the web": 1000 * site.web / (2 * page[0] + form[0] + hash_[0]),
        "cores that may hash": 1000 * site.hashing / hash_[0],
        "the database": 1000 * site.database / (2 * page[1] + form[1] + mail[1]),
        "processors of the senders": 1000 * site.senders / mail[0],
        "connections": site.connections / site.message_seconds,
        "the mail service": site.a_second,
    }


def report(each: costs.Costs) -> list[str]:
    lines = ["| site | carries, a second | what is full first | storm, a second | answered after "
             "(p50, p99) | met a 503 | message after (p50, p99) | all mail gone after the storm |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    waits: dict[str, list[tuple[float, float]]] = {}
    for site in SITES:
        full = carries(site, each)
        least = min(full, key=lambda name: full[name])
        rate = 1.5 * full[least]
        world = World(site, rate, random.Random(1), each).run()
        answers = sorted((p.answered or END) - p.came for p in world.people)
        mails = sorted(p.mailed - p.answered for p in world.people if p.mailed)
        last = max(p.mailed for p in world.people if p.came < CALM + STORM) - CALM - STORM
        cells = [site.name, f"{full[least]:.0f}", least, f"{rate:.0f}"]
        met = sum(p.refused > 0 for p in world.people) / len(world.people)
        cells += [_quantiles(answers), f"{met:.0%}", _quantiles(mails), f"{max(last, 0):.0f} s"]
        lines.append(f"| {' | '.join(cells)} |")
        waits[site.name] = _course(World(site, SAME, random.Random(1), each).run())
    chart = charts.lines(
        "storm",
        f"People and messages that wait, while {SAME:.0f} people a second register for two minutes",
        waits,
        "seconds; the storm is from 30 to 150",
        "waiting",
    )
    return [*lines, "", chart.replace("(charts/", "(../bench/charts/")]


# A hundred million people.
PEOPLE, SIGN_IN_EVERY, MAILS_A_MONTH, PEAK = 100_000_000, 10, 5, 3.0


def reach(each: costs.Costs, gigabytes: float) -> list[str]:
    """`gigabytes`: of a million people with their mail (`bench.growth`)."""
    sign_ins = PEAK * PEOPLE / SIGN_IN_EVERY / 86400
    mails = PEAK * PEOPLE * MAILS_A_MONTH / 30 / 86400
    page, login, hash_, mail = (each[n] for n in ("status page", "login", "hash", "message"))
    web = sign_ins * (page[0] + login[0] + hash_[0]) / 1000
    database = sign_ins * (page[1] + login[1]) / 1000
    senders, theirs = (mails * one / 1000 for one in mail)
    return [
        "| | reckoned | so |",
        "|---|---|---|",
        f"| space | {gigabytes * PEOPLE / 1e6:.0f} GB, with indexes | one machine still holds it; "
        "its back-up and its VACUUM are what hurts |",
        f"| sign-ins | {sign_ins:.0f} a second at the peak | {web:.0f} cores of web, most of them "
        f"for hashes, and {database:.1f} of the database |",
        f"| messages | {mails:.0f} a second at the peak | {senders:.0f} cores of senders, "
        f"{theirs:.1f} of the database, {mails * 0.1:.0f} connections at 0.1 s a message |",
    ]


def of_the_page() -> costs.Costs:
    names = {title: name for name, title in costs.FLOWS.items()}
    rows = re.findall(r"^\| (.+?) \| ([\d.]+) \| ([\d.]+) \|$", PAGE.read_text(), re.MULTILINE)
    return {names[title]: (float(a), float(b)) for title, a, b in rows if title in names}


def gigabytes() -> float:
    text = (PAGE.parent.parent / "bench" / "GROWTH.md").read_text()
    part = text.split("## postgresql, 1,000,000 people")[1].split("\n## ")[0]
    return float(re.findall(r"has ([\d.]+) GB", part)[0])


def write(name: str, lines: list[str]) -> None:
    """Between its two marks in the page."""
    text, mark = PAGE.read_text(), f"<!-- {name} -->\n"
    before, _, after = text.split(mark)
    PAGE.write_text(mark.join([before, "\n".join(["", *lines, "", ""]), after]))


def _quantiles(times: list[float]) -> str:
    return ", ".join(f"{times[int(len(times) * part)]:.1f} s" for part in (0.5, 0.99))


def _course(world: World) -> list[tuple[float, float]]:
    """How many wait, at each time."""
    changes = sorted(
        [(p.came, 1) for p in world.people] + [(p.mailed or END, -1) for p in world.people]
    )
    course, waiting, place, time = [], 0, 0, 0.0
    while time <= CALM + STORM + AFTER:
        while place < len(changes) and changes[place][0] <= time:
            waiting += changes[place][1]
            place += 1
        course.append((time, waiting))
        time += STEP
    return course


def main() -> None:
    args = argparse.ArgumentParser()
    args.add_argument("--costs", action="store_true", help="measure them first")
    each = costs.measure() if args.parse_args().costs else of_the_page()
    for name, lines in (
        ("costs", costs.table(each)),
        ("storm", report(each)),
        ("reach", reach(each, gigabytes())),
    ):
        write(name, lines)
        print("\n".join(lines))


if __name__ == "__main__":
    main()
