"""Visits to a site in this process, timed one by one. For `bench.growth`; prints JSON.

python -m bench.growth_visits NUMBER
"""

import io
import json
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import django

PASSWORD, NEW_PASSWORD = "correct-horse-battery", "staple-horse-correct"
VISITORS, TIMES = 40, 5  # of what staff and senders do, each time is a second on a slow day
LINK = re.compile(r"http://127\.0\.0\.1:8000(/users/\S+)")


class Visits:
    def __init__(self) -> None:
        self.times: dict[str, list[float]] = defaultdict(list)

    def timed(self, name: str, do: Callable[[], Any], expected: Any = None) -> Any:
        began = time.perf_counter()
        result = do()
        self.times[name].append(1000 * (time.perf_counter() - began))
        status = getattr(result, "status_code", None)
        if expected and status != expected:
            raise SystemExit(f"{name}: {status}\n{result.content.decode()}")
        return result

    def visitor(self, number: str) -> None:
        from django.test import Client

        stem = f"visitor{number}"
        network = f"10.{int(number) // 65536 % 256}.{int(number) // 256 % 256}.{int(number) % 256}"
        browser = Client(REMOTE_ADDR=network, HTTP_ACCEPT_LANGUAGE="ko")
        form = {"user_id": stem, "name": "홍길동", "email": f"{stem}a@mailbox.example"}
        form |= {"password": PASSWORD, "terms": "on", "privacy": "on"}
        self.timed("register", lambda: browser.post("/users/register/", form), 302)
        self.send("deliver a registration")
        self.timed("status page", lambda: browser.get("/users/register/success/"), 200)
        self.timed("resend", lambda: browser.post("/users/register/resend/"), 302)
        address = {"email": f"{stem}@mailbox.example"}
        self.timed("correction", lambda: browser.post("/users/register/address/", address), 302)
        page = browser.get(self.send("deliver a correction"))["Location"]
        self.timed("activation page", lambda: browser.get(page), 200)
        self.timed("activate", lambda: browser.post(page), 302)
        browser.get("/")
        self.timed("home, signed in", lambda: browser.get("/"), 200)
        browser.post("/users/logout/")
        sign_in = {"username": stem, "password": PASSWORD}
        self.timed("login", lambda: browser.post("/users/login/", sign_in), 302)
        browser.post("/users/logout/")
        wrong = {"username": stem, "password": "wrong"}
        self.timed("wrong password", lambda: browser.post("/users/login/", wrong), 200)
        sign_in = {"username": f"{stem}@mailbox.example", "password": PASSWORD}
        self.timed("login by address", lambda: browser.post("/users/login/", sign_in), 302)
        browser.post("/users/logout/")
        self.timed("reset, asked", lambda: browser.post("/users/password/reset/", address), 302)
        page = browser.get(self.send("deliver a reset"))["Location"]
        new = {"new_password": NEW_PASSWORD}
        self.timed("reset, confirmed", lambda: browser.post(page, new), 302)
        self.send("deliver a notice")
        unknown = {"email": f"{stem}nobody@mailbox.example"}
        self.timed("reset, unknown", lambda: browser.post("/users/password/reset/", unknown), 302)
        self.timed("sweep", lambda: delivering().overdue())
        for pk, _ in delivering().overdue():
            delivering().deliver(pk)

    def send(self, name: str) -> str:
        """What waits is delivered; the first link in it."""
        from django.core import mail as django_mail

        django_mail.outbox = []
        [(pk, _)] = self.timed("sweep", lambda: delivering().overdue())
        self.timed(name, lambda: delivering().deliver(pk))
        found = LINK.search(str(django_mail.outbox[0].body))
        return found[1] if found else ""

    def staff(self, number: int) -> None:
        from django.core.management import call_command
        from django.test import Client

        from mail.queue.chores import chores
        from users.models import User

        root = User.objects.filter(is_superuser=True).first()
        root = root or User.objects.create_superuser("root", "root@example.com", PASSWORD)
        office = Client()
        office.force_login(root)
        member = f"member{1000 + number}"
        lists = {
            "people": "users/user/",
            "people, waiting": "users/user/?state=waiting",
            "people, disabled": "users/user/?state=disabled",
            "people, staff": "users/user/?is_staff__exact=1",
            "people, search": f"users/user/?q={member}@mailbox.example",
            "mail": "mail/mail/",
            "mail, failed": "mail/mail/?state__exact=failed",
            "mail, delivered": "mail/mail/?state__exact=delivered",
            "mail, a letter that nobody got": "mail/mail/?letter=error_report",
            "mail, search": f"mail/mail/?q={member}@mailbox.example",
            "suppressions": "mail/suppression/",
            "index": "",
        }
        for name, path in lists.items():
            self.timed(f"admin: {name}", lambda path=path: office.get(f"/admin/{path}"), 200)
        for chore in chores:
            while chore(200) == 200:
                pass
            self.timed(f"chore: {chore.__name__}", lambda chore=chore: chore(200))
        self.timed("mail status", lambda: call_command("mail", "status", stdout=io.StringIO()))
        self.timed("healthz", lambda: Client(REMOTE_ADDR="127.0.0.1").get("/healthz"))


def delivering() -> Any:
    from mail.queue import delivering

    return delivering


def main(number: int) -> None:
    django.setup()
    warm, measured = Visits(), Visits()
    began = int(time.time() * 1000) % 100_000_000 * 100
    for each in range(5):
        warm.visitor(str(began + each))
    warm.staff(number)
    for each in range(5, 5 + VISITORS):
        measured.visitor(str(began + each))
    for each in range(TIMES):
        measured.staff(each)
    print(json.dumps(measured.times))


if __name__ == "__main__":
    main(int(sys.argv[1]))
