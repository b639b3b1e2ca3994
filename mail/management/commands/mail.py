"""manage.py mail: everything an operator does about mail, each as a sub-command."""

import os
import subprocess
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email

from mail import conf
from mail.causes import Cause
from mail.desk import operations, trial
from mail.models import Mail
from mail.queue import limits
from mail.queue.alarms import alarms
from mail.queue.engines import work as engine
from mail.queue.letters import letters
from mail.transport import faults
from mail.transport.remedies import remedy

GOOD, TROUBLE = 0, 1


class Command(BaseCommand):
    help = "Tries the mail service, and looks after the mail that waits."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="SUBCOMMAND")

        def add(run: Callable[[dict[str, Any]], int], help: str, more: str) -> ArgumentParser:
            added = commands.add_parser(run.__name__, help=help, description=f"{help}. {more}")
            added.set_defaults(run=run)
            return added

        test = add(
            self.test,
            "send real letters through the real service, now, and show what it said",
            "They are about nobody, with links that open nothing. It touches neither the database "
            "nor any budget. On failure: what it means, and what to do.",
        )
        test.add_argument("address", metavar="ADDRESS", help="to whom")
        which = test.add_mutually_exclusive_group()
        names = trial.sample_names()
        which.add_argument("--letter", choices=names, default=names[0], help=f"default: {names[0]}")
        which.add_argument("--all", action="store_true", help="every letter")
        languages = [code for code, _ in settings.LANGUAGES]
        test.add_argument("--language", choices=languages, default=settings.LANGUAGE_CODE)
        test.add_argument(
            "--service",
            choices=list(conf.SERVICES),
            help="this time by another service than EMAIL_SERVICE; what it needs (a login, keys) "
            "comes from secrets.json or the environment, and what is missing is named",
        )

        status = add(
            self.status,
            "what waits, what became of the rest, and whether anything is wrong",
            "Ends with 1 if a message is overdue for five minutes, if an alarm is raised, or if "
            "--check fails.",
        )
        status.add_argument("--check", action="store_true", help="also sign in at the mail service")

        retry = add(
            self.retry,
            "send again what failed, was refused or was cancelled",
            "Each starts afresh; the senders of the site claim it within seconds. Never what was "
            "sent, and nothing for which it is too late (a link to a reset that was asked for "
            "yesterday helps nobody).",
        )
        cancel = add(
            self.cancel, "cancel what waits to be sent", "A message in flight leaves nevertheless."
        )
        for chosen in (retry, cancel):
            chosen.add_argument("--letter", choices=sorted(letters), help="only this letter")
            chosen.add_argument("--to", metavar="ADDRESS", help="only to this address")
            chosen.add_argument("--all", action="store_true", help="all of them")
            chosen.add_argument("--dry-run", action="store_true", help="only count")

        prune = add(
            self.prune,
            "delete old rows of finished mail, and suppressions that have ended",
            "Without --delete it only counts. It never deletes mail that waits, a suppression in "
            "force, or people.",
        )
        least, kept = operations.DAYS_AT_LEAST, operations.KEPT_FOR.days
        prune.add_argument(
            "--days", type=int, default=kept, help=f"{least} or more, default: {kept}"
        )
        prune.add_argument("--delete", action="store_true", help="do it")

        work = add(
            self.work,
            "send mail without a web server, until stopped",
            "Senders on the database alone. SIGTERM or Ctrl-C finishes what is in flight; the rest "
            "stays in the queue.",
        )
        work.add_argument("--threads", type=_positive, default=conf.MAIL_THREADS, help="senders")
        work.add_argument("--once", action="store_true", help="end when nothing is due any more")
        parent = "end with the process that started this (so the web server starts it)"
        work.add_argument("--with-parent", type=int, default=0, metavar="PID", help=parent)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["run"](options) != GOOD:
            sys.exit(TROUBLE)

    def say(self, line: str = "") -> None:
        self.stdout.write(line)
        self.stdout.flush()  # people watch this, also through a pipe

    def test(self, options: dict[str, Any]) -> int:
        try:
            validate_email(options["address"])
        except ValidationError:
            raise CommandError(f"{options['address']!r} is not an e-mail address.") from None
        if options["service"] and options["service"] != conf.EMAIL_SERVICE:
            return self._test_elsewhere(options)

        self.say(f"{'to':9} {options['address']}")

        def send(tried: trial.Trial) -> None:
            for name in trial.sample_names() if options["all"] else [options["letter"]]:
                seconds, answer = tried.send(name, options["language"], options["address"])
                self.say(f"{tried.doing:26} {seconds:7.3f} s  {answer}")

        if self._try(send) != GOOD:
            return TROUBLE
        self.say("\nAccepted by the mail service. Look into the mailbox, and its spam folder.")
        return GOOD

    def _try(self, use: Callable[[trial.Trial], None]) -> int:
        """Connects to the mail service and does something with it; if it fails, says what to do."""
        for name, value in trial.describe().items():
            self.say(f"{name:9} {value}")
        tried = trial.Trial()
        try:
            seconds = tried.connect()
            self.say(f"\n{tried.doing:26} {seconds:7.3f} s")
            use(tried)
        except Exception as error:
            cause, words = faults.explain(error)
            self.say(f'{tried.doing} failed: "{words}"')
            self.say(f"For the mail of the site that means: {cause.kind.value}.")
            self._remedy(cause)
            return TROUBLE
        finally:
            tried.close()
        return GOOD

    def _test_elsewhere(self, options: dict[str, Any]) -> int:
        """In a process with another EMAIL_SERVICE: the configuration itself says what it lacks."""
        letter = ["--all"] if options["all"] else ["--letter", options["letter"]]
        arguments = ["test", options["address"], *letter, "--language", options["language"]]
        path = os.pathsep.join(sys.path)
        environment = {**os.environ, "EMAIL_SERVICE": options["service"], "PYTHONPATH": path}
        command = [sys.executable, "-m", "django", "mail", *arguments]
        return subprocess.run(command, env=environment).returncode  # noqa: S603  our own words

    def _remedy(self, cause: Cause) -> None:
        found = remedy(cause)
        self.say(f"\n{found.meaning}")
        for number, step in enumerate(found.steps, 1):
            self.say(f"  {number}. {step}")

    def status(self, options: dict[str, Any]) -> int:
        waiting = operations.waiting()
        overdue = operations.oldest_overdue()
        alarm = alarms.current()
        self.say("Mail by state")
        for state, rows in operations.by_state().items():
            more = "   or more" if rows > operations.COUNTED else ""
            self.say(f"  {state:12} {rows:7}{more}")
        self.say("Waiting")
        why = {"on_hold": "until the alarm below ends", "later": "for another try, or its turn"}
        for what, rows in waiting.items():
            self.say(f"  {what.replace('_', ' '):12} {rows:7}   {why.get(what, '')}".rstrip())
        late = overdue is not None and overdue > operations.OVERDUE_TOO_LONG
        too_long = "   TOO LONG: does the site run, or `manage.py mail work`?" if late else ""
        self.say(f"  {'oldest due':12} {_age(overdue):>7}{too_long}")
        self.say("The day's budget" if conf.EMAIL_DAILY_LIMIT else "No limit for a day")
        for part in limits.parts():
            soon = "   NEARLY USED UP" if part.nearly_used_up else ""
            self.say(f"  {part.name:12} {part.used:7} of {part.most}{soon}")
        self.say(f"Engine         {conf.MAIL_ENGINE}")
        if alarm:
            self.say(f"ALARM          since {_time(alarm.since)}, last {_time(alarm.last_at)}:")
            self.say(f'  "{alarm.error}"')
            self._remedy(Cause.of(alarm.cause))
        else:
            self.say("Alarm          none")
        self.say()
        checked = self._try(lambda tried: self.say(tried.account())) if options["check"] else GOOD
        return TROUBLE if late or alarm else checked

    def retry(self, options: dict[str, Any]) -> int:
        rows = _selected(options)
        if options["dry_run"]:
            self.say(f"Would send again: {operations.unsent(rows).count()}. Nothing was changed.")
        else:
            self.say(f"Will be sent again: {operations.retry(rows)}.")
            self.say("An address that mail came back from gets none until staff clears it there.")
        return GOOD

    def cancel(self, options: dict[str, Any]) -> int:
        rows = _selected(options)
        if options["dry_run"]:
            self.say(f"Would be cancelled: {rows.waiting().count()}. Nothing was changed.")
        else:
            self.say(f"Cancelled: {rows.cancel()}. `retry` takes that back.")
        return GOOD

    def prune(self, options: dict[str, Any]) -> int:
        least = operations.DAYS_AT_LEAST
        if options["days"] < least:
            raise CommandError(f"--days {least} or more: limits and rates are counted from them.")
        age = timedelta(days=options["days"])
        total = operations.finished(age).count()
        # One without an end lasts until staff clears it.
        ended = operations.expired_suppressions()
        self.say(f"Finished mail older than {options['days']} days: {total}")
        self.say(f"Suppressions that have ended: {ended.count()}")
        if not options["delete"]:
            self.say("Nothing was deleted. Add --delete to delete them.")
            return GOOD
        deleted = operations.prune(age, lambda so_far: self.say(f"  deleted {so_far} of {total}"))
        ended.delete()
        self.say(f"Deleted {deleted} rows of mail.")
        return GOOD

    def work(self, options: dict[str, Any]) -> int:
        return engine.run(options["threads"], options["once"], options["with_parent"])


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError("it takes one or more")
    return int(text)


def _selected(options: dict[str, Any]) -> Any:
    some = bool(options["letter"] or options["to"])
    if some == options["all"]:
        raise CommandError("Say which mail: --letter and/or --to, or --all.")
    rows = Mail.objects.to(options["to"]) if options["to"] else Mail.objects.all()
    return rows.filter(letter=options["letter"]) if options["letter"] else rows


def _age(age: timedelta | None) -> str:
    return "none" if age is None else f"{timedelta(seconds=int(age.total_seconds()))} ago"


def _time(when: Any) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"
