"""What the site's own layers cost a page: the home and the sign-in page, beside bare Django's; and
what the pages of an account cost, beside its home, to somebody who is signed in.

    python -m bench.pages [--rounds 15]

Bare: the middleware and the context processors of `startproject`, with the language of the visitor;
the same views and templates, and so the same contents. Two processes take turns; what is compared
is their time on a processor, because the machine may have other work.
"""

import argparse
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGES = ["/", "/users/login/"]
ACCOUNT = ["/", *(f"/users/account/{page}" for page in ("", "security/", "activity/", "data/"))]
DEVICES, EVENTS, LETTERS = 3, 12, 3  # of whoever is signed in
MINE = "signed in: "
WARM_UP, REQUESTS = 30, 30  # of a page, in a round
BARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
PROCESSORS = [
    "django.template.context_processors.request",
    "django.template.context_processors.i18n",
    "django.contrib.auth.context_processors.auth",
    "django.contrib.messages.context_processors.messages",
]


def main() -> None:
    args = argparse.ArgumentParser()
    args.add_argument("--rounds", type=int, default=15)
    args.add_argument("--serve", choices=["bare", "site"])
    options = args.parse_args()
    if options.serve:
        return serve(options.serve == "bare")
    print("\n".join(table(options.rounds)))


def table(count: int) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "bench.growth_settings",
            "SECRET_KEY": secrets.token_urlsafe(50),
            "DEBUG": "false",
            "SITE_URL": "http://127.0.0.1:8000",
            "ALLOWED_HOSTS": "testserver",
            "EMAIL_SERVICE": "console",
            "MAIL_ENGINE": "work",
        }
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        sides = {}
        for side in ("bare", "site"):
            command = [sys.executable, "-W", "ignore", "-m", "bench.pages", "--serve", side]
            environment["DATABASE_URL"] = f"sqlite:///{folder}/{side}.sqlite3"
            sides[side] = subprocess.Popen(command, cwd=ROOT, env=environment, **pipes)
        rounds = []
        for _ in range(count):
            done = {}
            for side, process in sides.items():
                process.stdin.write("go\n")
                process.stdin.flush()
                done[side] = json.loads(process.stdout.readline())
            rounds.append(done)
        for process in sides.values():
            process.communicate()
    lines = ["| page | bare, ms | site, ms | times |", "|---|---|---|---|"]
    for page in PAGES:
        bare, site = ([one[side][page] for one in rounds] for side in ("bare", "site"))
        lines.append(f"| {page} | {_compared(bare, site)} |")
    lines += ["", "| signed in | bare Django's home, ms | site, ms | times |", "|---|---|---|---|"]
    bare = [one["bare"][MINE + ACCOUNT[0]] for one in rounds]
    for page in ACCOUNT:
        site = [one["site"][MINE + page] for one in rounds]
        lines.append(f"| {page} | {_compared(bare, site)} |")
    return lines


def _compared(bare: list[float], site: list[float]) -> str:
    ratio = statistics.median(ours / theirs for ours, theirs in zip(site, bare, strict=True))
    return " | ".join(f"{one:.2f}" for one in (*map(statistics.median, (bare, site)), ratio))


def serve(bare: bool) -> None:
    """A round for each line of the input."""
    import django
    from django.conf import settings

    if bare:
        settings.MIDDLEWARE = BARE
        settings.SESSION_ENGINE = "django.contrib.sessions.backends.db"
        settings.INSTALLED_APPS.append("django.contrib.sessions")
        settings.TEMPLATES[0]["OPTIONS"]["context_processors"] = PROCESSORS
    django.setup()
    from django.core.handlers.wsgi import WSGIHandler

    handler, cookies = WSGIHandler(), sign_in()
    asked = {page: (page, "") for page in PAGES}
    asked |= {MINE + page: (page, cookies) for page in (ACCOUNT[:1] if bare else ACCOUNT)}
    for one in [*asked.values()] * WARM_UP:
        get(handler, *one)
    for _ in sys.stdin:
        took = {}
        for name, one in asked.items():
            times = []
            for _ in range(REQUESTS):
                began = time.process_time()
                get(handler, *one)
                times.append(1000 * (time.process_time() - began))
            took[name] = statistics.median(times)
        print(json.dumps(took), flush=True)


def sign_in() -> str:
    """The cookies of somebody who has been here for a while."""
    from django.core.management import call_command
    from django.test import Client

    from users import accounts, activity
    from users.models import Tag
    from users.visitors import Where

    call_command("migrate", verbosity=0)
    typed = {"user_id": "suhyun", "email": "suhyun@mailbox.example", "name": "김수현"}
    person = accounts.activate(accounts.register(**typed, password="x", language="ko"))
    for _ in range(LETTERS):
        accounts.request_reset(person.email, "ko")
    for number in range(EVENTS - DEVICES):
        activity.record(person, list(Tag)[number], Where("Chrome · Windows", "192.0.2.1"))
    for _ in range(DEVICES):
        browser = Client()
        browser.force_login(person)
    return "; ".join(f"{name}={morsel.value}" for name, morsel in browser.cookies.items())


def get(handler: Any, page: str, cookies: str) -> None:
    from django.test import RequestFactory

    environ: dict[str, Any] = {"PATH_INFO": page, "HTTP_COOKIE": cookies}
    request = RequestFactory(headers={"accept-language": "ko"})._base_environ(**environ)
    response = handler(request, lambda *_: None)
    body = b"".join(response)
    response.close()
    if response.status_code != 200 or b"csrfmiddlewaretoken" not in body:
        raise SystemExit(f"{page}: {response.status_code}")


if __name__ == "__main__":
    main()
