"""Hashing: which hash, and never on all cores at once, of the whole machine."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import hashers
from django.test import Client

from tests.conftest import (
    NEW_PASSWORD,
    PASSWORD,
    activation_link,
    is_signed_in,
    open_link,
    registration,
    reset_link,
    sign_in,
)
from users import accounts, hashing
from users.models import FailedSignIn, Tally, User

PRODUCTION = ["users.hashing.Argon2", "users.hashing.PBKDF2"]


@pytest.fixture(autouse=True)
def _production(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.VAR_DIR = tmp_path
    settings.PASSWORD_HASHERS = PRODUCTION
    monkeypatch.setattr(hashing.PBKDF2, "iterations", 1000)


@pytest.fixture
def all_taken(tmp_path: Path) -> Iterator[None]:
    """By another process, which has locked every file."""
    script = (
        "import fcntl, os, sys\n"
        "for name in sys.argv[1:]:\n"
        "    fcntl.flock(os.open(name, os.O_RDONLY | os.O_CREAT), fcntl.LOCK_EX)\n"
        "print('taken', flush=True)\n"
        "sys.stdin.read()\n"
    )
    files = [str(tmp_path / f"hashing-{number}.lock") for number in range(hashing.SLOTS)]
    command = [sys.executable, "-c", script, *files]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as other:  # type: ignore[call-overload]
        assert other.stdout.readline() == b"taken\n"
        yield
        other.kill()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PATIENCE", "PATIENCE_OF_THE_PROVEN"):
        wait = getattr(hashing, name) / 100
        monkeypatch.setattr(hashing, name, wait)
        monkeypatch.setitem(hashing._queues, wait, threading.BoundedSemaphore(1))


# Which hash


def test_a_new_password_is_argon2id_as_owasp_wants_it(alice: User) -> None:
    assert alice.password.startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")
    assert alice.check_password(PASSWORD)
    assert hashing.is_current(alice.password)


OLD = {
    "PBKDF2": lambda: hashing.PBKDF2().encode(PASSWORD, "salt"),
    "Argon2 with other parameters": lambda: hashers.Argon2PasswordHasher().encode(
        PASSWORD, "saltsaltsalt"
    ),
}


@pytest.mark.parametrize("old", OLD.values(), ids=OLD.keys())
def test_an_old_hash_is_renewed_at_the_sign_in(
    browser: Client, alice: User, old: Callable[[], str]
) -> None:
    User.objects.update(password=old())
    sign_in(browser, "alice", "wrong-horse")
    alice.refresh_from_db()
    assert not hashing.is_current(alice.password)
    sign_in(browser, "alice")
    alice.refresh_from_db()
    assert hashing.is_current(alice.password)
    assert alice.check_password(PASSWORD)
    assert is_signed_in(browser)


def test_nobody_but_who_signs_in_is_renewed(browser: Client, bob: User) -> None:
    """It would end the link of a claim."""
    User.objects.update(password=OLD["PBKDF2"]())
    link = activation_link(User.objects.get())
    sign_in(browser, "bob")
    assert open_link(browser, link)


def test_the_old_password_does_not_come_back(alice: User) -> None:
    """It was changed between the check at the sign-in and the renewal."""
    User.objects.update(password=OLD["PBKDF2"]())
    at_the_sign_in, elsewhere = User.objects.get(), User.objects.get()
    accounts.choose_password(elsewhere, NEW_PASSWORD)
    accounts.renew_hash(at_the_sign_in, PASSWORD)
    assert User.objects.get().check_password(NEW_PASSWORD)


def test_while_anybody_has_an_old_hash_every_sign_in_costs_one(
    cast: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the time would tell who has an account from before."""
    made: list[str] = []
    for hasher, method in ((hashing.PBKDF2, "encode"), (hashing.Argon2, "encode")):
        _count(monkeypatch, hasher, method, made)
    _count(monkeypatch, hashing.Argon2, "verify", made)
    cast("alice")
    cast("old")
    costs = {}
    for olds in (["old"], []):
        User.objects.filter(user_id__in=olds).update(password=OLD["PBKDF2"]())
        for name in ("alice", "old", "nobody", "alice@example.com", "nobody@example.com"):
            made.clear()
            sign_in(Client(), name, "wrong-horse")
            costs[len(olds), name] = sorted(made)
        User.objects.filter(user_id="old").update(
            password=User.objects.get(user_id="alice").password
        )
    by_id, by_address = ["Argon2"], ["Argon2"] * 4
    assert costs[1, "alice"] == costs[1, "nobody"] == [*by_id, "PBKDF2"]
    assert costs[1, "alice@example.com"] == [*by_address, "PBKDF2"]
    assert costs[1, "nobody@example.com"] == [*by_address, "PBKDF2"]
    assert costs[1, "old"] == ["Argon2", "PBKDF2"]
    assert costs[0, "alice"] == costs[0, "nobody"] == costs[0, "old"] == by_id
    assert costs[0, "nobody@example.com"] == by_address


def _count(monkeypatch: pytest.MonkeyPatch, hasher: type, method: str, made: list[str]) -> None:
    original = getattr(hasher, method)

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        made.append(hasher.__name__)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(hasher, method, counted)


# How many at once


def test_there_is_room_for_a_hash_on_every_core_but_one(impatient: None) -> None:
    assert max(1, hashing._CORES - 1) == hashing.SLOTS
    busy: list[bool] = []

    def enter() -> None:
        try:
            with hashing.room(hashing.PATIENCE):
                busy.append(False)
        except hashing.Busy:
            busy.append(True)

    with ExitStack() as rooms:
        for _ in range(hashing.SLOTS):
            hashing._inside.room = False  # as if each were a thread of its own
            rooms.enter_context(hashing.room())
        _in_a_thread(enter)
    _in_a_thread(enter)
    assert busy == [True, False]


def test_several_hashes_in_a_row_need_one_slot(impatient: None) -> None:
    with hashing.room():
        for _ in range(hashing.SLOTS + 1):
            assert hashers.make_password(PASSWORD)


def test_whoever_waits_gets_the_slot_that_is_freed(all_taken: None, tmp_path: Path) -> None:
    done = threading.Event()

    def hash_one() -> None:
        with hashing.room(hashing.PATIENCE_OF_THE_PROVEN):
            done.set()

    thread = threading.Thread(target=hash_one)
    thread.start()
    (tmp_path / "hashing-0.lock").unlink()  # as good as unlocked: the next opens another file
    thread.join(hashing.PATIENCE_OF_THE_PROVEN)
    assert done.is_set()


def test_the_queue_is_short(all_taken: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second does not wait at all: its thread is needed for other pages."""
    hashing._queues[hashing.PATIENCE].acquire()
    monkeypatch.setattr(hashing.time, "sleep", lambda _: pytest.fail("it waited"))
    try:
        with pytest.raises(hashing.Busy), hashing.room():
            pytest.fail("it got in")
    finally:
        hashing._queues[hashing.PATIENCE].release()


def _in_a_thread(do: Callable[[], None]) -> None:
    thread = threading.Thread(target=do)
    thread.start()
    thread.join()


@pytest.mark.parametrize("form", ["sign-in", "registration", "reset", "change", "activation"])
def test_a_busy_form_says_so_and_every_other_page_is_there(
    browser: Client, form: str, alice: User, bob: User, impatient: None, request: Any
) -> None:
    # The test client knows no paths of cookies: each link has a browser of its own.
    phone = Client(headers={"accept-language": "en"})
    reset = open_link(phone, reset_link(alice))
    activation = open_link(browser, activation_link(bob))
    hers = Client(headers={"accept-language": "en"})
    hers.force_login(alice)
    new = {"new_password": NEW_PASSWORD}
    who, path, typed = {
        "sign-in": (browser, "/users/login/", {"username": "alice", "password": PASSWORD}),
        "registration": (browser, "/users/register/", registration()),
        "reset": (phone, reset, new),
        "change": (hers, "/users/password/change/", new | {"old_password": PASSWORD}),
        "activation": (browser, activation, {"password": PASSWORD}),
    }[form]
    request.getfixturevalue("all_taken")
    response = who.post(path, typed)
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert "Many people are entering passwords" in response.text
    assert User.objects.count() == 2
    assert not User.objects.get(pk=bob.pk).is_active
    assert not Tally.objects.filter(times__gt=0).exists()
    assert not FailedSignIn.objects.exists()
    assert who.get(path).status_code == 200
    assert Client().get("/").status_code == 200


def test_files_that_cannot_be_opened_keep_nobody_out(
    settings: Any, tmp_path: Path, alice: User, browser: Client, caplog: pytest.LogCaptureFixture
) -> None:
    settings.VAR_DIR = tmp_path / "nowhere"
    sign_in(browser, "alice")
    assert is_signed_in(browser)
    assert "not bounded" in caplog.text
