"""manage.py mail list; and what a terminal gets that a pipe does not."""

import io
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.core.management.color import color_style
from django.utils import timezone

from mail.desk.terminal import aligned
from mail.models import Draft, Mail, State
from tests.test_mail_command import mail
from tests.test_mail_operations import LATER, row
from users.models import User

pytestmark = pytest.mark.django_db


def listed(*arguments: str) -> list[dict[str, Any]]:
    code, said = mail("list", "--json", *arguments)
    assert code == 0
    found: list[dict[str, Any]] = json.loads(said)
    return found


def addresses(*arguments: str) -> list[str]:
    return [mail["to"] for mail in listed(*arguments)]


@pytest.fixture
def some() -> None:
    row(State.SENT, address="a@example.com", age=timedelta(hours=30))
    row(State.FAILED, address="b@example.com", age=timedelta(hours=3), letter="register")
    row(State.PENDING, address="c@example.com", age=timedelta(minutes=1), letter="register")
    row(State.FAILED, address="d@example.com", age=timedelta(hours=2))


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ([], "cdba"),
        (["--limit", "2"], "cd"),
        (["--state", "failed"], "db"),
        (["--letter", "register"], "cb"),
        (["--letter", "register", "--state", "failed"], "b"),
        (["--to", "A@EXAMPLE.COM"], "a"),
        (["--to", "a@example.com", "--state", "failed"], ""),
        (["--since", "5m"], "c"),
        (["--since", "150m", "--state", "failed"], "d"),
        (["--since", "1d"], "cdb"),
    ],
)
def test_each_option_leaves_fewer_and_the_newest_come_first(
    some: None, arguments: list[str], found: str
) -> None:
    assert addresses(*arguments) == [f"{name}@example.com" for name in found]


def test_since_takes_a_time_too(some: None) -> None:
    then = timezone.now() - timedelta(hours=2, minutes=30)
    korean = then.astimezone(timezone.get_fixed_timezone(540)).isoformat()
    for text in (then.astimezone(UTC).replace(tzinfo=None).isoformat(), korean):
        assert addresses("--since", text) == ["c@example.com", "d@example.com"]
    assert addresses("--since", f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%d}") == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--since", "yesterday"],
        ["--since", "99999999999d"],
        ["--since", "2026-13-01"],
        ["--limit", "0"],
        ["--state", "lost"],
        ["--letter", "no_such_letter"],
    ],
)
def test_what_means_nothing_is_refused(arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        mail("list", *arguments)


def test_a_program_gets_the_names_it_relies_on(some: None) -> None:
    [failed] = listed("--to", "b@example.com")
    assert list(failed) == [
        *("id", "created_at", "state", "letter", "to", "language", "attempts", "due", "sent_at"),
        *("cause", "error", "provider_id"),
    ]
    assert failed["id"] == str(Mail.objects.get(address="b@example.com").pk)
    assert (failed["state"], failed["due"], failed["sent_at"]) == ("failed", None, None)
    [waiting] = listed("--to", "c@example.com")
    assert datetime.fromisoformat(waiting["due"]) <= timezone.now()


def test_an_empty_list_is_one_for_programs_and_a_sentence_for_people() -> None:
    assert listed() == []
    assert "There is no such message." in mail("list")[1]


def test_people_get_columns_and_learn_that_there_is_more(some: None) -> None:
    _, said = mail("list", "--limit", "3")
    heading, *lines, more = said.splitlines()
    assert len(lines) == 3
    for name in ("state", "letter", "to", "tries"):
        column = heading.index(name)
        assert all(line[column - 2 : column] == "  " and line[column] != " " for line in lines)
    assert "older ones" in more
    assert "older ones" not in mail("list", "--limit", "4")[1]


def test_a_row_says_what_it_waits_for() -> None:
    row(age=LATER)
    assert re.search(r" due \d\d-\d\d \d\d:\d\d:\d\d$", mail("list")[1].strip())
    Mail.objects.update(claimed=True)
    assert "in flight" in mail("list")[1]
    Mail.objects.update(claimed=False, on_hold=True, error="the login was refused")
    assert "on hold until the alarm ends; the login was refused" in mail("list")[1]


def test_no_list_shows_a_body_a_token_or_a_link(settings: Any) -> None:
    settings.SITE_URL = "https://cs.example.ac.kr"
    link = "cs.example.ac.kr/users/activate/abc/the-token/"
    for start in ("", "https://", "(HTTPS://"):
        said = f"554 spam: {start}{link} see https://support.example.com/why"
        row(State.FAILED, letter="adhoc", error=said)
    Draft.objects.create(mail=Mail.objects.first(), subject="the-subject", body="the-body")
    for said in (
        mail("list")[1],
        mail("list", "--json")[1],
        mail("retry", "--all", "--dry-run")[1],
    ):
        assert "554 spam" in said
        assert "https://support.example.com/why" in said
        assert not re.search(r"the-\w+", said)


# Terminals


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def at_a_terminal(monkeypatch: Any) -> Any:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("DJANGO_COLORS", "dark")
    monkeypatch.setattr("django.core.management.base.color_style", lambda *_: color_style(True))

    def run(*arguments: str, **options: Any) -> str:
        printed = Tty()
        call_command("mail", *arguments, stdout=printed, **options)
        return printed.getvalue()

    return run


COLOUR = "\x1b["


def test_only_a_terminal_gets_colour_and_marks(some: None, at_a_terminal: Any) -> None:
    said = at_a_terminal("list")
    assert COLOUR in said
    assert [said.count("✓"), said.count("✗")] == [1, 2]
    elsewhere = mail("list")[1]
    assert not re.search("[✓✗\x1b]", elsewhere)
    plain = [re.sub("\x1b\\[[0-9;]*m", "", line)[2:] for line in said.splitlines()]
    assert plain == elsewhere.splitlines(), "the columns of a terminal are aligned as well"


def test_no_color_leaves_the_marks(some: None, at_a_terminal: Any, monkeypatch: Any) -> None:
    for said in (at_a_terminal("list", "--no-color"), at_a_terminal("list", no_color=True)):
        assert COLOUR not in said
        assert "✗" in said
    monkeypatch.setenv("NO_COLOR", "")
    assert COLOUR in at_a_terminal("list"), "an empty one means nothing"
    monkeypatch.setenv("NO_COLOR", "1")
    assert COLOUR not in at_a_terminal("list")


@pytest.mark.parametrize("state", State.values)
def test_what_a_server_said_does_not_steer_the_terminal(at_a_terminal: Any, state: str) -> None:
    row(state, error="554 \x1b[2J\x9b1mgone\r")
    for said in (at_a_terminal("list", "--no-color"), mail("list")[1]):
        assert not re.search("[\x1b\x9b\r]", said)
        assert "gone" in said


def test_wide_letters_take_two_columns() -> None:
    assert aligned([("컴퓨터", "x"), ("abcdef", "y")]) == ["컴퓨터  x", "abcdef  y"]


def test_status_marks_what_is_wrong(at_a_terminal: Any, alice: User) -> None:
    assert "✗" not in at_a_terminal("status")
    row(age=timedelta(minutes=6))
    with pytest.raises(SystemExit):
        at_a_terminal("status")
    printed = Tty()
    with pytest.raises(SystemExit):
        call_command("mail", "status", stdout=printed)
    assert "TOO LONG" in next(line for line in printed.getvalue().splitlines() if "✗" in line)
