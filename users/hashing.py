"""Password hashes: slow on purpose, so never on all cores of this machine at once.

The bound holds for all processes of the machine. A slot is a locked file in var/, and the kernel
unlocks the file of a process that dies. Whoever finds no slot waits shortly, and only one request
a process does: the next gets `Busy`, so that threads remain for every other page.
"""

import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.contrib.auth import hashers

from users import visitors

log = logging.getLogger(__name__)

_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
# One core is left to every other page.
SLOTS = max(1, _CORES - 1)
# Seconds. Whoever has proven a mailbox or a session waits longer than a stranger who signs in, and
# in a queue of their own: a flood of sign-ins must not keep anybody from a reset.
PATIENCE, PATIENCE_OF_THE_PROVEN = 0.5, 5.0
LOOK_EVERY = 0.005  # seconds
RETRY_AFTER = 5  # seconds
QUEUE = 1  # requests that wait, in a process and of each patience

_queues = {wait: threading.BoundedSemaphore(QUEUE) for wait in (PATIENCE, PATIENCE_OF_THE_PROVEN)}
_inside = threading.local()


class Busy(visitors.Later):
    """All slots are taken, and the queue is full. Nothing has been hashed or changed."""

    status, template = 503, "503.html"


@contextmanager
def room(patience: float = PATIENCE) -> Iterator[None]:
    """Holds a slot for one hash or several in a row; inside another `room`, it is that one's."""
    if getattr(_inside, "room", False):
        yield
        return
    slot = _wait_for_slot(patience)
    _inside.room = True
    try:
        yield
    finally:
        _inside.room = False
        os.close(slot)


def _wait_for_slot(patience: float) -> int:
    slot = _free_slot()
    if slot is not None:
        return slot
    if not _queues[patience].acquire(blocking=False):
        raise Busy(RETRY_AFTER)
    try:
        end = time.monotonic() + patience
        while time.monotonic() < end:
            time.sleep(LOOK_EVERY)
            slot = _free_slot()
            if slot is not None:
                return slot
    finally:
        _queues[patience].release()
    raise Busy(RETRY_AFTER)


def _free_slot() -> int | None:
    """The descriptor of a file that is locked now; None if others have locked them all."""
    for number in range(SLOTS):
        try:
            slot = os.open(settings.VAR_DIR / f"hashing-{number}.lock", os.O_RDONLY | os.O_CREAT)
        except OSError as error:  # made by another user, perhaps: people must still get in
            log.error("password hashes are not bounded: %s", error)
            return os.open(os.devnull, os.O_RDONLY)
        try:
            fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return slot
        except BlockingIOError:
            os.close(slot)
    return None


class Argon2(hashers.Argon2PasswordHasher):
    """Argon2id with the first choice of OWASP's cheat sheet: 19 MiB, twice, one lane."""

    memory_cost = 19 * 1024  # KiB
    time_cost = 2
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        with room():
            return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        with room():
            return super().verify(password, encoded)


class PBKDF2(hashers.PBKDF2PasswordHasher):
    """For hashes from before Argon2, until their owners sign in."""

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        with room():
            return super().encode(password, salt, iterations)


def is_current(encoded: str) -> bool:
    """Whether a hash was made by the preferred hasher, with its parameters."""
    preferred: Any = hashers.get_hasher()
    try:
        same = hashers.identify_hasher(encoded).algorithm == preferred.algorithm
    except ValueError:  # an unusable password has nothing to renew
        return True
    return same and not preferred.must_update(encoded)
