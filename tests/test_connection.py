"""Connections to the mail server: kept while they work, renewed once when they do not.

Against a real SMTP server on loopback, because what matters is how a real one hangs up.
"""

import smtplib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from django.core.mail import EmailMessage

from mail.transport import connection
from mail.transport.connection import CannotConnect
from tests.elsewhere import SECONDS
from tests.servers import free_port


class Server:
    """Accepts every message, unless an answer was prepared for the next command of a kind."""

    def __init__(self) -> None:
        self.names: list[str] = []  # by which each connection introduced itself
        self.transports: list[Any] = []
        self.accepted: list[str] = []
        self.farewells = threading.Semaphore(0)
        self.answers: dict[str, list[str]] = {"MAIL": [], "RCPT": [], "DATA": []}
        self.controller = Controller(
            self, hostname="127.0.0.1", port=free_port(), auth_require_tls=False
        )

    async def handle_EHLO(
        self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        self.names.append(hostname)
        self.transports.append(server.transport)
        return responses

    async def handle_MAIL(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if self.answers["MAIL"]:
            return self.answers["MAIL"].pop(0)
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if self.answers["RCPT"]:
            return self.answers["RCPT"].pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answers["DATA"]:
            return self.answers["DATA"].pop(0)
        self.accepted += envelope.rcpt_tos
        return "250 OK"

    async def handle_QUIT(self, server: Any, session: Any, envelope: Any) -> str:
        self.farewells.release()
        return "221 Bye"

    def hang_up(self) -> None:
        """Ends every connection, as servers do with idle ones; returns when that is done."""
        done = threading.Event()

        def close() -> None:
            for transport in self.transports:
                transport.abort()
            # abort() closes the socket in the loop's next turn, and this comes after it.
            self.controller.loop.call_soon(self.controller.loop.call_soon, done.set)

        self.controller.loop.call_soon_threadsafe(close)
        assert done.wait(SECONDS)


@pytest.fixture
def server(settings: Any) -> Iterator[Server]:
    found = Server()
    settings.EMAIL_BACKEND = "mail.transport.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", found.controller.port
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    settings.EMAIL_TIMEOUT = SECONDS
    settings.SITE_URL = "https://cs.example.ac.kr"
    found.controller.start()
    yield found
    connection.close()
    found.controller.stop()


def send(name: str) -> bool | None:
    message = EmailMessage("s", "b", "noreply@example.com", [f"{name}@example.com"])
    return connection.send(message)


def test_one_connection_serves_many_messages(server: Server) -> None:
    assert [send("alice"), send("bob"), send("carol")] == [True] * 3
    assert server.accepted == ["alice@example.com", "bob@example.com", "carol@example.com"]
    assert len(server.names) == 1


def test_the_site_introduces_itself_by_its_own_name_not_the_machines(server: Server) -> None:
    send("alice")
    assert server.names == ["cs.example.ac.kr"]


def test_a_connection_that_the_server_has_dropped_is_renewed_and_the_message_sent_once(
    server: Server,
) -> None:
    send("alice")
    server.hang_up()
    assert send("bob")
    assert server.accepted == ["alice@example.com", "bob@example.com"]
    assert len(server.names) == 2


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
def test_a_connection_that_the_server_is_closing_is_renewed_and_the_message_sent_once(
    server: Server, command: str
) -> None:
    send("alice")
    server.answers[command] = ["421 4.4.2 idle for too long"]
    assert send("bob")
    assert server.accepted == ["alice@example.com", "bob@example.com"]
    assert len(server.names) == 2


def test_a_server_that_closes_a_new_connection_too_is_not_asked_for_ever(server: Server) -> None:
    send("alice")
    server.answers["MAIL"] = ["421 going down"] * 5
    with pytest.raises(smtplib.SMTPSenderRefused):
        send("bob")
    assert len(server.answers["MAIL"]) == 3, "once over the kept connection, once over a new one"
    server.answers["MAIL"] = []
    assert send("bob"), "and the next message gets a connection of its own"


@pytest.mark.parametrize(("command", "code"), [("MAIL", 450), ("RCPT", 550), ("DATA", 451)])
def test_an_answer_about_one_message_leaves_the_connection_to_the_next(
    server: Server, command: str, code: int
) -> None:
    send("alice")
    server.answers[command] = [f"{code} not this one"]
    with pytest.raises(smtplib.SMTPException):
        send("bob")
    assert send("carol")
    assert server.accepted == ["alice@example.com", "carol@example.com"], (
        "and bob's is not repeated"
    )
    assert len(server.names) == 1


def test_a_refused_connection_does_not_poison_the_next_message(
    server: Server, settings: Any
) -> None:
    right, settings.EMAIL_PORT = settings.EMAIL_PORT, free_port()
    for _ in range(2):
        with pytest.raises(CannotConnect) as caught:
            send("alice")
        assert isinstance(caught.value.why, ConnectionRefusedError)
    settings.EMAIL_PORT = right
    assert send("alice")


def test_a_refused_login_leaves_no_connection_behind(server: Server, settings: Any) -> None:
    """Or a wrong password would, message by message, use up what the server allows."""
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "office", "wrong"
    for _ in range(3):
        with pytest.raises(CannotConnect) as caught:
            send("alice")
        assert isinstance(caught.value.why, smtplib.SMTPAuthenticationError)
        assert server.farewells.acquire(timeout=SECONDS)
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
    assert send("bob")
    assert server.accepted == ["bob@example.com"]


def test_a_server_that_wants_no_tls_gets_no_password_in_the_clear(
    server: Server, settings: Any
) -> None:
    settings.EMAIL_USE_TLS = True
    with pytest.raises(CannotConnect) as caught:
        send("alice")
    assert isinstance(caught.value.why, smtplib.SMTPNotSupportedError)
    assert server.accepted == []


def test_every_thread_has_a_connection_of_its_own_and_ends_only_that(server: Server) -> None:
    def other() -> None:
        send("bob")
        connection.close()

    send("alice")
    thread = threading.Thread(target=other)
    thread.start()
    thread.join(SECONDS)
    assert not thread.is_alive()
    assert len(server.names) == 2
    send("carol")
    assert len(server.names) == 2, "this thread's is as before"


def test_closing_what_is_dead_or_was_never_open_is_no_trouble(server: Server) -> None:
    connection.close()
    send("alice")
    server.hang_up()
    connection.close()
    connection.close()
    assert send("bob")
