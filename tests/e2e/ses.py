"""Amazon SES on loopback."""

from email import message_from_bytes, policy
from typing import Any

from tests.servers import Inbox, Letter


class Ses(Inbox):
    """What moto's SES, spoken to over HTTP, has accepted."""

    def __init__(self, url: str, backend: Any) -> None:
        self.url = url
        self._backend = backend

    @property
    def letters(self) -> list[Letter]:  # type: ignore[override]
        return [
            Letter(mail.destinations[0], message_from_bytes(_bytes(mail), policy=policy.default))
            for mail in self._backend.sent_messages
        ]


def _bytes(mail: Any) -> bytes:
    return mail.raw_data if isinstance(mail.raw_data, bytes) else mail.raw_data.encode()
