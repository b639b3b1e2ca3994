"""`mail retry`, `mail cancel`, `mail prune` and `mail work`: what they change is in the queue."""

import sys
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError

from mail import conf
from mail.desk import operations
from mail.desk.terminal import Terminal
from mail.desk.verbs import GOOD, TROUBLE, Add
from mail.desk.verbs.looking import positive, say_newest
from mail.queue.engines import work as engine
from mail.queue.letters import letters

SHOWN_OF_A_DRY_RUN = 50


def add_to(add: Add) -> None:
    retrying = add(
        retry,
        "send again what failed, was refused or was cancelled",
        "Each starts afresh; the senders of the site claim it within seconds. Never what was "
        "sent, and nothing for which it is too late (a link to a reset that was asked for "
        "yesterday helps nobody).",
    )
    cancelling = add(
        cancel, "cancel what waits to be sent", "A message in flight leaves nevertheless."
    )
    for parser in (retrying, cancelling):
        parser.add_argument("--letter", choices=sorted(letters), help="only this letter")
        parser.add_argument("--to", metavar="ADDRESS", help="only to this address")
        parser.add_argument("--all", action="store_true", help="all of them")
        parser.add_argument("--dry-run", action="store_true", help="only list them")
    cancelling.add_argument("--yes", action="store_true", help="do not ask before --all")

    parser = add(
        prune,
        "delete old rows of finished mail, and suppressions that have ended",
        "Without --delete it only counts. It never deletes mail that waits, a suppression in "
        "force, or people.",
    )
    least, kept = operations.DAYS_AT_LEAST, operations.KEPT_FOR.days
    parser.add_argument("--days", type=int, default=kept, help=f"{least} or more, default: {kept}")
    parser.add_argument("--delete", action="store_true", help="do it")

    parser = add(
        work,
        "send mail without a web server, until stopped",
        "Senders on the database alone. SIGTERM or Ctrl-C finishes what is in flight; the rest "
        "stays in the queue.",
    )
    parser.add_argument("--threads", type=positive, default=conf.MAIL_THREADS, help="senders")
    parser.add_argument("--once", action="store_true", help="end when nothing is due any more")
    parent = "end with the process that started this (so the web server starts it)"
    parser.add_argument("--with-parent", type=int, default=0, metavar="PID", help=parent)


def retry(options: dict[str, Any], terminal: Terminal) -> int:
    rows = _selected(options)
    if options["dry_run"]:
        rows = operations.unsent(rows)
        _say_dry_run("Would send again", operations.newest(rows, options["to"]), terminal)
        return GOOD
    terminal.good(f"Will be sent again: {operations.retry(rows)}.")
    terminal.say("An address that mail came back from gets none until staff clears it there.")
    return GOOD


def cancel(options: dict[str, Any], terminal: Terminal) -> int:
    rows = _selected(options)
    if options["dry_run"]:
        rows = operations.newest(rows.waiting(), options["to"])
        _say_dry_run("Would be cancelled", rows, terminal)
        return GOOD
    if options["all"] and not options["yes"] and not _is_meant(rows.waiting().count()):
        terminal.say("Nothing was cancelled.")
        return TROUBLE
    terminal.good(f"Cancelled: {rows.cancel()}. `retry` takes that back.")
    return GOOD


def _is_meant(count: int) -> bool:
    if not sys.stdin.isatty():
        raise CommandError("Nobody is here to be asked: add --yes to cancel all that waits.")
    if not count:
        return True
    try:
        return input(f"Cancel all {count} that wait? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _say_dry_run(what: str, rows: Any, terminal: Terminal) -> None:
    if count := rows.count():
        say_newest(rows, SHOWN_OF_A_DRY_RUN, terminal)
    terminal.say(f"{what}: {count}. Nothing was changed.")


def _selected(options: dict[str, Any]) -> Any:
    some = bool(options["letter"] or options["to"])
    if some == options["all"]:
        raise CommandError("Say which mail: --letter and/or --to, or --all.")
    return operations.selected(options["letter"], options["to"])


def prune(options: dict[str, Any], terminal: Terminal) -> int:
    least = operations.DAYS_AT_LEAST
    if options["days"] < least:
        raise CommandError(f"--days {least} or more: limits and rates are counted from them.")
    age = timedelta(days=options["days"])
    total = operations.finished(age).count()
    # One without an end lasts until staff clears it.
    ended = operations.expired_suppressions()
    terminal.say(f"Finished mail older than {options['days']} days: {total}")
    terminal.say(f"Suppressions that have ended: {ended.count()}")
    if not options["delete"]:
        terminal.say("Nothing was deleted. Add --delete to delete them.")
        return GOOD
    deleted = operations.prune(age, lambda so_far: terminal.say(f"  deleted {so_far} of {total}"))
    ended.delete()
    terminal.good(f"Deleted {deleted} rows of mail.")
    return GOOD


def work(options: dict[str, Any], terminal: Terminal) -> int:
    return engine.run(options["threads"], options["once"], options["with_parent"])
