"""The log: one record is one line, short enough to read, without tokens, whoever wrote it."""

import json
import logging
import logging.config
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from cs_web.logs import LINE_MAX_LENGTH, OneLine
from tests.conftest import activation_link, reset_link
from users.models import User

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "dicv5b-0123456789abcdef0123456789abcdef"
RECORD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ [\w.]+: ")


def line(message: Any, *args: Any, exc_info: Any = None) -> str:
    record = logging.LogRecord("users.audit", logging.INFO, "", 0, message, args, exc_info)
    return OneLine().format(record)


# One line


@pytest.mark.parametrize(
    "words",
    [
        "x\n2026-11-21 00:00:00,000 CRITICAL mail.alarm: forged",
        "x\r\n2026-11-21 00:00:00,000 CRITICAL mail.alarm: forged",
        "x\N{LINE SEPARATOR}2026-11-21",
        "x\x85y\x0bz",
        "\x1b[2J\x1b[31mred",
        "\0",
        "\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe",
        "\ud800",
    ],
)
def test_what_was_sent_is_one_line_that_commands_no_terminal(words: str) -> None:
    for text in (line(words), line("%s", words), line("Type: %r", {"Type": words})):
        assert text.isprintable()
        assert len(text.splitlines()) == 1


def test_korean_stays_as_it_is() -> None:
    assert line("보낸 사람: 컴퓨터공학부 사무실").endswith("보낸 사람: 컴퓨터공학부 사무실")


def test_a_long_record_is_cut_and_says_so() -> None:
    text = line("Received: %s", "x" * 2_400_000)
    assert len(text) < LINE_MAX_LENGTH + 100
    assert text.endswith("… (2400010 characters)")


def test_an_error_cannot_forge_a_record_either() -> None:
    forged = "2026-11-21 00:00:00,000 CRITICAL mail.alarm: forged"
    try:
        raise ValueError(f"x\n{forged}\r{forged}\n" + f"/users/activate/MTIz/{TOKEN}/ " * 20_000)
    except ValueError as error:
        text = line("broken", exc_info=(type(error), error, error.__traceback__))
    first, *rest = text.splitlines()
    assert RECORD.match(first)
    assert rest[0] == "    Traceback (most recent call last):"
    assert all(each.startswith("    ") for each in rest)
    assert TOKEN not in text
    assert len(text) < 110 * LINE_MAX_LENGTH


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("post", "/users/register/cancel/", {}, 403),
        ("get", "/", {"host": "evil.example"}, 400),
        ("get", "/?q=%00", {}, 400),
        ("get", "/no/such/page", {}, 404),
    ],
)
def test_a_refusal_is_one_line_however_django_reports_it(
    method: str, path: str, headers: dict[str, str], status: int, db: None, caplog: Any
) -> None:
    for name in ("django", "django.request"):
        logging.getLogger(name).addHandler(caplog.handler)
    try:
        response = getattr(Client(), method)(path, headers=headers)
    finally:
        for name in ("django", "django.request"):
            logging.getLogger(name).removeHandler(caplog.handler)
    assert response.status_code == status
    [text] = {OneLine().format(record) for record in caplog.records}
    assert len(text.splitlines()) == 1


def test_an_endless_traceback_is_shown_at_both_ends() -> None:
    def deeper(number: int) -> int:
        return deeper(number + 1) if number % 2 else deeper(number + 3)

    try:
        deeper(0)
    except RecursionError as error:
        text = line("broken", exc_info=(type(error), error, error.__traceback__))
    assert len(text.splitlines()) <= 102
    assert "RecursionError" in text.splitlines()[-1]


# Tokens

SPELLINGS = [
    "/users/activate/MTIz/{}/",
    "/users/activate/MTIz/{}",
    "/users/password/reset/MTIz/{}/",
    "/users/notices/MTIz/{}/",
    "/users/take-back/MTIz/{}/",
    "//users//activate//MTIz//{}//",
    "/Users/Activate/MTIz/{}/",
    "/USERS/PASSWORD/RESET/MTIz/{}/",
    " /users/activate/MTIz/{}/",
    "/x/../users/activate/MTIz/{}/",
    "/users/./activate/MTIz/{}/",
    "/users%2Factivate%2fMTIz%2F{}%2F",
    "/%75sers/activate/MTIz/{}",
    "/users/activate/{}",
    "/admin/login/?next=/users/activate/MTIz/{}/",
    "/?next=%2Fusers%2Factivate%2FMTIz%2F{}",
    "https://cs.example.ac.kr/users/activate/MTIz/{}/?utm_source=mail",
    '"GET /users/activate/MTIz/{} HTTP/1.1" 302',
    "{}",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_token_is_masked_however_its_path_is_spelled(spelling: str) -> None:
    for token in (TOKEN, TOKEN.upper(), TOKEN.replace("-", "%2D")):
        text = line(spelling.format(token))
        assert token not in text
        assert token[-32:] not in text
        assert "[token]" in text


def test_what_only_looks_a_little_like_a_token_stays() -> None:
    for harmless in ("/users/register/success/", "c0ffee00-1234-4abc-8def-0123456789ab", "a-b"):
        assert line(harmless).endswith(harmless)
    for page in ("activate", "password/reset", "notices", "address", "take-back", "deletion"):
        damaged = line(f"GET /users/{page}/MTIz/dicv5b-0123/")
        assert damaged.endswith(f"GET /users/{page}/MTIz/[token]/"), "enough to see what was wrong"


def test_our_own_links_are_masked(alice: User, bob: User) -> None:
    for link in (activation_link(bob), reset_link(alice)):
        assert link.split("/")[-2] not in line("GET %s", link)


# Whoever wrote it


def test_every_handler_writes_with_this_formatter() -> None:
    formatters = settings.LOGGING["formatters"]
    assert [formatter["()"] for formatter in formatters.values()] == ["cs_web.logs.OneLine"]
    handlers = settings.LOGGING["handlers"]
    assert set(handlers) == {"console", "admins"}
    assert handlers["console"]["formatter"] in formatters


@pytest.mark.parametrize(
    "name",
    ["django.server", "django.request", "django.security.csrf", "uvicorn.access", "uvicorn.error",
     "django_ses.views", "users.audit"],
)  # fmt: skip
def test_django_and_the_server_write_by_it_too(name: str, monkeypatch: Any) -> None:
    """Beside the handler that a server for ASGI has given its own loggers before us."""
    output, theirs = StringIO(), StringIO()
    logger = logging.getLogger(name)
    logger.addHandler(foreign := logging.StreamHandler(theirs))
    try:
        with monkeypatch.context() as patched:
            patched.setattr("sys.stderr", output)
            logging.config.dictConfig(json.loads(json.dumps(settings.LOGGING)))
        logger.warning("GET %s", f"/users/activate/MTIz/{TOKEN}\nforged")
    finally:
        logger.removeHandler(foreign)
        logging.config.dictConfig(settings.LOGGING)
    [written] = output.getvalue().splitlines()
    assert RECORD.match(written)
    assert TOKEN not in written
    if name.startswith("uvicorn"):
        assert not theirs.getvalue()


# nginx


@pytest.mark.parametrize("spelling", [one for one in SPELLINGS if "MTIz" in one])
def test_the_map_of_nginx_masks_a_token_too(spelling: str) -> None:
    """nginx's expressions are PCRE, which means the same as Python's here."""
    conf = (ROOT / "deploy/nginx.conf").read_text()
    [(pattern, instead)] = re.findall(r'"~\*(\^.*\$)"\s+"(.*)";', conf)
    found = re.match(pattern.replace("(?<", "(?P<"), f"GET {spelling.format(TOKEN)}", re.I)
    assert found
    names = re.compile(r"\$\{?(\w+)\}?")
    assert TOKEN[-32:] not in names.sub(lambda name: found[name[1]], instead)
