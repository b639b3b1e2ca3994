"""Django's SMTP with the name of the site, and half the round trips where the server allows it."""

import functools
import re
import smtplib
import ssl
from collections.abc import Callable
from typing import Any

from django.core.mail.backends import smtp

from mail import conf
from mail.transport.connection import SERVICE_CLOSING, Unanswered


class Pipelining(smtplib.SMTP):
    """Writes MAIL, RCPT and DATA at once and then reads the three replies (RFC 2920).

    One command after the other for servers that do not advertise it. The replies and exceptions are
    those of smtplib, whose own way is taken for what is not a message of ours (one recipient,
    bytes, no options).
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        # The name of the site, not the machine's.
        super().__init__(*args, **options | {"local_hostname": conf.site_host()})

    def sendmail(self, from_addr: str, to_addrs: Any, msg: Any, *options: Any, **more: Any) -> Any:
        ours = isinstance(msg, bytes) and not isinstance(to_addrs, str) and len(to_addrs) == 1
        if not ours or options or more:
            return super().sendmail(from_addr, to_addrs, msg, *options, **more)
        self.ehlo_or_helo_if_needed()
        self._ask(from_addr, to_addrs[0], len(msg))
        # As it goes over the wire: leading dots doubled, and a dot alone as its end.
        body = re.sub(rb"(?m)^\.", b"..", msg)
        self.send(body + (b"" if body.endswith(b"\r\n") else b"\r\n") + b".\r\n")
        code, reply = self._answer()
        if code != 250:
            self._forget(code)
            raise smtplib.SMTPDataError(code, reply)
        return {}

    def _ask(self, sender: str, recipient: str, size: int) -> None:
        """Returns when the server waits for the body; raises the first of its refusals."""
        options = f" size={size}" if self.has_extn("size") else ""
        commands: list[tuple[str, tuple[int, ...], Callable[[int, bytes], Exception]]] = [
            (
                f"mail FROM:{smtplib.quoteaddr(sender)}{options}\r\n",
                (250,),
                lambda code, reply: smtplib.SMTPSenderRefused(code, reply, sender),
            ),
            (
                f"rcpt TO:{smtplib.quoteaddr(recipient)}\r\n",
                (250, 251),
                lambda *reply: smtplib.SMTPRecipientsRefused({recipient: reply}),
            ),
            ("data\r\n", (354,), smtplib.SMTPDataError),
        ]
        if any(set(command[:-2]) & {"\r", "\n"} for command, *_ in commands):
            raise ValueError("a line break in an address would be a command of its own")
        together = self.has_extn("pipelining")
        if together:
            self.send("".join(command for command, *_ in commands))
        refusal: Exception | None = None
        try:
            for command, accepted, refused in commands:
                if not together:
                    self.send(command)
                code, reply = self.getreply()
                if code not in accepted:
                    refusal = refusal or refused(code, reply)
                if code == SERVICE_CLOSING or (refusal and not together):
                    break
            if refusal and code == 354:  # it wants a body for nobody, and must have one to end
                self.send(b".\r\n")
                code, _ = self.getreply()
        except smtplib.SMTPServerDisconnected:
            if refusal is None:
                raise
        else:
            if refusal:
                self._forget(code)
        if refusal:
            raise refusal

    def _answer(self) -> tuple[int, bytes]:
        """Whether it is accepted. Servers that look for spam first take their time (RFC 5321,
        4.5.3.2.6), and whoever hangs up on them sends a second copy for each one."""
        self.sock.settimeout(conf.EMAIL_ACCEPT_TIMEOUT)  # type: ignore[union-attr]
        try:
            return self.getreply()
        except smtplib.SMTPServerDisconnected as error:
            raise Unanswered(str(error)) from error
        finally:
            if self.sock:
                self.sock.settimeout(self.timeout)

    def _forget(self, code: int) -> None:
        """Readies the connection for the next message, unless the server is closing it."""
        if code == SERVICE_CLOSING:
            self.close()
        else:
            self._rset()  # type: ignore[attr-defined]


class PipeliningOverTLS(Pipelining, smtplib.SMTP_SSL):
    pass


class EmailBackend(smtp.EmailBackend):
    @property
    def connection_class(self) -> type[smtplib.SMTP]:
        return PipeliningOverTLS if self.use_ssl else Pipelining

    @property
    def ssl_context(self) -> ssl.SSLContext:
        if self.ssl_certfile or self.ssl_keyfile:
            return super().ssl_context
        return _trusted(ssl.get_default_verify_paths())


@functools.cache
def _trusted(_where: object) -> ssl.SSLContext:
    """Reading all certificates of a system takes 25 ms, which each new connection would pay."""
    return ssl.create_default_context()
