"""The letters that can be posted. Whoever has something to say registers a function by name."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.core.mail import EmailMultiAlternatives

from mail.models import Mail, Priority

# Writes the letter at the moment it is sent, in the language that is active then; None when it is
# no longer needed.
Writer = Callable[[Mail], EmailMultiAlternatives | None]

# Asks the database once for a batch of mails what their writer would have to ask for each, and
# leaves it in `Mail.known`.
LookUp = Callable[[list[Mail]], None]


CAME_BACK = "mail to this address has come back before"


class AddressRefused(Exception):
    """Raised by a writer: mail to this address has come back before, so none is sent."""

    def __str__(self) -> str:
        return f"{CAME_BACK}: {super().__str__()}"


@dataclass(frozen=True)
class Letter:
    name: str
    write: Writer
    priority: Priority
    useful_for: timedelta  # from posting; after that nobody is helped by getting it
    limited: bool = True  # whether an address gets only so many of them (`mail.limits`)
    look_up: LookUp | None = None


letters: dict[str, Letter] = {}

# Writes a letter in a language, to nobody, with links that open nothing: to try the mail service
# with, and to look at. One letter may have several, because it says different things.
Sampler = Callable[[str], EmailMultiAlternatives]

samplers: dict[str, Sampler] = {}


def letter(
    *,
    useful_for: timedelta,
    priority: Priority,
    limited: bool = True,
    look_up: LookUp | None = None,
) -> Callable[[Writer], Writer]:
    """Registers a function under its own name: `post("password_reset", …)` means that function."""

    def register(write: Writer) -> Writer:
        name = write.__name__
        if name in letters:
            raise ValueError(f"there is a letter named {name!r} already")
        letters[name] = Letter(name, write, priority, useful_for, limited, look_up)
        return write

    return register


def look_up(mails: Iterable[Mail]) -> None:
    """Readies these mails for their writers."""
    batches = defaultdict(list)
    for mail in mails:
        if mail.letter in letters:  # else its writing fails, and the row tells
            batches[letters[mail.letter].look_up].append(mail)
    for ask, batch in batches.items():
        if ask:
            ask(batch)


def add_sample(name: str, write: Sampler) -> None:
    if name in samplers:
        raise ValueError(f"there is a sample named {name!r} already")
    samplers[name] = write


def sample_names() -> list[str]:
    """In the order in which they were added."""
    return list(samplers)


def sample(name: str, language: str) -> EmailMultiAlternatives:
    return samplers[name](language)
