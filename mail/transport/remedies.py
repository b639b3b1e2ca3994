"""What a cause means for an operator, and what they can do: the texts are in remedies.toml."""

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mail import conf
from mail.causes import Cause


@dataclass(frozen=True)
class Remedy:
    meaning: str
    steps: list[str]


# What one does about it is the same.
ALIKE = {
    Cause.UNREACHABLE: Cause.TIMED_OUT,
    Cause.TOO_MANY_LOGINS: Cause.LOGIN,
    Cause.SENDER_POLICY: Cause.SENDER,
    Cause.NO_MAILBOX: Cause.RECIPIENT,
}


@functools.cache
def texts() -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parent / "remedies.toml").read_text("utf-8"))


def remedy(cause: Cause) -> Remedy:
    """What helps against a cause, with the service that is configured."""
    of_the_service = texts().get(_service(), {})
    for one in (cause, ALIKE.get(cause, cause), Cause.UNEXPECTED):
        found = of_the_service.get(one) or texts().get(one)
        if found:
            return Remedy(**found)
    raise LookupError(cause)


def _service() -> str:
    """Naver and Gmail are themselves also as EMAIL_SERVICE=smtp."""
    for name, service in conf.SERVICES.items():
        if service.domain and conf.EMAIL_HOST.lower().endswith(f".{service.domain}"):
            return name
    return conf.EMAIL_SERVICE or ""
