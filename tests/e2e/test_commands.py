"""The commands and the shell, as an operator starts them: each in a process of its own."""

from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.elsewhere import DEVELOPMENT, Site
from tests.servers import SmtpServer

ADDRESS = "reader@example.com"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """With senders in the process itself, for nothing else runs beside it here."""
    return Site(tmp_path, MAIL_ENGINE="threads", **DEVELOPMENT).migrate()


def letters_of(site: Site) -> Iterator[EmailMessage]:
    for file in (site.folder / "var" / "mailbox").glob("*.eml"):
        yield message_from_bytes(file.read_bytes(), policy=policy.default)


def test_send_mail_is_at_hand_in_the_shell_and_done_when_the_shell_ends(site: Site) -> None:
    done = site.manage("shell", "-c", "print(send_mail('s', ['a@example.com'], 'b'))")
    assert done.stdout.splitlines()[-1] == "1", done.stderr
    assert done.returncode == 0
    [letter] = letters_of(site)
    assert (letter["To"], letter["Subject"]) == ("a@example.com", "s")


def test_what_the_shell_leaves_to_the_senders_of_the_site_they_send(site: Site) -> None:
    call = "send_mail('s', ['a@example.com'], 'b')"
    assert site.manage("shell", "-c", call, MAIL_ENGINE="work").returncode == 0
    assert list(letters_of(site)) == []
    assert site.manage("mail", "work", "--once", MAIL_ENGINE="work").returncode == 0
    assert [letter["To"] for letter in letters_of(site)] == ["a@example.com"]


def test_djangos_own_send_mail_works_in_the_shell_too(site: Site) -> None:
    call = "from django.core import mail; print(mail.send_mail('s', 'b', None, ['a@example.com']))"
    done = site.manage("shell", "-c", call)
    assert done.stdout.splitlines()[-1] == "1", done.stderr
    [letter] = letters_of(site)
    assert letter["To"] == "a@example.com"


def test_a_shell_whose_message_cannot_leave_says_that_it_waits(site: Site) -> None:
    """And ends all the same; the row stays for the site."""
    call = (
        "import threading; "
        "from mail.queue import delivering; from mail.queue.engines import threads; "
        "delivering.deliver = lambda pk: threading.Event().wait(); "
        "threads.drain.__defaults__ = (0.1,); threads.Pool.stop.__defaults__ = (0.1,); "
        "send_mail('s', ['a@example.com'], 'b')"
    )
    done = site.manage("shell", "-c", call)
    assert "Some mail is still waiting" in done.stderr
    assert done.returncode == 0


@pytest.fixture
def elsewhere(tmp_path: Path) -> Site:
    """A copy of the site, with no secrets.json but what is given."""
    return Site(tmp_path, EMAIL_SERVICE="console")


def test_another_service_says_what_it_lacks(elsewhere: Site) -> None:
    done = elsewhere.manage("mail", "test", ADDRESS, "--service", "naver")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for name in ("EMAIL_HOST_USER", "EMAIL_HOST_PASSWORD"):
        assert f"{name}: is missing: EMAIL_SERVICE naver signs in with it." in done.stderr


def test_another_service_is_used_this_once(elsewhere: Site) -> None:
    server = SmtpServer().up()
    done = elsewhere.manage(
        *("mail", "test", ADDRESS, "--service", "smtp", "--letter", "password_change"),
        *("--language", "en"),
        EMAIL_HOST="127.0.0.1",
        EMAIL_PORT=str(server.port),
        EMAIL_USE_TLS="false",
        DEFAULT_FROM_EMAIL="noreply@cs.example.ac.kr",
    )
    server.down()
    assert done.returncode == 0, done.stderr
    assert f"127.0.0.1:{server.port}" in done.stdout
    [letter] = server.letters
    assert (letter.to, letter.subject) == (ADDRESS, "hong-gildong, your password was changed")


def test_work_that_cannot_see_what_is_due_says_so(tmp_path: Path) -> None:
    site = Site(tmp_path, **DEVELOPMENT)
    assert site.manage("mail", "work", "--once").returncode == 1, "there are no tables"
    site.migrate()
    assert site.manage("mail", "work", "--once").returncode == 0, "there is nothing to do"
