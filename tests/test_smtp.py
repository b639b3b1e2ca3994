"""SMTP: what is written at once, and that every refusal is smtplib's own."""

import smtplib
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope
from django.core.mail import EmailMessage

from mail.transport import connection
from mail.transport.smtp import EmailBackend, Pipelining
from tests.elsewhere import SECONDS

HANG_UP = "hang up"
CRLF = "\r\n"
BREAK = "<>\r\nDATA"  # one that gets past smtplib.quoteaddr()
LETTER = "Hello,\n.a dot\n..two\n.\nbye"
ASKING = ["MAIL FROM:<us@example.com>", "RCPT TO:<bob@example.com>", "DATA"]


class Script(socketserver.ThreadingTCPServer):
    """A server that answers by heart: `answers` has what is not the usual, once each."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, pipelining: bool) -> None:
        super().__init__(("127.0.0.1", 0), Session)
        self.answers: dict[str, str] = {}
        self.pipelining = pipelining
        self.sessions = 0
        self.reads: list[bytes] = []  # what came at once
        self.heard: list[str] = []  # commands
        self.bodies: list[bytes] = []  # as they were on the wire, without the dot at the end

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def answer(self, command: str, usual: str) -> str:
        return self.answers.pop(command, usual)


class Session(socketserver.BaseRequestHandler):
    server: Script

    def handle(self) -> None:
        self.server.sessions += 1
        self.unread = b""
        self.say("220 ready")
        usual = {"MAIL": "250 ok", "RCPT": "250 ok", "DATA": "354 go on", "RSET": "250 ok"}
        usual["EHLO"] = "250-script\r\n250-SIZE 1000\r\n"
        usual["EHLO"] += "250 PIPELINING" if self.server.pipelining else "250 HELP"
        usual["QUIT"] = HANG_UP
        try:
            while line := self.until(b"\r\n"):
                self.server.heard.append(line.decode())
                verb = line[:4].decode().upper()
                answer = self.server.answer(verb, usual[verb])
                self.say(answer)
                if verb == "DATA" and answer.startswith("354"):
                    end = b".\r\n"
                    body = self.until(end if self.peek() == end else b"\r\n" + end)
                    self.server.bodies.append(body)
                    self.say(self.server.answer("BODY", "250 taken"))
        except ConnectionError:
            return

    def say(self, answer: str) -> None:
        if answer.endswith(HANG_UP):
            answer = answer.removesuffix(HANG_UP)
            self.request.sendall(answer.encode())
            raise ConnectionError
        self.request.sendall(f"{answer}\r\n".encode())

    def peek(self) -> bytes:
        while len(self.unread) < 3:
            self.read()
        return self.unread[:3]

    def until(self, end: bytes) -> bytes:
        while end not in self.unread:
            self.read()
        found, self.unread = self.unread.split(end, 1)
        return found

    def read(self) -> None:
        data = self.request.recv(65536)
        if not data:
            raise ConnectionError
        self.server.reads.append(data)
        self.unread += data


@pytest.fixture(params=[True, False], ids=["pipelining", "one-by-one"])
def script(request: pytest.FixtureRequest) -> Iterator[Script]:
    """Every story holds with a server that takes commands at once, and with one that does not."""
    with Script(request.param) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def backend(script: Script) -> Iterator[EmailBackend]:
    backend = EmailBackend("127.0.0.1", script.port, "", "", use_tls=False, timeout=SECONDS)
    backend.open()
    yield backend
    backend.close()


def message(**changes: Any) -> EmailMessage:
    fields = {"from_email": "us@example.com", "to": ["bob@example.com"], "body": LETTER}
    return EmailMessage("Hello", **{**fields, **changes})


def test_a_letter_arrives_with_its_dots(script: Script, backend: EmailBackend) -> None:
    assert backend.send_messages([message(), message()]) == 2
    for body in script.bodies:
        assert body.endswith(b"\r\n\r\nHello,\r\n..a dot\r\n...two\r\n..\r\nbye")
    assert script.sessions == 1


def test_all_is_asked_at_once_only_where_the_server_says_so(
    script: Script, backend: EmailBackend
) -> None:
    backend.send_messages([message()])
    heard = [command.split(" size=")[0].upper() for command in script.heard]
    assert heard[1:] == [command.upper() for command in ASKING]
    [asked] = [data for data in script.reads if data.startswith(b"mail FROM")]
    assert asked.count(b"\r\n") == (3 if script.pipelining else 1)


def test_the_server_learns_the_size(script: Script, backend: EmailBackend) -> None:
    backend.send_messages([message()])
    size = len(script.bodies[0].replace(b"\r\n..", b"\r\n."))
    assert script.heard[1].endswith(f" size={size}")


REFUSALS = [
    ("MAIL", "550 5.7.1 not you", smtplib.SMTPSenderRefused, 550),
    ("MAIL", "451 later", smtplib.SMTPSenderRefused, 451),
    ("RCPT", "550 5.1.1 nobody", smtplib.SMTPRecipientsRefused, 550),
    ("RCPT", "452 full", smtplib.SMTPRecipientsRefused, 452),
    ("DATA", "451 later", smtplib.SMTPDataError, 451),
    ("BODY", "552 too large", smtplib.SMTPDataError, 552),
]


def code(error: Exception) -> int:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        [(number, _)] = error.recipients.values()
        return number
    assert isinstance(error, smtplib.SMTPResponseException)
    return error.smtp_code


# A server that takes commands at once with every command; the other where smtplib needs our help.
@pytest.mark.parametrize(
    ("script", "command", "answer", "kind", "number"),
    [*((True, *row) for row in REFUSALS), (False, *REFUSALS[4])],
    indirect=["script"],
)
def test_a_refusal_is_smtplibs_and_the_next_letter_goes(
    script: Script,
    backend: EmailBackend,
    command: str,
    answer: str,
    kind: type[Exception],
    number: int,
) -> None:
    script.answers = {command: answer}
    if command in ("MAIL", "RCPT") and script.pipelining:
        script.answers["DATA"] = "503 5.5.1 no valid recipients"
    with pytest.raises(kind) as caught:
        backend.send_messages([message()])
    assert type(caught.value) is kind
    assert code(caught.value) == number
    assert script.heard[-1].upper() == "RSET"
    script.bodies.clear()
    assert backend.send_messages([message()]) == 1
    assert len(script.bodies) == script.sessions == 1


@pytest.mark.parametrize(
    ("script", "command", "kind", "verdict"),
    [
        (True, "MAIL", smtplib.SMTPSenderRefused, "250 taken"),
        (True, "RCPT", smtplib.SMTPRecipientsRefused, "554 no valid recipients"),
        (False, "RCPT", smtplib.SMTPRecipientsRefused, "250 taken"),
    ],
    indirect=["script"],
)
def test_a_body_for_nobody_is_empty(
    script: Script, backend: EmailBackend, command: str, kind: type[Exception], verdict: str
) -> None:
    script.answers = {command: "550 5.1.1 no", "BODY": verdict}
    with pytest.raises(kind) as caught:
        backend.send_messages([message()])
    assert code(caught.value) == 550
    assert script.bodies == ([b""] if script.pipelining else [])
    script.answers.clear()
    script.bodies.clear()
    assert backend.send_messages([message()]) == 1
    assert b"bye" in script.bodies[0]


@pytest.mark.parametrize(
    ("script", "command", "kind", "last"),
    [
        (True, "MAIL", smtplib.SMTPSenderRefused, "421 closing"),
        (True, "MAIL", smtplib.SMTPSenderRefused, "421 closing\r\n" + HANG_UP),
        (True, "RCPT", smtplib.SMTPRecipientsRefused, "421 closing"),
        (True, "DATA", smtplib.SMTPDataError, "421 closing"),
        (True, "BODY", smtplib.SMTPDataError, "421 closing"),
        (False, "DATA", smtplib.SMTPDataError, "421 closing"),
    ],
    indirect=["script"],
)
def test_a_server_that_closes_is_believed(
    script: Script, backend: EmailBackend, command: str, kind: type[Exception], last: str
) -> None:
    script.answers = {command: last}
    with pytest.raises(kind) as caught:
        backend.send_messages([message()])
    assert code(caught.value) == 421
    assert backend.connection
    assert backend.connection.sock is None


@pytest.mark.parametrize(
    ("script", "command"),
    [(True, "MAIL"), (True, "RCPT"), (True, "DATA"), (True, "BODY")],
    indirect=["script"],
)
def test_a_server_that_hangs_up_is_a_disconnect(
    script: Script, backend: EmailBackend, command: str
) -> None:
    script.answers = {command: HANG_UP}
    with pytest.raises(smtplib.SMTPServerDisconnected):
        backend.send_messages([message()])


@pytest.mark.parametrize(("command", "kind"), [row[::2] for row in REFUSALS[::2]])
def test_a_refusal_counts_though_the_server_hangs_up_after_it(
    script: Script, backend: EmailBackend, command: str, kind: type[Exception]
) -> None:
    script.answers = {command: "550 no\r\n" + HANG_UP}
    with pytest.raises(kind) as caught:
        backend.send_messages([message()])
    assert code(caught.value) == 550


@pytest.fixture
def kept(script: Script, settings: Any) -> Script:
    """The server to which `connection` keeps its connections."""
    settings.EMAIL_BACKEND = "mail.transport.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", script.port
    settings.EMAIL_USE_TLS, settings.EMAIL_TIMEOUT = False, SECONDS
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
    return script


@pytest.mark.parametrize("answer", [HANG_UP, "421 idle for too long"])
def test_a_kept_connection_that_died_is_opened_again(kept: Script, answer: str) -> None:
    assert connection.send(message())
    kept.answers = {"MAIL": answer}
    assert connection.send(message())
    assert (kept.sessions, len(kept.bodies)) == (2, 2)


def test_a_line_break_in_an_address_is_no_command(script: Script) -> None:
    with Pipelining("127.0.0.1", script.port, timeout=SECONDS) as connection:
        for sender, recipient in [("us@example.com", BREAK), (BREAK, "bob@example.com")]:
            with pytest.raises(ValueError, match=r"newline|line break"):
                connection.sendmail(sender, [recipient], b"Hello")
    assert not any(command.upper().startswith(("DATA", "RSET")) for command in script.heard)


def test_what_is_no_message_of_ours_goes_smtplibs_way(script: Script) -> None:
    with Pipelining("127.0.0.1", script.port, timeout=SECONDS) as connection:
        connection.sendmail("us@example.com", "bob@example.com", "Hello")  # type: ignore[arg-type]
        connection.sendmail("us@example.com", ["bob@example.com", "eve@example.com"], b"Hello")
        connection.sendmail("us@example.com", ["bob@example.com"], b"Hello", ["BODY=8BITMIME"])
        with pytest.raises(smtplib.SMTPNotSupportedError):
            connection.sendmail("us@example.com", ["bob@example.com"], b"Hello", ["SMTPUTF8"])
    assert len(script.bodies) == 3
    assert all(data.count(b"\r\n") == 1 for data in script.reads if data.startswith(b"mail"))


# A real server, with a certificate and a login


class Taking:
    """aiosmtpd's handler: accepts everything, and says what the test wants it to offer."""

    def __init__(self, pipelining: bool) -> None:
        self.pipelining = pipelining
        self.envelopes: list[Envelope] = []

    async def handle_EHLO(
        self, server: SMTP, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", responses[-1]] if self.pipelining else responses

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Envelope) -> str:
        self.envelopes.append(envelope)
        return "250 taken"


def login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    right = data.login == b"office" and data.password == b"app-password"
    return AuthResult(success=right, handled=False)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return authority


@pytest.fixture
def serve(authority: trustme.CA) -> Iterator[Callable[..., Controller]]:
    started: list[Controller] = []

    def start(handler: Taking, *, over_tls: bool = False, name: str = "127.0.0.1") -> Controller:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        options: dict[str, Any] = {
            "authenticator": login,
            "auth_required": True,
            "auth_require_tls": not over_tls,
            "require_starttls": not over_tls,
            "ssl_context" if over_tls else "tls_context": context,
        }
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        controller = Controller(handler, "127.0.0.1", port, **options)
        controller.start()
        started.append(controller)
        return controller

    yield start
    for controller in started:
        controller.stop()


@pytest.fixture
def connect() -> Iterator[Callable[..., EmailBackend]]:
    made: list[EmailBackend] = []

    def make(server: Controller, password: str = "app-password", **how: Any) -> EmailBackend:
        account = ("office", password)
        made.append(EmailBackend(server.hostname, server.port, *account, timeout=SECONDS, **how))
        return made[-1]

    yield make
    for backend in made:
        backend.close()


@pytest.mark.filterwarnings("ignore:Session.login_data")
@pytest.mark.filterwarnings("ignore:Requiring AUTH")  # aiosmtpd knows no TLS but STARTTLS
@pytest.mark.parametrize("over_tls", [False, True], ids=["starttls", "tls"])
@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelining", "one-by-one"])
def test_a_korean_letter_arrives_as_it_was(
    serve: Callable[..., Controller],
    connect: Callable[..., EmailBackend],
    pipelining: bool,
    over_tls: bool,
) -> None:
    handler = Taking(pipelining)
    server = serve(handler, over_tls=over_tls)
    backend = connect(server, use_tls=not over_tls, use_ssl=over_tls)
    letters = [message(body=f"안녕하세요\n.점\n{number}\n") for number in range(3)]
    assert backend.send_messages(letters) == 3
    for letter, envelope in zip(letters, handler.envelopes, strict=True):
        assert (envelope.mail_from, envelope.rcpt_tos) == ("us@example.com", ["bob@example.com"])
        content = envelope.content
        assert isinstance(content, bytes)
        assert content.partition(b"\r\n\r\n")[2].decode() == letter.body.replace("\n", CRLF)


@pytest.mark.filterwarnings("ignore:Session.login_data")
def test_a_wrong_password_is_refused(
    serve: Callable[..., Controller], connect: Callable[..., EmailBackend]
) -> None:
    with pytest.raises(smtplib.SMTPAuthenticationError):
        connect(serve(Taking(pipelining=True)), "wrong", use_tls=True).open()


def test_a_certificate_for_another_host_is_not_trusted(
    serve: Callable[..., Controller], connect: Callable[..., EmailBackend]
) -> None:
    server = serve(Taking(pipelining=True), name="mail.example.com")
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(server, use_tls=True).open()


@pytest.mark.filterwarnings("ignore:Session.login_data")
def test_the_authorities_that_are_trusted_may_change(
    serve: Callable[..., Controller],
    connect: Callable[..., EmailBackend],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = serve(Taking(pipelining=True))
    assert connect(server, use_tls=True).open()
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other.pem"))
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(server, use_tls=True).open()


# The answer after the dot


@pytest.mark.parametrize("script", [True, False], indirect=True, ids=["pipelining", "one-by-one"])
def test_a_server_may_take_its_time_to_accept_a_whole_message(
    script: Script, settings: Any
) -> None:
    """Longer than for any other step: whoever hangs up sends it a second copy, and a third."""
    settings.EMAIL_ACCEPT_TIMEOUT = 123.0
    backend, waited = EmailBackend("127.0.0.1", script.port, "", "", timeout=SECONDS), []
    backend.use_tls = False
    backend.open()
    getreply = backend.connection.getreply
    backend.connection.getreply = lambda: (
        waited.append(backend.connection.sock.gettimeout()) or getreply()
    )
    assert backend.send_messages([message(), message()]) == 2
    backend.close()
    ehlo, mail, rcpt, data, dot = [SECONDS] * 4 + [123.0]
    assert waited[:9] == [ehlo, mail, rcpt, data, dot, mail, rcpt, data, dot]


def test_whoever_hangs_up_after_the_dot_may_have_accepted_it(
    script: Script, backend: EmailBackend
) -> None:
    script.answers = {"BODY": HANG_UP}
    with pytest.raises(connection.Unanswered):
        backend.send_messages([message()])
    assert len(script.bodies) == 1


def test_what_was_not_answered_is_not_sent_again_at_once(kept: Script) -> None:
    assert connection.send(message())
    kept.answers = {"BODY": HANG_UP}
    with pytest.raises(connection.Unanswered):
        connection.send(message())
    assert len(kept.bodies) == 2
