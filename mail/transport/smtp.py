"""Django's SMTP with the name of the site, and half the round trips where the server allows it."""

import functools
import re
import smtplib
import ssl
from typing import Any

from django.core.mail.backends import smtp

from mail import conf
from mail.transport.connection import SERVICE_CLOSING


class Pipelining(smtplib.SMTP):
    """Writes MAIL, RCPT and DATA at once and then reads the three replies (RFC 2920).

    The replies and exceptions are those of smtplib, whose own way is taken for what is not a
    message of ours (one recipient, bytes, no options) and for servers that do not advertise it.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        # The name of the site, not the machine's.
        super().__init__(*args, **options | {"local_hostname": conf.site_host()})

    def sendmail(self, from_addr: str, to_addrs: Any, msg: Any, *options: Any, **more: Any) -> Any:
        self.ehlo_or_helo_if_needed()
        ours = isinstance(msg, bytes) and not isinstance(to_addrs, str) and len(to_addrs) == 1
        if not ours or options or more or not self.has_extn("pipelining"):
            try:
                return super().sendmail(from_addr, to_addrs, msg, *options, **more)
            except smtplib.SMTPDataError as error:
                # smtplib forgets to where DATA itself is refused, and the next message would pay.
                self._forget(error.smtp_code)
                raise
        self._ask(from_addr, to_addrs[0], len(msg))
        self.send(_body(msg))
        code, reply = self.getreply()
        if code != 250:
            self._forget(code)
            raise smtplib.SMTPDataError(code, reply)
        return {}

    def _ask(self, sender: str, recipient: str, size: int) -> None:
        """Returns when the server waits for the body; raises the first of its refusals."""
        options = f" size={size}" if self.has_extn("size") else ""
        commands = [
            f"mail FROM:{smtplib.quoteaddr(sender)}{options}",
            f"rcpt TO:{smtplib.quoteaddr(recipient)}",
            "data",
        ]
        if any("\r" in command or "\n" in command for command in commands):
            raise ValueError("a line break in an address would be a command of its own")
        self.send("".join(f"{command}\r\n" for command in commands))
        refusal: Exception | None = None
        try:
            code, reply = self.getreply()
            if code != 250:
                refusal = smtplib.SMTPSenderRefused(code, reply, sender)
            if code != SERVICE_CLOSING:
                code, reply = self.getreply()
                if code not in (250, 251):
                    refusal = refusal or smtplib.SMTPRecipientsRefused({recipient: (code, reply)})
            if code != SERVICE_CLOSING:
                code, reply = self.getreply()
                if code != 354:
                    refusal = refusal or smtplib.SMTPDataError(code, reply)
                elif refusal:  # it wants a body for nobody, and must have one to end
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


def _body(message: bytes) -> bytes:
    """As it goes over the wire: leading dots doubled, and a dot alone as its end."""
    quoted = re.sub(rb"(?m)^\.", b"..", message)
    return quoted + (b"" if quoted.endswith(b"\r\n") else b"\r\n") + b".\r\n"
