"""A message as the bytes that go over the wire: Python's, and its work done but once.

Of what a mail costs us, writing these bytes is the largest part, and most of that was for nothing:
short headers were parsed to be folded, and a pattern was compiled for each boundary.
"""

import functools
import secrets
from email.policy import Compat32
from typing import Any

from django.core.mail import EmailMessage
from django.core.mail.message import sanitize_address

LINE = 78  # the length from which a header is folded

_parsed = functools.lru_cache(maxsize=1000)(sanitize_address)


def envelope_address(address: str, encoding: Any) -> str:
    """As the envelope has it. Senders are few, and who is written to is written to again."""
    # An encoding may also be a Charset, which no cache can have as a key.
    return (
        _parsed(address, encoding)
        if isinstance(encoding, str)
        else sanitize_address(address, encoding)
    )


class FoldWhatIsLong(Compat32):
    """Most headers of ours are a line already."""

    def fold_binary(self, name: str, value: str) -> bytes:
        line = f"{name}: {value}"
        if isinstance(value, str) and len(line) < LINE and line.isascii() and line.isprintable():
            return f"{line}{self.linesep}".encode("ascii")
        return super().fold_binary(name, value)


POLICY = FoldWhatIsLong()


def as_bytes(email_message: EmailMessage) -> bytes:
    message = email_message.message()
    for part in message.walk():
        part.policy = POLICY
        if part.get_content_maintype() == "multipart" and not part.get_boundary():
            # Nobody can have put it into a text: no need to look for it there.
            part.set_boundary(f"=_{secrets.token_hex(16)}")
    return message.as_bytes(linesep="\r\n")  # type: ignore[call-arg]
