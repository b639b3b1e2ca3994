"""One of the systems of `bench.conserve`: it posts, and its worker is a child that may be killed.

python -m bench.conserve_side WAY

It reads a command a line, and answers with a line of JSON. The worker is the documented command,
run in a fork of this process: a start costs ten milliseconds instead of a second of imports.
"""

import json
import os
import signal
import sys
from collections.abc import Set
from typing import Any

import django

OWNERS = 20_000


class Side:
    """What is the same for all of them."""

    command: tuple[str, ...]
    retry: tuple[str, ...] = ()  # a second command of cron, every 20 minutes
    is_service = False  # or started by cron, every minute

    def __init__(self) -> None:
        self.worker = 0

    def prepare(self) -> None:
        """The people who will ask for a new password."""

    def post(self, kind: str, number: str) -> None:
        raise NotImplementedError

    def age(self, seconds: int) -> None:
        """Time passes: what the rows wait for comes so much nearer."""

    def is_idle(self) -> bool:
        """Whether the worker has done what it could do by now."""
        return not self.runs()

    def rows(self) -> list[tuple[str, str]]:
        """Of each message its address, and waiting, failed or sent."""
        raise NotImplementedError

    def start(self, *command: str) -> None:
        from django.core.management import call_command
        from django.db import connections

        if self.runs():
            return
        connections.close_all()
        self.worker = os.fork()
        if self.worker:
            return
        os.closerange(3, 64)  # whoever reads our answers must see our end, not the worker's
        log = os.open(os.environ["BENCH_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (0, 1, 2):
            os.dup2(log, stream)
        try:
            call_command(*(command or self.command))
        finally:
            os._exit(0)

    def runs(self) -> bool:
        if self.worker and os.waitpid(self.worker, os.WNOHANG)[0]:
            self.worker = 0
        return bool(self.worker)

    def kill(self) -> None:
        if self.runs():
            os.kill(self.worker, signal.SIGKILL)
            os.waitpid(self.worker, 0)
            self.worker = 0


def execute(sql: str, *values: Any) -> list[tuple[Any, ...]]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall() if cursor.description else []


class Ours(Side):
    command = ("mail", "work")
    is_service = True
    orphans: Set[str] = frozenset()  # rows that a killed worker had claimed, with the attempt

    def prepare(self) -> None:
        from django.utils import timezone

        from users.models import User

        User.objects.bulk_create(
            User(
                user_id=f"owner{number}",
                email=f"reset{number}@mailbox.example",
                name="N",
                password="!",
                is_active=True,
                activated_at=timezone.now(),
            )
            for number in range(OWNERS)
        )

    def post(self, kind: str, number: str) -> None:
        from django.test import Client

        address = f"{kind}{number}@mailbox.example"
        browser = Client(REMOTE_ADDR=f"10.0.{int(number) // 256 % 256}.{int(number) % 256}")
        form, path = {"email": address}, "/users/password/reset/"
        if kind == "register":
            path = "/users/register/"
            form |= {"user_id": f"person{number}", "name": "N", "password": "correct-horse-battery"}
            form |= {"terms": "on", "privacy": "on"}
        response = browser.post(path, form)
        if response.status_code != 302:
            raise SystemExit(f"{path}: {response.status_code}\n{response.content.decode()}")

    def kill(self) -> None:
        super().kill()
        # Its leases end by time alone. That of a living sender must not: it is in mid-send.
        rows = execute("SELECT id, attempts FROM mail_mail WHERE state = 'pending' AND claimed")
        self.orphans = {f"{pk} {attempts}" for pk, attempts in rows}

    def is_idle(self) -> bool:
        due = "SELECT 1 FROM mail_mail WHERE state = 'pending' AND due <= now() LIMIT 1"
        return not execute(due)

    def age(self, seconds: int) -> None:
        less = f"- interval '{seconds} seconds'"
        execute(
            f"UPDATE mail_mail SET due = due {less}, created_at = created_at {less} "
            "WHERE state = 'pending' AND (NOT claimed OR id || ' ' || attempts = ANY(%s))",
            list(self.orphans),
        )
        execute(
            f"UPDATE mail_mail SET sent_at = sent_at {less} "
            "WHERE sent_at > now() - interval '5 minutes'"
        )
        execute(
            f"UPDATE mail_alarm SET since = since {less}, last_at = last_at {less}, "
            f"probe_at = probe_at {less}"
        )

    def rows(self) -> list[tuple[str, str]]:
        words = {"pending": "waiting", "sent": "sent"}
        rows = execute("SELECT address, state FROM mail_mail")
        return [(address, words.get(state, "failed")) for address, state in rows]


class Peer(Side):
    def post(self, kind: str, number: str) -> None:
        from django.contrib.auth.models import User
        from django.db import transaction

        address = f"{kind}{number}@mailbox.example"
        with transaction.atomic():
            if kind == "register":
                User.objects.create_user(f"person{number}", address, is_active=False)
            self.send(address, "Activate your account", f"http://127.0.0.1/activate/{number}/")

    def send(self, address: str, subject: str, body: str) -> None:
        from django.core.mail import send_mail

        send_mail(subject, body, None, [address])


class Mailer(Peer):
    command, retry = ("send_mail",), ("retry_deferred",)

    def rows(self) -> list[tuple[str, str]]:
        from mailer.models import Message, MessageLog

        waiting = [(one, "waiting") for each in Message.objects.all() for one in each.to_addresses]
        logged = MessageLog.objects.filter(result="1").iterator()
        return waiting + [(one, "sent") for each in logged for one in each.to_addresses]


class PostOffice(Peer):
    command = ("send_queued_mail",)

    def age(self, seconds: int) -> None:
        execute(
            f"UPDATE post_office_email SET scheduled_time = scheduled_time - "
            f"interval '{seconds} seconds' WHERE scheduled_time > now()"
        )

    def rows(self) -> list[tuple[str, str]]:
        words = {0: "sent", 1: "failed"}
        rows = execute('SELECT "to", status FROM post_office_email')
        return [(address, words.get(status, "waiting")) for address, status in rows]


class Tasks(Peer):
    command, is_service = ("db_worker", "--no-startup-delay"), True

    def send(self, address: str, subject: str, body: str) -> None:
        from bench.peers.tasks import send

        send.enqueue(address, subject, body)

    def is_idle(self) -> bool:
        return not execute(
            "SELECT 1 FROM django_tasks_database_dbtaskresult WHERE status = 'READY' LIMIT 1"
        )

    def rows(self) -> list[tuple[str, str]]:
        words = {"SUCCESSFUL": "sent", "FAILED": "failed"}
        rows = execute(
            "SELECT args_kwargs->'args'->>0, status FROM django_tasks_database_dbtaskresult"
        )
        return [(address, words.get(status, "waiting")) for address, status in rows]


SIDES: dict[str, type[Side]] = {
    "cs_web": Ours,
    "django-mailer": Mailer,
    "django-mailer, without its lock file": Mailer,
    "django-post-office": PostOffice,
    "django-tasks": Tasks,
}


def main(way: str) -> None:
    django.setup()
    from django.core.management import call_command

    side = SIDES[way]()
    call_command("migrate", verbosity=0)
    side.prepare()
    # Not stdout: what a library prints is no answer.
    answers = os.dup(1)
    os.dup2(2, 1)
    try:
        for line in sys.stdin:
            answer = do(side, *line.split())
            os.write(answers, f"{json.dumps(answer)}\n".encode())
    finally:
        side.kill()


def do(side: Side, word: str, *values: str) -> Any:
    if word == "start":
        return side.start()
    if word == "retry":
        return side.start(*side.retry) if side.retry else None
    if word == "age":
        return side.age(int(values[0]))
    if word == "service":
        return side.is_service
    words = {"post": side.post, "kill": side.kill, "idle": side.is_idle, "rows": side.rows}
    return words[word](*values)


if __name__ == "__main__":
    main(sys.argv[1])
