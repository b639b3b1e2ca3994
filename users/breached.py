"""Whether a password is known from a breach, asked of a range API (Have I Been Pwned has one): it
is sent five of the forty digits of a hash, and who does not answer at once is not waited for.
"""

import hashlib
import logging
import threading
import urllib.request

from django.views.decorators.debug import sensitive_variables

log = logging.getLogger(__name__)

PATIENCE = 0.3  # seconds, for all of an answer
TIMEOUT = 2.0  # seconds, for each step of one that nobody waits for any more
ASKED_AT_ONCE = 4  # by a process
PREFIX = 5  # digits that are sent; some hundreds of the known passwords begin with the same
ANSWER_MAX_LENGTH = 256 * 1024

_room = threading.BoundedSemaphore(ASKED_AT_ONCE)


@sensitive_variables()
def is_known(password: str, url: str) -> bool:
    """False if there is no answer in time: a registration does not fail because of another site.

    In a thread, because finding the host takes as long as it takes.
    """
    digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
    if not _room.acquire(blocking=False):
        return False
    found: list[bool] = []

    def ask() -> None:
        try:
            found.append(_ask(url, digest))
        except (OSError, ValueError) as error:
            log.warning("breached passwords are not looked up: %s", type(error).__name__)
        finally:
            _room.release()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return bool(found and found[0])


def _ask(url: str, digest: str) -> bool:
    # Padded, so that the length of the answer does not tell which it is.
    headers = {"Add-Padding": "true", "User-Agent": "cs_web"}
    request = urllib.request.Request(url + digest[:PREFIX], headers=headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
        lines = answer.read(ANSWER_MAX_LENGTH).decode("ascii", "replace").splitlines()
    counts = dict(line.partition(":")[::2] for line in lines)
    return counts.get(digest[PREFIX:], "0").strip() not in ("", "0")
