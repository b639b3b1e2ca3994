"""What visitors wait for, here and on sites that others build: register, sign in, reset, a page.

    python -m bench.sites [--rounds 30] [--delays 0 20 100]

A thread for each message (where most sites begin), django-allauth and django-registration, each as
its documents set it up, beside this site: gunicorn with two workers of four threads, SQLite with
WAL, the same quick hasher for all, because a password hash costs what one wants it to. One visitor
comes to each in turn, so that what else the machine does meets all. Then a crowd registers at once.
"""

import argparse
import contextlib
import http.client
import os
import re
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from bench import apart, conserve, peers, server

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "correct-horse-battery"
CSRF = re.compile(rb'name="csrfmiddlewaretoken" value="([^"]+)"')
WARM_UP = 8  # visitors: each worker imports all of its site with its first pages
CROWD, AT_ONCE = 96, 12
OUTAGE = 24  # people who register while the mail server is away
WITHIN = 60.0  # seconds, for the last message of a crowd
GUNICORN = ["-m", "gunicorn", "--workers", "2", "--threads", "4", "--log-level", "critical"]
OURS = {
    "register": "/users/register/",
    "sign in": "/users/login/",
    "reset": "/users/password/reset/",
}
DJANGOS = {
    "register": "/accounts/register/",
    "sign in": "/accounts/login/",
    "reset": "/accounts/password_reset/",
}
ALLAUTHS = {
    "register": "/accounts/signup/",
    "sign in": "/accounts/login/",
    "reset": "/accounts/password/reset/",
}
PATHS = {"cs_web": OURS, "threads": DJANGOS, "registration": DJANGOS, "allauth": ALLAUTHS}
TITLES = {
    "cs_web": "this site",
    "threads": "a thread a message",
    "registration": "django-registration",
    "allauth": "django-allauth",
}
Figures = dict[str, dict[str, list[float]]]


@dataclass
class Running:
    name: str
    port: int
    smtp: conserve.Server
    refused: int = 0
    answered: list[str] = field(default_factory=list)

    def fields(self, flow: str, number: int) -> dict[str, str]:
        owner = {"email": f"owner{number}@mailbox.example"}
        if flow == "reset":
            return owner
        if flow == "sign in":
            key = "login" if self.name == "allauth" else "username"
            return {key: f"owner{number}", "password": PASSWORD}
        new = {"email": f"new{number}@mailbox.example"}
        if self.name == "cs_web":
            return new | {"user_id": f"new{number}", "name": "N", "password": PASSWORD,
                          "terms": "on", "privacy": "on"}  # fmt: skip
        new |= {"username": f"new{number}", "password1": PASSWORD}
        return new if self.name == "allauth" else new | {"password2": PASSWORD}

    def visit(self, flow: str, number: int) -> tuple[float, float]:
        """Milliseconds of the page and of the form. A new browser: nobody has a session yet."""
        browser = Browser(self.port)
        path = PATHS[self.name][flow]
        page, got = browser.request("GET", path)
        [token] = CSRF.findall(page)[:1]
        form = {"csrfmiddlewaretoken": token.decode(), **self.fields(flow, number)}
        _, posted = browser.request("POST", path, urlencode(form))
        browser.connection.close()
        return got, posted


class Browser:
    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection(server.HOST, port, timeout=60)
        self.cookies: dict[str, str] = {}

    def request(self, method: str, path: str, body: str | None = None) -> tuple[bytes, float]:
        headers = {"Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())}
        headers |= {"Accept-Language": "en"}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        began = time.perf_counter()
        self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        page = response.read()
        took = 1000 * (time.perf_counter() - began)
        for line in response.headers.get_all("Set-Cookie", []):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        if response.status != (302 if method == "POST" else 200):
            raise Refused(f"{method} {path}: {response.status}\n{page.decode()}")
        return page, took


class Refused(Exception):
    pass


@contextlib.contextmanager
def running(name: str, folder: Path, owners: int) -> Iterator[Running]:
    smtp = conserve.Server(time.monotonic)
    smtp.weather = "slow"
    port, ours = server.free_port(), name == "cs_web"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": f"sqlite:///{folder / name}.sqlite3",
        "EMAIL_PORT": str(smtp.port),
        "BENCH_WAY": name,
        "DJANGO_SETTINGS_MODULE": "bench.apart_settings" if ours else "bench.peers.settings",
    }
    if ours:
        environment |= conserve.OURS | {"SECRET_KEY": secrets.token_urlsafe(50)}
        environment |= {"SITE_URL": f"http://127.0.0.1:{port}", "ALLOWED_HOSTS": "127.0.0.1"}
        environment["SIGN_INS_PER_NETWORK_LIMIT"] = "1000000"
    python = sys.executable if ours else str(peers.PYTHON)
    people = ["-c", OWNERS, str(owners)] if ours else ["-m", "bench.peers.people", str(owners)]
    prepare = [["manage.py", "migrate", "--verbosity=0"], people] if ours else [people]
    for command in prepare:
        quiet: Any = {"cwd": ROOT, "env": environment, "stderr": subprocess.DEVNULL}
        subprocess.run([python, *command], check=True, **quiet)
    wsgi = "cs_web.wsgi" if ours else "bench.peers.wsgi"
    bind = ["--bind", f"{server.HOST}:{port}", "--no-control-socket", wsgi]
    with (folder / f"{name}.log").open("wb") as log:
        command = [python, "-W", "ignore", *GUNICORN, *bind]
        out: Any = {"stdout": log, "stderr": log}
        # gunicorn.conf.py is ours alone.
        where = ROOT if ours else folder
        process = subprocess.Popen(command, cwd=where, env=environment, **out)
        with server.stopped_at_the_end(process):
            try:
                server.wait_for(port, 20)
            except OSError as error:
                raise SystemExit((folder / f"{name}.log").read_text()) from error
            yield Running(name, port, smtp)


OWNERS = apart.OWNERS.replace('password="!"', f'password=make_password("{PASSWORD}")').replace(
    "from django.utils", "from django.contrib.auth.hashers import make_password\nfrom django.utils"
)


def visits(sites: list[Running], first: int, rounds: int) -> Figures:
    figures: Figures = {site.name: defaultdict(list) for site in sites}
    for number in range(first, first + rounds):
        for flow in ("register", "sign in", "reset"):
            for site in sites:
                got, posted = site.visit(flow, number)
                figures[site.name][flow].append(posted)
                if flow == "sign in":
                    figures[site.name]["page"].append(got)
        time.sleep(0.05)
    return figures


def register(site: Running, numbers: range) -> list[str]:
    """The addresses of those who were answered, of people who come at once."""

    def one(number: int) -> str | None:
        with contextlib.suppress(Refused, OSError):
            site.visit("register", number)
            return f"new{number}@mailbox.example"
        return None

    with ThreadPoolExecutor(AT_ONCE) as people:
        return [one for one in people.map(one, numbers) if one]


def crowd(site: Running, first: int) -> tuple[float, float, int]:
    """A second so many answers, seconds until the last message came, how many never did."""
    began = time.monotonic()
    answered = register(site, range(first, first + CROWD))
    took = time.monotonic() - began
    deadline = time.monotonic() + WITHIN
    while any(a not in site.smtp.taken for a in answered) and time.monotonic() < deadline:
        time.sleep(0.05)
    came = [site.smtp.taken[a][0] for a in answered if a in site.smtp.taken]
    return len(answered) / took, max(came) - began, len(answered) - len(came)


def outage(sites: list[Running], first: int) -> list[str]:
    """People register while the mail server is away; then it is well again."""
    for site in sites:
        site.smtp.weather = "away"
    answered = {site.name: register(site, range(first, first + OUTAGE)) for site in sites}
    for site in sites:
        site.smtp.weather = "slow"

    def never(site: Running) -> int:
        return sum(address not in site.smtp.taken for address in answered[site.name])

    deadline = time.monotonic() + WITHIN
    while any(map(never, sites)) and time.monotonic() < deadline:
        time.sleep(0.1)
    lines = ["| the mail server is away | registered | were answered | their message never came |",
             "|---|---|---|---|"]  # fmt: skip
    for site in sites:
        figures = f"{OUTAGE} | {len(answered[site.name])} | {never(site)}"
        lines.append(f"| {TITLES[site.name]} | {figures} |")
    return lines


def table(rounds: int, delays: list[int]) -> list[str]:
    each = WARM_UP + rounds + CROWD
    lines = ["| a message takes | site | page, ms | register, ms | sign in, ms | reset, ms "
             "| registrations a second | last message after | never came |",
             "|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        sites = [stack.enter_context(running(one, Path(name), each * len(delays))) for one in PATHS]
        for turn, delay in enumerate(delays):
            for site in sites:
                site.smtp.takes["slow"] = delay / 1000
            visits(sites, turn * each, WARM_UP)
            figures = visits(sites, turn * each + WARM_UP, rounds)
            for site in sites:
                rate, last, never = crowd(site, turn * each + WARM_UP + rounds)
                p50 = {flow: statistics.median(t) for flow, t in figures[site.name].items()}
                flows = [f"{p50[flow]:.1f}" for flow in ("page", "register", "sign in", "reset")]
                more = [f"{rate:.0f}", f"{last:.1f} s", str(never)]
                cells = [f"{delay} ms", TITLES[site.name], *flows, *more]
                lines.append(f"| {' | '.join(cells)} |")
                print(lines[-1], flush=True)
        lines += ["", *outage(sites, len(delays) * each)]
    return lines


def main() -> None:
    args = argparse.ArgumentParser()
    args.add_argument("--rounds", type=int, default=30)
    args.add_argument("--delays", type=int, nargs="+", default=[0, 20, 100])
    options = args.parse_args()
    peers.install()
    print("\n".join(table(options.rounds, options.delays)))


if __name__ == "__main__":
    main()
