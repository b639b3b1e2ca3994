"""manage.py mail test, as an operator meets it: on good days, and at each failure."""

import io
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword
from django.core.management import CommandError, call_command

from mail.desk.trial import Trial, sample_names
from mail.queue.letters import samples
from tests.servers import LOGIN, PASSWORD, SmtpServer, TlsSmtpServer, free_port
from users.models import User

ADDRESS = "reader@example.com"
LANGUAGES = ["ko", "en", "zh-hant"]


def mail(*arguments: str) -> tuple[int, str]:
    """The exit code of `manage.py mail …`, and what it printed."""
    printed = io.StringIO()
    try:
        call_command("mail", *arguments, stdout=printed)
    except SystemExit as end:
        return int(str(end.code)), printed.getvalue()
    return 0, printed.getvalue()


# test


@pytest.fixture
def smtp_settings(settings: Any) -> Any:
    settings.EMAIL_SERVICE = "smtp"
    settings.EMAIL_BACKEND = "mail.transport.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    settings.EMAIL_TIMEOUT = 60
    settings.DEFAULT_FROM_EMAIL = "컴퓨터공학부 <noreply@cs.example.ac.kr>"
    settings.SITE_URL = "https://cs.example.ac.kr"
    return settings


def login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    if data == LoginPassword(LOGIN.encode(), PASSWORD.encode()):
        return AuthResult(success=True)
    return AuthResult(success=False, handled=False, message="535 5.7.1 not accepted")


@pytest.fixture
def server(smtp_settings: Any, tmp_path: Path, monkeypatch: Any) -> Iterator[SmtpServer]:
    """A server like Naver's: STARTTLS with a certificate that we trust, and a login."""
    server = TlsSmtpServer(tmp_path)
    server.options["authenticator"] = login
    monkeypatch.setenv("SSL_CERT_FILE", str(server.authority_file))
    smtp_settings.EMAIL_PORT, smtp_settings.EMAIL_USE_TLS = server.port, True
    smtp_settings.EMAIL_HOST_USER, smtp_settings.EMAIL_HOST_PASSWORD = LOGIN, PASSWORD
    yield server.up()
    server.down()


def test_a_trial_says_by_whom_how_fast_and_what_the_server_said(server: SmtpServer) -> None:
    code, said = mail("test", ADDRESS, "--language", "en")
    assert code == 0
    for line in (
        r"service +smtp",
        rf"server +127\.0\.0\.1:{server.port}",
        r"TLS +STARTTLS",
        rf"login +{LOGIN}",
        r"sender +컴퓨터공학부 <noreply@cs\.example\.ac\.kr>",
        rf"connecting to 127\.0\.0\.1:{server.port} …",
        r"connected +\d+\.\d{3} s",
        r"register \(en\) +\d+\.\d{3} s  250 accepted",
    ):
        assert re.search(f"(?m)^{line}$", said), line
    assert PASSWORD not in said


def test_a_trial_sends_the_real_letter_with_a_link_that_opens_nothing(
    server: SmtpServer, client: Any, db: None
) -> None:
    mail("test", ADDRESS, "--language", "en")
    [letter] = server.letters
    assert letter.to == letter.message["To"] == ADDRESS
    assert letter.subject == "hong-gildong, activate your account"
    assert letter.message["Message-ID"].endswith("@cs.example.ac.kr>")
    assert letter.message["Auto-Submitted"] == "auto-generated"
    [link] = set(re.findall(r"https://cs\.example\.ac\.kr(/users/activate/\S+/)", letter.text))
    page = client.get(link, follow=True)
    assert page.status_code < 500
    assert not User.objects.exists()
    assert "hong-gildong" not in page.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_letters_can_be_tried_in_each_language(server: SmtpServer, language: str) -> None:
    code, said = mail("test", ADDRESS, "--all", "--language", language)
    assert code == 0
    names = sample_names()
    assert re.findall(rf"(?m)^(\w+) \({language}\) .* 250 accepted$", said) == names
    subjects = [letter.subject.strip() for letter in server.letters]  # a fold may come first
    assert subjects == [samples[name](language).subject for name in names]


def test_one_letter_can_be_chosen_and_the_sites_language_is_the_default(
    server: SmtpServer, settings: Any
) -> None:
    settings.LANGUAGE_CODE = "ko"
    mail("test", ADDRESS, "--letter", "password_reset")
    [letter] = server.letters
    assert letter.subject.strip() == samples["password_reset"]("ko").subject


def test_a_trial_by_console_says_that_nothing_leaves(settings: Any, capsys: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    code, said = mail("test", ADDRESS)
    assert code == 0
    assert "mail leaves this machine nowhere" in said
    assert f"To: {ADDRESS}" in capsys.readouterr().out


def test_a_trial_says_where_it_connects_to_before_it_does(
    smtp_settings: Any, monkeypatch: Any
) -> None:
    printed = io.StringIO()
    said = []
    monkeypatch.setattr(Trial, "connect", lambda self: said.append(printed.getvalue()) or 0.0)
    monkeypatch.setattr(Trial, "send", lambda *_: (0.0, "accepted"))
    call_command("mail", "test", ADDRESS, stdout=printed)
    assert said[0].splitlines()[-1] == f"connecting to 127.0.0.1:{smtp_settings.EMAIL_PORT} …"


def test_a_trial_by_file_says_where_to_look(settings: Any, tmp_path: Path) -> None:
    settings.EMAIL_SERVICE, settings.EMAIL_BACKEND = "file", "mail.transport.file.EmailBackend"
    settings.MAILBOX_DIR, settings.DEBUG = tmp_path, True
    code, said = mail("test", ADDRESS)
    assert code == 0
    assert f"a file in {tmp_path}, and {settings.SITE_URL}/mailbox/ shows it." in said
    assert "connect" not in said
    assert len(list(tmp_path.glob("*.eml"))) == 1
    settings.DEBUG = False  # then nothing shows it
    assert "/mailbox/ shows" not in mail("test", ADDRESS)[1]


@pytest.mark.parametrize("address", ["", "nobody", "a@b@c", "a@example.com\nBcc: b@example.com"])
def test_what_is_no_address_is_reported_before_anything_is_sent(address: str) -> None:
    with pytest.raises(CommandError, match="is not an e-mail address"):
        mail("test", address)


# test, on bad days


@pytest.mark.parametrize(
    ("service", "wanted"),
    [
        ("naver", ["IMAP/SMTP 사용", "2단계 인증", "EMAIL_HOST_PASSWORD"]),
        ("gmail", ["two-step", "app password", "EMAIL_HOST_PASSWORD"]),
        ("smtp", ["EMAIL_HOST_USER", "EMAIL_HOST_PASSWORD"]),
    ],
)
def test_a_refused_login_ends_with_what_to_do_at_that_service(
    server: SmtpServer, settings: Any, service: str, wanted: list[str]
) -> None:
    settings.EMAIL_SERVICE = service
    settings.EMAIL_HOST_PASSWORD = "not-the-one"
    code, said = mail("test", ADDRESS)
    assert code == 1
    assert re.search(r'(?m)^connecting failed: "the login was refused: 535 ', said)
    assert all(words in said for words in wanted)
    assert "not-the-one" not in said
    assert not server.letters


def test_a_server_that_nobody_vouches_for_gets_no_password(
    server: SmtpServer, monkeypatch: Any
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    code, said = mail("test", ADDRESS)
    assert code == 1
    assert "certificate cannot be trusted" in said
    assert "EMAIL_HOST must be the name in the certificate" in said


def test_a_server_without_tls_is_recognized(smtp_settings: Any) -> None:
    plain = SmtpServer().up()
    smtp_settings.EMAIL_PORT, smtp_settings.EMAIL_USE_TLS = plain.port, True
    code, said = mail("test", ADDRESS)
    assert code == 1
    assert "The server lacks STARTTLS" in said
    smtp_settings.EMAIL_USE_TLS, smtp_settings.EMAIL_USE_SSL = False, True
    code, said = mail("test", ADDRESS)
    assert code == 1
    assert "does not speak TLS from the start" in said
    plain.down()


def test_a_port_where_nothing_listens(smtp_settings: Any) -> None:
    code, said = mail("test", ADDRESS)
    assert code == 1
    assert "nothing listens on that port" in said


def test_a_name_that_does_not_exist(smtp_settings: Any) -> None:
    smtp_settings.EMAIL_HOST = "smtp.example.invalid"
    code, said = mail("test", ADDRESS)
    assert code == 1
    assert "Is EMAIL_HOST written right?" in said


def test_a_server_that_never_answers(smtp_settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        smtp_settings.EMAIL_PORT, smtp_settings.EMAIL_TIMEOUT = silent.getsockname()[1], 0.1
        code, said = mail("test", ADDRESS)
    assert code == 1
    assert "A firewall is the usual cause" in said


class Refusing(SmtpServer):
    """Refuses at the command that is given, with the answer that is given."""

    def __init__(self, **answers: str) -> None:
        super().__init__()
        for command, answer in answers.items():
            setattr(self, f"handle_{command}", self._saying(answer))

    def _saying(self, answer: str) -> Callable[..., Any]:
        async def handle(*_: Any) -> str:
            return answer

        return handle


@pytest.mark.parametrize(
    ("service", "answers", "wanted"),
    [
        ("naver", {"MAIL": "554 5.7.1 not your address"}, "only in the name of the account"),
        ("gmail", {"MAIL": "553 5.7.1 not your address"}, "Send mail as"),
        ("gmail", {"DATA": "550 5.4.5 Daily user sending limit exceeded"}, "EMAIL_DAILY_LIMIT"),
        ("smtp", {"RCPT": "550 5.1.1 no such user"}, "Is the address written right?"),
        ("smtp", {"MAIL": "530 5.7.0 Authentication required"}, "EMAIL_HOST_USER"),
        ("smtp", {"DATA": "554 5.3.0 a rule of ours"}, "The server does not accept this message."),
    ],
)
def test_a_refused_message_ends_with_what_to_do(
    smtp_settings: Any, service: str, answers: dict[str, str], wanted: str
) -> None:
    server = Refusing(**answers).up()
    smtp_settings.EMAIL_SERVICE, smtp_settings.EMAIL_PORT = service, server.port
    code, said = mail("test", ADDRESS)
    server.down()
    assert code == 1
    [answer] = answers.values()
    assert f"register ({smtp_settings.LANGUAGE_CODE}) failed" in said
    assert answer in said
    assert wanted in said


# status --check


@pytest.mark.django_db
def test_status_can_try_the_login_without_sending(server: SmtpServer, settings: Any) -> None:
    code, said = mail("status", "--check")
    assert code == 0
    assert re.search(r"(?m)^connected +\d+\.\d{3} s$", said)
    settings.EMAIL_HOST_PASSWORD = "wrong"
    code, said = mail("status", "--check")
    assert code == 1
    assert "the login was refused" in said
    assert not server.letters
