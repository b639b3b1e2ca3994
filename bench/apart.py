"""Whether a visitor can tell, by the time of their next pages, if the address they typed is known.

    python -m bench.apart [--pairs 300] [--delays 0 100] [--gets 10] [--engine work]

The site as README and docs/ start it (gunicorn with its `gunicorn.conf.py`, SQLite), a mail server
that answers after so many milliseconds, and one visitor: sends a form for an address that somebody
has, then for one that nobody has, in an order that dice decide; after each, ten GETs over the same
connection. What is compared is the time of all ten. AUC is how often an address of somebody takes
longer than one of nobody: 0.50 tells nothing, 1.00 everything. With n pairs, chance alone moves it
by 0.41 / √n (one standard error): 0.024 for 300.

What else the machine does may drown milliseconds. So the cause is compared as well: the
processor time of the web server's workers, from the form to half a second later. Where that is the
same, no visitor can feel a difference, however quiet the machine; needs Linux.
"""

import argparse
import http.client
import os
import random
import re
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode

from bench import server

ROOT = Path(__file__).resolve().parent.parent
FORMS = {
    "reset": "/users/password/reset/",
    "resend": "/users/activate/resend/",
    "register": "/users/register/",
}
WORKERS = 2
PASSWORD = "correct-horse-battery"
CSRF = re.compile(rb'name="csrfmiddlewaretoken" value="([^"]+)"')
# Owners, made at once: what is measured needs no password of theirs.
OWNERS = """
import django
django.setup()
from django.utils import timezone
from users.models import User
User.objects.bulk_create(
    User(user_id=f"owner{n}", email=f"owner{n}@mailbox.example", name="N", password="!",
         is_active=True, activated_at=timezone.now(), language="ko")
    for n in range(int(__import__("sys").argv[1]))
)
"""


def main() -> None:
    args = argparse.ArgumentParser()
    args.add_argument("--pairs", type=int, default=300)
    args.add_argument("--delays", type=int, nargs="+", default=[0, 100])
    args.add_argument("--gets", type=int, default=10)
    args.add_argument("--engine", default="work")
    args.add_argument("--forms", nargs="+", default=list(FORMS))
    options = args.parse_args()
    for delay in options.delays:
        with tempfile.TemporaryDirectory() as folder:
            Site(Path(folder), delay, options).measure()


class Site:
    def __init__(self, folder: Path, delay: int, options: argparse.Namespace) -> None:
        self.delay, self.options, self.folder = delay, options, folder
        self.port, self.mail_port = server.free_port(), server.free_port()
        self.environment = {
            **os.environ,
            "SECRET_KEY": secrets.token_urlsafe(50),
            "DJANGO_SETTINGS_MODULE": "bench.apart_settings",
            "PYTHONPATH": str(ROOT),
            "DEBUG": "false",
            "SITE_URL": f"http://127.0.0.1:{self.port}",
            "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
            "EMAIL_SERVICE": "smtp",
            "EMAIL_HOST": server.HOST,
            "EMAIL_PORT": str(self.mail_port),
            "EMAIL_USE_TLS": "false",
            "EMAIL_DAILY_LIMIT": "0",
            "DEFAULT_FROM_EMAIL": "noreply@cs.example.ac.kr",
            "FORMS_PER_NETWORK_LIMIT": "1000000",
            "MAIL_ENGINE": options.engine,
        }

    def measure(self) -> None:
        self.run("manage.py", "migrate", "--verbosity=0")
        self.run("-c", OWNERS, str(self.options.pairs * len(self.options.forms)))
        mail_server = [sys.executable, "-m", "bench.slow_smtp", str(self.mail_port)]
        mail = subprocess.Popen([*mail_server, str(self.delay)], cwd=ROOT)
        listen = [
            "--workers",
            str(WORKERS),
            "--threads",
            "4",
            "--bind",
            f"{server.HOST}:{self.port}",
        ]
        gunicorn = [sys.executable, "-m", "gunicorn", "cs_web.wsgi", "--no-control-socket", *listen]
        log = (self.folder / "log").open("wb")
        web = subprocess.Popen(gunicorn, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
        with log, server.stopped_at_the_end(mail), server.stopped_at_the_end(web):
            server.wait_for(self.mail_port)
            server.wait_for(self.port)
            workers = wait_for_workers(web.pid)
            for number, form in enumerate(self.options.forms):
                self.compare(form, number * self.options.pairs, workers)

    def run(self, *command: str) -> None:
        subprocess.run([sys.executable, *command], cwd=ROOT, env=self.environment, check=True)

    def compare(self, form: str, first: int, workers: list[int]) -> None:
        visitor = Visitor(self.port, self.options.gets)
        known, unknown = Figures(), Figures()
        for number in range(first, first + self.options.pairs):
            pair = [(f"owner{number}", known), (f"nobody{number}", unknown)]
            for name, figures in random.sample(pair, 2):
                before = cpu(workers)
                figures.waited.append(visitor.ask(form, name, number))
                figures.worked.append(cpu(workers) - before)
        print(
            f"mail at {self.delay:3} ms, {self.options.engine}, {form:8} n={self.options.pairs} "
            f"AUC {auc(known.waited, unknown.waited):.3f} of the time of the pages "
            f"({median(known.waited):.1f} and {median(unknown.waited):.1f} ms), "
            f"{auc(known.worked, unknown.worked):.3f} of the work "
            f"({median(known.worked):.1f} and {median(unknown.worked):.1f} ms)",
            flush=True,
        )


class Figures:
    def __init__(self) -> None:
        self.waited: list[float] = []  # milliseconds
        self.worked: list[float] = []


def wait_for_workers(master: int) -> list[int]:
    """The web server's workers, without the senders beside them."""
    while True:
        tasks = Path(f"/proc/{master}/task").glob("*/children")
        children = [int(pid) for task in tasks for pid in task.read_text().split()]
        workers = [p for p in children if b"mail" not in Path(f"/proc/{p}/cmdline").read_bytes()]
        if len(workers) == WORKERS:
            return workers
        time.sleep(0.1)


def cpu(processes: list[int]) -> float:
    """Milliseconds that these processes have been on a processor, all threads together."""
    tasks = [task for pid in processes for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6


class Visitor:
    def __init__(self, port: int, gets: int) -> None:
        self.gets = gets
        self.connection = http.client.HTTPConnection(server.HOST, port, timeout=60)

    def ask(self, form: str, name: str, number: int) -> float:
        """Sends the form; how many milliseconds the next pages take."""
        cookies: dict[str, str] = {}
        page = self.request("GET", FORMS[form], cookies)
        [token] = CSRF.findall(page)[:1]
        fields = {"csrfmiddlewaretoken": token.decode(), "email": f"{name}@mailbox.example"}
        if form == "register":
            typed = {"user_id": f"mallory{number}{name[0]}", "name": "Mallory"}
            fields |= typed | {"password": PASSWORD, "terms": "on", "privacy": "on"}
        self.request("POST", FORMS[form], cookies, urlencode(fields))
        began = time.perf_counter()
        for _ in range(self.gets):
            self.request("GET", "/users/login/", cookies)
        took = 1000 * (time.perf_counter() - began)
        time.sleep(0.3 + random.random() / 5)  # the senders are done, and nobody is in step
        return took

    def request(self, method: str, path: str, cookies: dict[str, str], body: str = "") -> bytes:
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
        if body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self.connection.request(method, path, body or None, headers)
        response = self.connection.getresponse()
        for line in response.headers.get_all("Set-Cookie", []):
            name, _, value = line.partition(";")[0].partition("=")
            cookies[name] = value
        page = response.read()
        expected = 302 if method == "POST" else 200
        if response.status != expected:
            raise SystemExit(f"{method} {path}: {response.status}\n{page.decode()}")
        return page


def auc(known: list[float], unknown: list[float]) -> float:
    """The part of all couples in which the first takes longer; a draw counts half."""
    wins = sum((a > b) + (a == b) / 2 for a in known for b in unknown)
    return wins / (len(known) * len(unknown))


def median(times: list[float]) -> float:
    return sorted(times)[len(times) // 2]


if __name__ == "__main__":
    main()
