"""Passwords that attackers try first are refused: off line always, on line if configured."""

import gzip
import hashlib
import random
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import password_validation
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import translation

from tests.conftest import PASSWORD, registration
from users import breached, passwords
from users.models import User

MOST_USED = Path(password_validation.__file__).with_name("common-passwords.txt.gz")


def complaints(password: str, user: User | None = None) -> list[str]:
    with translation.override("en"):
        try:
            validate_password(password, user)
        except ValidationError as error:
            return list(error.messages)
    return []


def is_known(password: str, path: Path = passwords.COMMON) -> bool:
    try:
        passwords.BreachedPasswordValidator(path).validate(password)
    except ValidationError:
        return True
    return False


# Off line


def test_none_of_the_most_used_is_missed() -> None:
    with gzip.open(MOST_USED, "rt") as file:
        words = [word for word in file.read().split() if len(word) >= passwords.SHORTEST]
    assert len(words) > 8000
    assert all(is_known(word) for word in words)
    assert is_known("PassWord1"), "nobody is safer by its case"


def test_hardly_any_other_is_taken_for_one() -> None:
    dice = random.Random(1)
    others = [f"{dice.getrandbits(60):x}-{number}" for number in range(20_000)]
    assert sum(is_known(one) for one in others) <= 20, "1 in 1,000"


def test_the_file_is_small() -> None:
    assert passwords.COMMON.stat().st_size < 1_500_000


def test_the_form_says_so(browser: Client) -> None:
    response = browser.post("/users/register/", registration(password="Iloveyou1"))
    assert "This password is too common" in response.text
    assert not User.objects.exists()


def test_the_command_builds_it_from_lists(tmp_path: Path) -> None:
    plain, packed, made = tmp_path / "a.txt", tmp_path / "b.txt.gz", tmp_path / "made"
    plain.write_text("Kimchi-Jjigae\nshort\n가나다라마바사아\n", encoding="utf-8")
    packed.write_bytes(gzip.compress(b"battery-staple\r\n\xff\xfe broken line\r\n"))
    call_command("breached_passwords", plain, packed, output=made)
    for known in ("kimchi-jjigae", "battery-staple", "가나다라마바사아"):
        assert is_known(known, made)
    for other in ("short", "correct-horse-battery"):
        assert not is_known(other, made)
    with pytest.raises(CommandError, match="No such file"):
        call_command("breached_passwords", tmp_path / "none.txt", output=made)
    with pytest.raises(CommandError, match="2 or more"):
        call_command("breached_passwords", plain, output=made, one_in=1)


def test_another_file_is_no_filter() -> None:
    with pytest.raises(ValueError, match="no filter of passwords"):
        is_known("password1", Path(__file__))


# On line


class Range:
    """A range API on this machine, which says what a test wants."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.lines: list[str] = []
        self.status = 200
        self.may_answer = threading.Event()
        self.may_answer.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append((self.path, str(self.headers)))
                outer.may_answer.wait()
                self.send_response(outer.status)
                self.end_headers()
                self.wfile.write("\r\n".join(outer.lines).encode())

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/range/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def knows(self, password: str, times: int = 3) -> None:
        digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
        self.lines = ["0" * 35 + ":1", f"{digest[5:]}:{times}"]


@pytest.fixture
def online(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Range]:
    monkeypatch.setattr(breached, "PATIENCE", 10.0)  # an answer that comes is waited for
    there = Range()
    settings.BREACHED_PASSWORDS_URL = there.url
    yield there
    there.may_answer.set()
    there.server.shutdown()
    there.server.server_close()


def test_nobody_is_asked_unless_it_is_configured(online: Range, settings: Any) -> None:
    settings.BREACHED_PASSWORDS_URL = ""
    assert not complaints(PASSWORD)
    assert not online.asked


def test_one_that_is_known_there_is_refused(online: Range) -> None:
    online.knows(PASSWORD)
    assert complaints(PASSWORD) == [
        "This password is too common: it is on the lists that attackers try first."
    ]
    assert not complaints("another-good-one")
    online.knows(PASSWORD, times=0)
    assert not complaints(PASSWORD), "only padding"


def test_five_digits_of_a_hash_are_all_that_leaves(online: Range) -> None:
    complaints(PASSWORD)
    [(path, headers)] = online.asked
    digest = hashlib.sha1(PASSWORD.encode(), usedforsecurity=False).hexdigest().upper()
    assert path == f"/range/{digest[:5]}"
    assert digest[5:] not in headers
    assert "Add-Padding: true" in headers


def test_one_that_is_known_here_is_not_asked_about(online: Range) -> None:
    assert complaints("password1")
    assert not online.asked


@pytest.mark.parametrize("status", [404, 429, 500])
def test_an_error_there_is_none_here(online: Range, status: int) -> None:
    online.status = status
    online.knows(PASSWORD)
    assert not complaints(PASSWORD)


def test_rubbish_is_no_answer(online: Range) -> None:
    online.lines = ["\x00:", "x" * 10_000, "::", ""]
    assert not complaints(PASSWORD)


def test_a_closed_port_is_none(online: Range, settings: Any) -> None:
    online.server.server_close()
    assert not complaints(PASSWORD)


def test_who_does_not_answer_is_not_waited_for(
    online: Range, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of this ends while nobody has been answered yet."""
    monkeypatch.setattr(breached, "PATIENCE", 0.01)
    online.may_answer.clear()
    online.knows(PASSWORD)
    for _ in range(2 * breached.ASKED_AT_ONCE):
        assert not complaints(PASSWORD)
    assert len(online.asked) <= breached.ASKED_AT_ONCE
    assert not online.may_answer.is_set()


def test_it_waits_for_a_third_of_a_second_at_most() -> None:
    assert breached.PATIENCE <= 0.3


# Words of this site and of the person


@pytest.mark.parametrize(
    ("password", "complaint"),
    [
        ("departmentofcomputerscienceandengineering1", "name of this site"),
        ("컴퓨터공학부2026!", "name of this site"),
        ("gildong-2026", "your ID, name or address"),
        ("홍길동홍길", "too short"),
        ("2026홍길동!", "your ID, name or address"),
        ("hongmail-1", "your ID, name or address"),
        ("Naver!2026", "your ID, name or address"),
    ],
)
def test_little_more_than_a_name_is_refused(password: str, complaint: str) -> None:
    person = User(user_id="gildong", name="홍길동", email="hongmail@naver.com")
    assert any(complaint in one for one in complaints(password, person))


@pytest.mark.parametrize(
    "password", ["naver-gildong-im-park", "김치찌개와 된장찌개", "kim-likes-it"]
)
def test_a_name_in_a_long_password_is_fine(password: str) -> None:
    person = User(user_id="gildong", name="Kim", email="kim@naver.com")
    assert not complaints(password, person)


def test_fifteen_characters_are_advised(browser: Client) -> None:
    assert "better 15 or more" in browser.get("/users/register/").text
