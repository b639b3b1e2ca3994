"""The letters that can be posted. Whoever has something to say registers a function by name."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.core.mail import EmailMultiAlternatives

from mail.models import Mail

# Writes the letter at the moment it is sent, in the language that is active then; None when it is
# no longer needed.
Writer = Callable[[Mail], EmailMultiAlternatives | None]


@dataclass(frozen=True)
class Letter:
    name: str
    write: Writer
    useful_for: timedelta  # from posting; after that nobody is helped by getting it


letters: dict[str, Letter] = {}


def letter(*, useful_for: timedelta) -> Callable[[Writer], Writer]:
    """Registers a function under its own name: `post("password_reset", …)` means that function."""

    def register(write: Writer) -> Writer:
        name = write.__name__
        if name in letters:
            raise ValueError(f"there is a letter named {name!r} already")
        letters[name] = Letter(name, write, useful_for)
        return write

    return register
