"""How long the story "register" is: from the form's POST until its message goes over the wire."""

import re
import smtplib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from django.test import Client

from mail.models import Mail, State
from mail.queue import delivering
from mail.queue.engines import threads
from tests.conftest import registration
from tests.servers import SmtpServer

ROOT = Path(__file__).resolve().parent.parent
OURS = tuple(f"{ROOT}/{room}/" for room in ("cs_web", "users", "mail"))
# Below Django, once for each statement: no part of the story, and not there with SQLite.
DRIVERS = ("cs_web/databases/", "mail/breaker.py")
BEGIN = "cs_web/middleware.py"
UNNAMED = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>", "<module>"}
BODY_FROM = 500  # bytes; commands are shorter

FUNCTIONS_AT_MOST = 70
FILES_AT_MOST = 20

pytestmark = pytest.mark.django_db(transaction=True)


class Story:
    """The functions of ours that are called, in their order, until a message's body is sent.

    It begins with the first middleware: what a request wakes before (`threads.wake`) is no part.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.ended = False

    def __enter__(self) -> "Story":
        sys.setprofile(self._record)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _record(self, frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or self.ended:
            return
        code = frame.f_code
        if code.co_name == "send" and code.co_filename == smtplib.__file__:
            self.ended = len(frame.f_locals["s"]) > BODY_FROM
        elif code.co_filename.startswith(OURS) and code.co_name not in UNNAMED:
            name = Path(code.co_filename).relative_to(ROOT).as_posix()
            if (self.calls or name == BEGIN) and not name.startswith(DRIVERS):
                self.calls.append((name, code.co_qualname))

    @property
    def functions(self) -> list[str]:
        return list(dict.fromkeys(f"{file} {name}" for file, name in self.calls))

    @property
    def files(self) -> list[str]:
        return list(dict.fromkeys(file for file, _ in self.calls))


@pytest.fixture
def smtp(settings: Any) -> Iterator[SmtpServer]:
    server = SmtpServer().up()
    settings.EMAIL_SERVICE = "smtp"
    settings.EMAIL_BACKEND = "mail.transport.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
    settings.EMAIL_USE_TLS, settings.EMAIL_TIMEOUT = False, 60
    yield server
    server.down()


def deliver_by_work() -> None:
    delivering.deliver(Mail.objects.get(state=State.PENDING).pk)


@pytest.fixture
def deliver_by_threads(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    """A step of the senders, in this thread, which is the one that is watched."""
    settings.MAIL_ENGINE = "threads"
    pool = threads.Pool()
    pool.threads = [threading.current_thread()]  # so that it starts none
    monkeypatch.setattr(threads, "_pool", pool)
    return pool.send_step


def register(number: int, deliver: Callable[[], object], story: AbstractContextManager) -> None:
    browser = Client(headers={"accept-language": "en"})
    browser.get("/users/register/")
    typed = registration(user_id=f"carol{number}", email=f"carol{number}@example.com")
    with story:
        response = browser.post("/users/register/", typed)
        deliver()
    assert response.status_code == 302
    assert Mail.objects.filter(state=State.SENT).count() == number


def warm(deliver: Callable[[], object]) -> Story:
    """The third of its kind: the connection is open, and nothing is imported any more."""
    for number in (1, 2):
        register(number, deliver, nullcontext())
    register(3, deliver, story := Story())
    assert story.ended
    return story


def test_the_story_is_short(smtp: SmtpServer) -> None:
    story = warm(deliver_by_work)
    assert len(story.functions) <= FUNCTIONS_AT_MOST, "\n".join(story.functions)
    assert len(story.files) <= FILES_AT_MOST, "\n".join(story.files)


def test_the_story_is_short_with_the_engine_of_threads(
    smtp: SmtpServer, deliver_by_threads: Callable[[], object]
) -> None:
    story = warm(deliver_by_threads)
    assert len(story.functions) <= FUNCTIONS_AT_MOST, "\n".join(story.functions)
    assert len(story.files) <= FILES_AT_MOST, "\n".join(story.files)
    by_threads = [name.split()[1] for name in story.functions if "engines/threads.py" in name]
    assert by_threads == ["Threads.hint", "Pool.put", "Pool.send_step"]


def test_the_readme_names_the_files_in_the_order_of_the_story(
    smtp: SmtpServer, deliver_by_threads: Callable[[], object]
) -> None:
    [paragraph] = re.findall(r"(?ms)^To follow .*?(?=^\s*$)", (ROOT / "README.md").read_text())
    spine = re.findall(r"`([\w/]+\.py)`", paragraph)
    met = warm(deliver_by_threads).files
    assert len(spine) >= 3
    assert [file for file in spine if file not in met] == []
    assert spine == sorted(spine, key=met.index)
