"""`mail status` and `mail list`: what is in the queue. Neither shows a body, a token or a link."""

import json
import re
from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone

from mail import conf
from mail.causes import Cause
from mail.desk import operations
from mail.desk.terminal import Terminal, aligned
from mail.desk.verbs import GOOD, TROUBLE, Add
from mail.desk.verbs.trying import say_remedy, use
from mail.models import Mail, State
from mail.queue import limits
from mail.queue.alarms import alarms
from mail.queue.letters import letters

LISTED_UNLESS_SAID = 20
HAVE_LEFT = (State.SENT, State.DELIVERED)
WENT_WRONG = (State.FAILED, State.REFUSED, State.BOUNCED, State.COMPLAINED)
UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def add_to(add: Add) -> None:
    parser = add(
        status,
        "what waits, what became of the rest, and whether anything is wrong",
        "Ends with 1 if a message is overdue for five minutes, if an alarm is raised, or if "
        "--check fails.",
    )
    parser.add_argument("--check", action="store_true", help="also sign in at the mail service")

    parser = add(
        list_,
        "the newest messages, and what became of each",
        "Every option leaves fewer of them. All times are UTC.",
    )
    parser.add_argument("--state", choices=State.values, help="only those")
    parser.add_argument("--letter", choices=sorted(letters), help="only this letter")
    parser.add_argument("--to", metavar="ADDRESS", help="only to this address")
    since = "only those made since then: 30m, 6h, 2d ago, or a time such as 2026-01-31T09:00"
    parser.add_argument("--since", type=_since, metavar="TIME", help=since)
    most = f"at most so many, default: {LISTED_UNLESS_SAID}"
    parser.add_argument("--limit", type=positive, default=LISTED_UNLESS_SAID, help=most)
    parser.add_argument("--json", action="store_true", help="for programs: a list of objects")


def status(options: dict[str, Any], terminal: Terminal) -> int:
    waiting = operations.waiting()
    overdue = operations.oldest_overdue()
    alarm = alarms.current()
    terminal.say("Mail by state")
    for state, rows in operations.by_state().items():
        more = "   or more" if rows > operations.COUNTED else ""
        terminal.say(f"  {state:12} {rows:7}{more}")
    terminal.say("Waiting")
    why = {"on_hold": "until the alarm below ends", "later": "for another try, or its turn"}
    for what, rows in waiting.items():
        terminal.say(f"  {what.replace('_', ' '):12} {rows:7}   {why.get(what, '')}".rstrip())
    late = overdue is not None and overdue > operations.OVERDUE_TOO_LONG
    terminal.say(f"  {'oldest due':12} {_age(overdue):>7}")
    if late:
        terminal.bad("TOO LONG: does the site run, or `manage.py mail work`?")
    terminal.say("The day's budget" if conf.EMAIL_DAILY_LIMIT else "No limit for a day")
    for part in limits.parts():
        terminal.say(f"  {part.name:12} {part.used:7} of {part.most}")
        if part.nearly_used_up:
            terminal.bad(f"NEARLY USED UP: {part.name}")
    terminal.say(f"Engine         {conf.MAIL_ENGINE}")
    if alarm:
        terminal.bad(f"ALARM          since {_time(alarm.since)}, last {_time(alarm.last_at)}:")
        terminal.say(f'  "{alarm.error}"')
        say_remedy(Cause.of(alarm.cause), terminal)
    else:
        terminal.say("Alarm          none")
    terminal.say()
    checked = GOOD
    if options["check"]:
        checked = use(lambda tried: terminal.say(tried.account()), terminal)
    return TROUBLE if late or alarm else checked


def list_(options: dict[str, Any], terminal: Terminal) -> int:
    chosen = {name: options[name] for name in ("state", "letter", "to", "since")}
    rows = operations.listed(**chosen)
    if options["json"]:
        shown = [_object(mail) for mail in rows[: options["limit"]]]
        terminal.say(json.dumps(shown, ensure_ascii=False, indent=2))
        return GOOD
    say_newest(rows, options["limit"], terminal)
    return GOOD


def say_newest(rows: Any, at_most: int, terminal: Terminal) -> None:
    found = list(rows[: at_most + 1])
    shown = found[:at_most]
    heading = ("made (UTC)", "state", "letter", "to", "tries", "what became of it")
    lines = aligned([heading, *(_cells(mail) for mail in shown)])
    if not shown:
        terminal.say("There is no such message.")
        return
    terminal.plain(lines[0])
    for mail, line in zip(shown, lines[1:], strict=True):
        if mail.state in HAVE_LEFT:
            terminal.good(line)
        elif mail.state in WENT_WRONG:
            terminal.bad(line)
        else:
            terminal.plain(line)
    if len(found) > at_most:
        terminal.plain(f"… and older ones: these are the newest {at_most}.")


def _cells(mail: Mail) -> tuple[str, ...]:
    became = f"sent {mail.sent_at:%m-%d %H:%M:%S}" if mail.sent_at else ""
    if mail.state == State.PENDING:
        became = "in flight" if mail.claimed else f"due {mail.due:%m-%d %H:%M:%S}"
        became = "on hold until the alarm ends" if mail.on_hold else became
    became = "; ".join(filter(None, [became, operations.error_without_link(mail)]))
    made = f"{mail.created_at:%Y-%m-%d %H:%M:%S}"
    return made, mail.state, mail.letter, mail.address, str(mail.attempts), became


def _object(mail: Mail) -> dict[str, Any]:
    """The names are part of the interface: programs read them."""
    return {
        "id": str(mail.pk),
        "created_at": mail.created_at.isoformat(),
        "state": mail.state,
        "letter": mail.letter,
        "to": mail.address,
        "language": mail.language,
        "attempts": mail.attempts,
        "due": mail.due.isoformat() if mail.state == State.PENDING else None,
        "sent_at": mail.sent_at.isoformat() if mail.sent_at else None,
        "cause": mail.cause,
        "error": operations.error_without_link(mail),
        "provider_id": mail.provider_id,
    }


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError("it takes one or more")
    return int(text)


def _since(text: str) -> datetime:
    try:
        if ago := re.fullmatch(r"(\d+)([mhd])", text):
            return timezone.now() - timedelta(**{UNITS[ago[2]]: int(ago[1])})
        when = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ArgumentTypeError("it takes 30m, 6h, 2d, or a time: 2026-01-31T09:00") from None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _age(age: timedelta | None) -> str:
    return "none" if age is None else f"{timedelta(seconds=int(age.total_seconds()))} ago"


def _time(when: Any) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"
