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

from mail import alarms, errors, health, operations, registry, remedies, trial
from mail.engines import work as engine

SERVICES = ["naver", "gmail", "smtp", "ses", "console", "file"]

GOOD, TROUBLE = 0, 1


class Command(BaseCommand):
    help = "Tries the mail service, and looks after the mail that waits."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="SUBCOMMAND")

        test = commands.add_parser(
            "test",
            help="send the real letters through the real service, now, and tell what it said",
            description="Sends letters of this site, about nobody, with links that open nothing. "
            "It waits for the mail server, and touches neither the database nor any budget. "
            "On failure: what it means, and what to do.",
        )
        test.add_argument("address", metavar="ADDRESS", help="to whom")
        which = test.add_mutually_exclusive_group()
        names = registry.sample_names()
        which.add_argument("--letter", choices=names, default="register", help="default: register")
        which.add_argument("--all", action="store_true", help="every letter")
        test.add_argument(
            "--language",
            choices=[code for code, _ in settings.LANGUAGES],
            default=settings.LANGUAGE_CODE,
            help="default: the site's",
        )
        test.add_argument(
            "--service",
            choices=SERVICES,
            help="this time by another service than EMAIL_SERVICE; what it needs (a login, keys) "
            "comes from secrets.json or the environment, and what is missing is named",
        )

        status = commands.add_parser(
            "status",
            help="what waits, what became of the rest, and whether anything is wrong",
            description="Ends with 1 if a mail is overdue for more than five minutes, if an alarm "
            "stands, or if --check fails.",
        )
        status.add_argument(
            "--check", action="store_true", help="also connect to the mail service and sign in"
        )

        retry = commands.add_parser(
            "retry",
            help="send again what failed, was refused or was cancelled",
            description="Each mail starts afresh; the senders of the site take it within seconds. "
            "Never what was sent, and nothing for which it is too late (a link to a reset that "
            "was asked for yesterday helps nobody).",
        )
        cancel = commands.add_parser(
            "cancel",
            help="take back what waits to be sent",
            description="What a sender holds in this moment leaves nevertheless.",
        )
        for chosen in (retry, cancel):
            chosen.add_argument(
                "--letter", choices=sorted(registry.letters), help="only this letter"
            )
            chosen.add_argument("--to", metavar="ADDRESS", help="only to this address")
            chosen.add_argument("--all", action="store_true", help="all of them")
            chosen.add_argument("--dry-run", action="store_true", help="only tell how many")

        prune = commands.add_parser(
            "prune",
            help="delete old rows of mail that is finished, and suppressions that have ended",
            description="Without --delete it only tells what it would do. It never deletes mail "
            "that waits, a suppression that stands, or people.",
        )
        prune.add_argument(
            "--days",
            type=int,
            default=30,
            help=f"older than this; {operations.DAYS_AT_LEAST} or more, default: 30",
        )
        prune.add_argument("--delete", action="store_true", help="do it")

        work = commands.add_parser(
            "work",
            help="send mail without a web server, until stopped",
            description="Senders on the database alone. SIGTERM or Ctrl-C finishes what is being "
            "sent; the rest stays in the outbox.",
        )
        work.add_argument(
            "--threads", type=_positive, default=settings.MAIL_THREADS, help="senders"
        )
        work.add_argument("--once", action="store_true", help="end when nothing is due any more")

    def handle(self, *args: Any, **options: Any) -> None:
        run: dict[str, Callable[..., int]] = {
            "test": self.test,
            "status": self.status,
            "retry": self.retry,
            "cancel": self.cancel,
            "prune": self.prune,
            "work": self.work,
        }
        code = run[options["command"]](options)
        if code != GOOD:
            sys.exit(code)

    def say(self, line: str = "") -> None:
        self.stdout.write(line)
        self.stdout.flush()  # people watch this, also through a pipe

    # test

    def test(self, options: dict[str, Any]) -> int:
        try:
            validate_email(options["address"])
        except ValidationError:
            raise CommandError(f"{options['address']!r} is no e-mail address.") from None
        if options["service"] and options["service"] != settings.EMAIL_SERVICE:
            return self._test_elsewhere(options)
        self._describe()
        self.say(f"{'to':9} {options['address']}\n")
        names = registry.sample_names() if options["all"] else [options["letter"]]
        tried = trial.Trial()
        what = "connecting"
        try:
            self.say(f"{what:26} {tried.connect():7.3f} s")
            for name in names:
                what = f"{name} ({options['language']})"
                seconds, answer = tried.send(name, options["language"], options["address"])
                self.say(f"{what:26} {seconds:7.3f} s  {answer}")
        except Exception as error:
            return self._explain(what, error)
        finally:
            tried.close()
        self.say("\nThe mail service has taken it. Now look into the mailbox, and its spam folder.")
        return GOOD

    def _test_elsewhere(self, options: dict[str, Any]) -> int:
        """In a process with another EMAIL_SERVICE: the configuration itself says what it lacks."""
        letter = ["--all"] if options["all"] else ["--letter", options["letter"]]
        arguments = ["test", options["address"], *letter, "--language", options["language"]]
        environment = {
            **os.environ,
            "EMAIL_SERVICE": options["service"],
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        command = [sys.executable, "-m", "django", "mail", *arguments]
        return subprocess.run(command, env=environment).returncode  # noqa: S603  our own words

    def _describe(self) -> None:
        for name, value in trial.describe().items():
            self.say(f"{name:9} {value}")

    def _explain(self, what: str, error: Exception) -> int:
        fault, words = errors.explain(error)
        self.say(f'{what} failed: "{words}"')
        self.say(f"For the mail of the site that means: {fault.value}.")
        self._remedy(words)
        return TROUBLE

    def _remedy(self, words: str) -> None:
        found = remedies.remedy(words)
        self.say(f"\n{found.meaning}")
        for number, step in enumerate(found.steps, 1):
            self.say(f"  {number}. {step}")

    # status

    def status(self, options: dict[str, Any]) -> int:
        queue = operations.queue()
        overdue = health.oldest_overdue()
        alarm = alarms.current()
        self.say("Mail by state")
        for state, rows in operations.by_state().items():
            self.say(f"  {state:12} {rows:7}")
        self.say("Waiting")
        self.say(f"  {'due now':12} {queue['due_now']:7}")
        self.say(f"  {'being sent':12} {queue['being_sent']:7}")
        self.say(f"  {'held up':12} {queue['held_up']:7}   by a fault of ours: see the alarm")
        self.say(f"  {'later':12} {queue['later']:7}   for another try, or its turn")
        late = overdue is not None and overdue > health.OVERDUE_TOO_LONG
        too_long = "   TOO LONG: does the site run, or `manage.py mail work`?" if late else ""
        self.say(f"  {'oldest due':12} {_age(overdue):>7}{too_long}")
        self.say(f"Sent in 24 h   {operations.sent_in_a_day():7} of {_limit()}")
        self.say(f"Engine         {settings.TASKS['default']['BACKEND']}")
        if alarm:
            self.say(f"ALARM          since {_time(alarm.since)}, last {_time(alarm.last_at)}:")
            self.say(f'  "{alarm.words}"')
            self._remedy(alarm.words)
        else:
            self.say("Alarm          none")
        well = self._check_connection() if options["check"] else True
        return GOOD if well and not late and not alarm else TROUBLE

    def _check_connection(self) -> bool:
        self.say("\nConnection")
        self._describe()
        tried = trial.Trial()
        try:
            seconds = tried.connect()
            account = tried.account()
        except Exception as error:
            self._explain("connecting", error)
            return False
        finally:
            tried.close()
        self.say(f"{'answer':9} well, after {seconds:.3f} s{f'; {account}' if account else ''}")
        return True

    # retry and cancel

    def retry(self, options: dict[str, Any]) -> int:
        rows = _selected(options)
        if options["dry_run"]:
            self.say(f"Would send again: {operations.unsent(rows).count()}. Nothing was changed.")
            return GOOD
        self.say(f"Will be sent again: {operations.retry(rows)}.")
        self.say("An address that mail came back from gets none until the admin clears it there.")
        return GOOD

    def cancel(self, options: dict[str, Any]) -> int:
        rows = _selected(options)
        if options["dry_run"]:
            count = rows.waiting().count()
            self.say(f"Would be cancelled: {count}. Nothing was changed.")
            return GOOD
        self.say(f"Cancelled: {rows.cancel()}. `retry` takes that back.")
        return GOOD

    # prune

    def prune(self, options: dict[str, Any]) -> int:
        if options["days"] < operations.DAYS_AT_LEAST:
            least = operations.DAYS_AT_LEAST
            raise CommandError(f"--days {least} or more: limits and rates are counted from them.")
        age = timedelta(days=options["days"])
        old, ended = operations.finished(age), operations.expired_suppressions()
        total = old.count()
        self.say(f"Finished mail older than {options['days']} days: {total}")
        self.say(f"Suppressions that have ended: {ended.count()}")
        if not options["delete"]:
            self.say("Nothing was deleted: say --delete to do it.")
            return GOOD
        deleted = operations.prune(age, lambda so_far: self.say(f"  deleted {so_far} of {total}"))
        ended.delete()
        self.say(f"Deleted {deleted} rows of mail.")
        return GOOD

    # work

    def work(self, options: dict[str, Any]) -> int:
        return engine.run(threads=options["threads"], once=options["once"])


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError("it takes one or more")
    return int(text)


def _selected(options: dict[str, Any]) -> Any:
    some = bool(options["letter"] or options["to"])
    if some == options["all"]:
        raise CommandError("Say which mail: --letter and/or --to, or --all.")
    return operations.select(options["letter"], options["to"])


def _limit() -> str:
    return str(settings.EMAIL_DAILY_LIMIT) if settings.EMAIL_DAILY_LIMIT else "no limit"


def _age(age: timedelta | None) -> str:
    return "none" if age is None else f"{timedelta(seconds=int(age.total_seconds()))} ago"


def _time(when: Any) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"
