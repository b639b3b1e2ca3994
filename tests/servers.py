"""Mail servers on loopback for real SMTP clients. They keep what they accept."""

import asyncio
import contextlib
import math
import random
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TypeVar

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

LOGIN, PASSWORD = "cs-office", "an app password"
LINK = re.compile(r"http://127\.0\.0\.1:\d+/users/[^\s\"<>]+/")
# Seconds after which something has hung. So long that no test depends on how fast its machine is:
# that something happens may be asserted, that it happens soon may not.
PATIENCE = 180.0
PORTS = 10_000, 32_000

T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: str, within: float = PATIENCE) -> T:
    """Asks until the answer is truthy, and gives it. Late is an AssertionError naming `what`."""
    deadline = time.monotonic() + within
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}"
        time.sleep(0.05)
    return answer


def free_port() -> int:
    """One below those that the system gives to whoever connects: nobody takes it in the time that
    a server needs to start."""
    while True:
        port = random.SystemRandom().randrange(*PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@dataclass
class Letter:
    """One message as its reader's program sees it."""

    to: str
    message: EmailMessage

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        return self._part("plain")

    @property
    def html(self) -> str:
        return self._part("html")

    @property
    def link(self) -> str:
        """The first link of the text part."""
        found = LINK.search(self.text)
        assert found, f"no link in {self.text}"
        return found[0]

    def _part(self, kind: str) -> str:
        body = self.message.get_body((kind,))
        assert body is not None, f"no {kind} part in {self.message}"
        return body.get_content()


class Inbox:
    """Everybody's letters, in the order of their coming."""

    letters: list[Letter]

    def to(self, address: str) -> list[Letter]:
        return [letter for letter in self.letters if letter.to == address]

    def wait(self, address: str, number: int = 1) -> Letter:
        """The letter of this number to this address, as soon as it is there."""
        wait_for(lambda: len(self.to(address)) >= number, f"message {number} to {address}")
        return self.to(address)[number - 1]


class RememberingController(Controller):
    """Knows its connections, so that a server that goes down hangs up as a dead process would."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.connections: list[SMTP] = []
        super().__init__(*args, **options)

    def factory(self) -> SMTP:
        self.connections.append(super().factory())
        return self.connections[-1]

    def stop(self, no_assert: bool = False) -> None:
        asyncio.run_coroutine_threadsafe(self._hang_up(), self.loop).result(PATIENCE)
        super().stop(no_assert)

    async def _hang_up(self) -> None:
        self.server.close()
        quiet = 0
        while quiet < 5:  # who was let in a moment ago has no transport yet
            transports = [c.transport for c in self.connections if c.transport]
            for transport in transports:
                transport.abort()
            quiet = 0 if transports else quiet + 1
            await asyncio.sleep(0.002)


class SmtpServer(Inbox):
    """SMTP on a port that stays the same while the server goes down and comes up again."""

    def __init__(self, **options: Any) -> None:
        self.letters = []
        self.port = free_port()
        self.options = options
        self.seconds_a_mail = 0.0
        # How many letters are accepted; the senders of what comes after wait for our "250" until
        # this is raised. So a test meets messages in flight, however fast the machine is.
        self.accepts: float = math.inf
        self.receiving = 0  # messages whose sender waits for our "250"
        self._controller: RememberingController | None = None

    def up(self) -> "SmtpServer":
        self._controller = RememberingController(self, "127.0.0.1", self.port, **self.options)
        self._controller.start()
        return self

    def down(self) -> None:
        controller, self._controller = self._controller, None
        if controller is not None:
            controller.stop()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.receiving += 1
        try:
            await asyncio.sleep(self.seconds_a_mail)
            while len(self.letters) >= self.accepts:
                await asyncio.sleep(0.01)
        finally:
            self.receiving -= 1
        [address] = envelope.rcpt_tos
        message = message_from_bytes(envelope.content, policy=policy.default)
        self.letters.append(Letter(address, message))
        return "250 accepted"


class TlsSmtpServer(SmtpServer):
    """Accepts mail as Naver and Gmail do: after STARTTLS and a login, and not otherwise."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.authority_file = folder / "authority.pem"
        authority.cert_pem.write_to_path(self.authority_file)
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(tls)
        super().__init__(
            tls_context=tls, require_starttls=True, authenticator=_login, auth_required=True
        )


def _login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    right = isinstance(data, LoginPassword) and data == LoginPassword(
        LOGIN.encode(), PASSWORD.encode()
    )
    return AuthResult(success=right)


class BlackHole:
    """A mail server that takes the connection and never says a word."""

    def __init__(self, port: int) -> None:
        self.port = port

    def __enter__(self) -> "BlackHole":
        self._socket = socket.create_server(("127.0.0.1", self.port), backlog=64)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


class DeafProxy:
    """A TCP proxy that may stop listening: it keeps every connection, and accepts new ones."""

    def __init__(self, port: int) -> None:
        self.behind = ("127.0.0.1", port)
        self.hears = threading.Event()
        self.hears.set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = [self._listener]
        self._start(self._accept)

    def _start(self, do: Callable[..., None], *args: Any) -> None:
        threading.Thread(target=do, args=args, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it is closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self.behind)
                self._sockets += [client, server]
                self._start(self._carry, client, server)
                self._start(self._carry, server, client)

    def _carry(self, source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.hears.wait()
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.hears.set()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
