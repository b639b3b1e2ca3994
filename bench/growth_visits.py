"""Visits to a site in this process, timed one by one. For `bench.growth`.

For each line of the input ("visitor 7", "staff 7") it prints a line of JSON.
"""

import io
import json
import re
import secrets
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import django

PASSWORD, NEW_PASSWORD = "correct-horse-battery", "staple-horse-correct"
ROWS_A_CHORE = 200
LINK = re.compile(r"http://127\.0\.0\.1:8000(/users/\S+)")


def worked() -> tuple[float, float]:
    """Milliseconds that processors have been at work: in this process, in PostgreSQL for it."""
    from django.db import connection

    raw = connection.connection
    pid = raw.info.backend_pid if connection.vendor == "postgresql" and raw else 0
    behind = Path(f"/proc/{pid}/schedstat").read_text().split()[0] if pid else "0"
    return 1000 * time.process_time(), int(behind) / 1e6


class Visits:
    def __init__(self) -> None:
        self.times: dict[str, list[float]] = defaultdict(list)
        self.here: dict[str, list[float]] = defaultdict(list)
        self.behind: dict[str, list[float]] = defaultdict(list)

    def timed(self, name: str, do: Callable[[], Any], expected: Any = None) -> Any:
        before, began = worked(), time.perf_counter()
        result = do()
        took, after = time.perf_counter() - began, worked()
        self.times[name].append(1000 * took)
        self.here[name].append(after[0] - before[0])
        # It is another one, where the connection was too old and a new one was opened.
        self.behind[name].append(max(0.0, after[1] - before[1]))
        status = getattr(result, "status_code", None)
        if expected and status != expected:
            raise SystemExit(f"{name}: {status}\n{result.content.decode()}")
        return result

    def work(self) -> dict[str, list[float]]:
        both = {name: zip(self.here[name], self.behind[name], strict=True) for name in self.here}
        return {name: [sum(one) for one in each] for name, each in both.items()}

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
            while chore(ROWS_A_CHORE) == ROWS_A_CHORE:
                pass
            name = chore.__name__
            self.timed(f"chore: {name}, nothing to do", lambda chore=chore: chore(ROWS_A_CHORE))
            if not make_old(name):
                continue
            done = self.timed(f"chore: {name}, 200 rows", lambda chore=chore: chore(ROWS_A_CHORE))
            if done != ROWS_A_CHORE:
                raise SystemExit(f"{name} has deleted {done} rows")
        self.timed("mail status", lambda: call_command("mail", "status", stdout=io.StringIO()))
        self.timed("healthz", lambda: Client(REMOTE_ADDR="127.0.0.1").get("/healthz"))


def delivering() -> Any:
    from mail.queue import delivering

    return delivering


def make_old(chore: str, count: int = ROWS_A_CHORE) -> bool:
    """As many rows as a batch that this chore deletes, so that both databases have the same work;
    whether there are any for it."""
    from django.utils import timezone

    from mail.models import Mail, State, Suppression
    from users.models import AddressChange, Event, Session, User

    old = timezone.now() - timedelta(days=3 * 365)
    some = [f"old{secrets.token_hex(8)}" for _ in range(count)]
    person = User.objects.first()
    rows: dict[str, Callable[[str], Any]] = {
        "prune_mail": lambda one: Mail(
            letter="register", state=State.DROPPED, created_at=old, address=one, mailbox=one
        ),
        "prune_suppressions": lambda one: Suppression(
            address=one, reason="refused", until=old, times=1, days=1
        ),
        "prune_claims": lambda one: User(
            user_id=one, email=one, name=one, created_at=old, claim_expires_at=old
        ),
        "prune_sessions": lambda one: Session(session_key=one, expire_date=old),
        "prune_events": lambda one: Event(person=person, at=old, tag="x"),
        "prune_address_changes": lambda one: AddressChange(
            person=person, old=one, new=one, asked_at=old, confirmed_at=old
        ),
    }
    if chore not in rows:
        return False
    made: list[Any] = [rows[chore](one) for one in some]
    type(made[0]).objects.bulk_create(made)
    return True


def main() -> None:
    django.setup()
    began = int(time.time() * 1000) % 100_000_000 * 100
    for line in sys.stdin:
        visits, (who, number) = Visits(), line.split()
        if who == "visitor":
            visits.visitor(str(began + int(number)))
        else:
            visits.staff(int(number))
        print(json.dumps([visits.times, visits.work()]), flush=True)


if __name__ == "__main__":
    main()
