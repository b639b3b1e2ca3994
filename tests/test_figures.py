"""The figures of the documents are those of the code: what a stranger can cost, and how long."""

from datetime import timedelta
from pathlib import Path

import pytest

from cs_web.config import Config
from cs_web.logs import LINE_MAX_LENGTH
from mail import conf
from mail.desk import operations
from mail.models import DAYS_UNTIL_IT_LASTS, SUPPRESSED_FIRST, SUPPRESSED_LONGEST
from mail.queue import chores, limits
from users import accounts, guard, hashing
from users import chores as of_users

DOCS = Path(__file__).resolve().parent.parent / "docs"
PROCESSES = 2  # as docs/operations.md starts gunicorn
HOURS = 24


def default(name: str) -> int:
    value: int = Config.model_fields[name].default
    return value


def days(of: timedelta) -> int:
    return round(of / timedelta(days=1))


def assert_says(document: str, *sentences: str) -> None:
    text = " ".join((DOCS / document).read_text().split())
    missing = [sentence for sentence in sentences if sentence not in text]
    assert not missing, f"docs/{document} does not say so any more"


FORMS = default("FORMS_PER_NETWORK_LIMIT")
GUESSES = default("SIGN_INS_PER_NETWORK_LIMIT")
A_DAY = FORMS * PROCESSES * HOURS
NOTICES = GUESSES * HOURS // guard.NOTIFY_AFTER
FAILURES = GUESSES * HOURS + guard.NETWORK_ROWS_A_DAY


def test_what_strangers_make_us_store() -> None:
    claims = A_DAY * (1 + days(of_users.CLAIMS_KEPT_FOR))
    messages = A_DAY * days(operations.KEPT_FOR)
    sessions = A_DAY * default("SESSION_HOURS") // HOURS
    in_all = f"{claims // 1000},000 claims, {messages // 1000},000 messages and "
    in_all += f"{sessions // 1000},000 sessions"
    assert_says(
        "operations.md",
        f"{FORMS} an hour from a network (an IPv6 /48: {FORMS * 4})",
        f"at most {A_DAY:,} forms",
        f"| claims | {A_DAY:,} a day | a day, and a week after their end |",
        f"| mail | {A_DAY:,} a day, and {NOTICES} notices of wrong passwords "
        f"| {days(operations.KEPT_FOR)} days; for an address that nobody has, one |",
        f"| sessions | {A_DAY:,} a day, and those of sign-ins "
        f"| {default('SESSION_HOURS') // HOURS} days |",
        f"| wrong passwords | {FAILURES:,} rows a day",
        f"and {LINE_MAX_LENGTH:,} characters at most",
        in_all,
        f"every ten minutes, {chores.AT_MOST} rows at a time",
    )
    assert_says(
        "security.md",
        f"{A_DAY:,} claims, {A_DAY:,} sessions, {A_DAY + NOTICES:,} messages, "
        f"{FAILURES:,} of wrong passwords",
        in_all,
    )
    assert chores.EVERY == 10 * 60
    assert days(of_users.CLAIMS_KEPT_FOR) == 7
    assert timedelta(days=1) == operations.UNKNOWN_ADDRESS_KEPT_FOR


def test_what_wrong_passwords_cost() -> None:
    assert_says(
        "security.md",
        f"{guard.PER_NAME} for a name (as typed, whether somebody has it or not), {GUESSES} for a "
        f"network (an IPv4 address, an IPv6 /64; `SIGN_INS_PER_NETWORK_LIMIT`), {GUESSES * 2} for "
        f"a /56, {GUESSES * 4} for a /48",
        f"({guard.PER_DEVICE} wrong passwords an hour of its own), a session and a mailed link "
        f"({guard.PER_PROVEN})",
        f"{GUESSES} looked-at guesses",
        f"at most {GUESSES * HOURS:,} rows of failed sign-ins and {guard.NETWORK_ROWS_A_DAY} more "
        f"with the network, kept for {days(guard.KEPT_FOR)} days",
        f"{NOTICES} a day from one network",
    )
    assert guard.WAITS == (2, 4, 8, 16, 32, 60)
    assert (hashing.PATIENCE, hashing.PATIENCE_OF_THE_PROVEN, hashing.QUEUE) == (0.5, 5.0, 1)
    assert timedelta(hours=1) == guard.WINDOW


def test_what_strangers_make_us_send() -> None:
    per_mailbox, per_network = (
        default("EMAIL_PER_ADDRESS_LIMIT"),
        default("EMAIL_PER_NETWORK_LIMIT"),
    )
    useful = timedelta(minutes=30)
    resets = per_mailbox + (timedelta(days=1) - useful) // limits.OWNERS_GAP
    gmail = conf.SERVICES["gmail"].daily_limit
    assert_says(
        "security.md",
        f"| {2 * per_mailbox}; of one claim {per_mailbox}, to {limits.ADDRESSES_OF_A_CLAIM} "
        "addresses",
        f"from one network in a day | {per_network}, and a fifth of the budget",
        f"resets: {per_mailbox}, then one an hour",
        f"({resets} resets a day each: nine owners for Gmail's {gmail})",
        f"registration letters for {days(accounts.DECLINED_FOR)} days",
    )
    assert -(-gmail * (1 - limits.FOR_STRANGERS) // resets) == 9
    shares = (limits.FOR_STRANGERS, limits.FOR_ALL_BUT_OWNERS, limits.FOR_ALL_BUT_THEMSELVES)
    assert (*shares, limits.FOR_A_NETWORK) == (0.5, 0.8, 0.9, 0.2)
    assert 3 * limits.FOR_A_NETWORK >= 1 - limits.FOR_STRANGERS, "three networks"
    assert (timedelta(hours=2), timedelta(days=7)) == (SUPPRESSED_FIRST, SUPPRESSED_LONGEST)
    assert DAYS_UNTIL_IT_LASTS == 3


@pytest.mark.parametrize("name", ["FORMS_PER_NETWORK_LIMIT", "SIGN_INS_PER_NETWORK_LIMIT"])
def test_the_table_of_settings_has_the_defaults(name: str) -> None:
    assert_says("operations.md", f"| `{name}` | {default(name)} |")
