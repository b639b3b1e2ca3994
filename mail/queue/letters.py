"""The letters that can be posted. Whoever has something to say registers a function by name."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.mail import EmailMultiAlternatives

from mail.causes import Cause
from mail.models import Budget, Mail, Priority, State, Suppression


@dataclass(frozen=True)
class Writer:
    """Writes the message, at the moment it is sent; and says whose message it is."""

    write: Callable[[], EmailMultiAlternatives]
    budget: Budget = Budget.SITE

    def __call__(self) -> EmailMultiAlternatives:
        return self.write()


@dataclass(frozen=True)
class Outcome:
    """Why a message does not leave now: its end, or with `due` when its turn comes.

    One with a `writer` is written all the same, and thrown away: a sender has then done the same
    work as for an address that somebody has, and nothing that waits for it can tell.
    """

    state: State
    cause: Cause
    why: str
    due: datetime | None = None
    writer: Writer | None = None


def for_nobody(writer: Writer) -> Outcome:
    """Nobody is to get this; the message is about a sample person."""
    return Outcome(State.DROPPED, Cause.NOT_NEEDED, "no longer needed", writer=writer)


def suppressed(reason: Suppression.Reason) -> Outcome:
    """The answer of a letter to an address that refused mail before, or whose owner wants none."""
    if reason in (Suppression.Reason.DECLINED, Suppression.Reason.COMPLAINED):
        return Outcome(State.DROPPED, Cause.SUPPRESSED, "the owner of this address wants no mail")
    why = f"mail to this address has come back before: {reason.label}"
    return Outcome(State.REFUSED, Cause.SUPPRESSED, why)


# Says whether the message is still wanted, without writing it and without any side effect: who
# writes it, None if it is no longer needed, or another outcome.
Decision = Writer | Callable[[], EmailMultiAlternatives] | Outcome | None
Decide = Callable[[Mail], Decision]


@dataclass(frozen=True)
class Letter:
    name: str
    decide: Decide
    priority: Priority
    useful_for: timedelta  # from posting; after that it helps nobody
    limited: bool = True  # whether an address gets only so many of them (`mail.queue.limits`)
    drafted: bool = False  # its text is a Draft, so that no two are the same


letters: dict[str, Letter] = {}

# Writes a letter in a language, to nobody, with links that open nothing: to try the mail service
# with, and to look at. One letter may have several, because it says different things.
Sampler = Callable[[str], EmailMultiAlternatives]

samples: dict[str, Sampler] = {}


def letter(
    *, useful_for: timedelta, priority: Priority, limited: bool = True, drafted: bool = False
) -> Callable[[Decide], Decide]:
    """Registers a function under its own name: `post("password_reset", …)` means that function."""

    def register(decide: Decide) -> Decide:
        name = decide.__name__
        if name in letters:
            raise ValueError(f"there is a letter named {name!r} already")
        letters[name] = Letter(name, decide, priority, useful_for, limited, drafted)
        return decide

    return register


def add_sample(name: str, write: Sampler) -> None:
    if name in samples:
        raise ValueError(f"there is a sample named {name!r} already")
    samples[name] = write
