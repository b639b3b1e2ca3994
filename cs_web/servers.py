"""What every server needs: gunicorn loads the site by `cs_web.wsgi`, uvicorn by `cs_web.asgi`."""

import contextlib
import fcntl
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import NoReturn

from django.conf import settings

# The exit code of a worker at which gunicorn and uvicorn stop. After any other they start it again.
CANNOT_START = 3
LOOK_EVERY = 0.5  # seconds, at the parent
TOGETHER = 10  # seconds within which the workers of one start find the same mistake

# The charset, however it is written, and whatever has an encoding of its own (RFC 2231: `name*=`).
ENCODINGS = re.compile(r";(\s*charset|[^;=]*\*)[^;]*", re.IGNORECASE)


def plain_content_type(value: str) -> str:
    """A Content-Type without encodings. The site's forms are UTF-8, whatever a request says: Django
    would believe it, and fail before any middleware where the name is none of a text's encoding
    ("rot13"), or is unknown ("name*=nonsense''x")."""
    return ENCODINGS.sub("", value)


def senders_are_ours() -> bool:
    """Whether this process is to start the senders of mail beside it: gunicorn's master does."""
    if "gunicorn" in os.environ.get("SERVER_SOFTWARE", ""):
        return False
    return bool(settings.MAIL_ENGINE == "work" and settings.MAIL_BESIDE)


def end_with(parent: int) -> None:
    """This process ends soon after the one that has started it; also if that one was killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_EVERY)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watcher", daemon=True).start()


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """A wrong configuration ends the whole server; a server would replace the worker for ever."""
    try:
        yield
    except SystemExit as end:
        if isinstance(end.code, str):  # the settings end with words
            _end_the_server(end.code)
        raise


def _end_the_server(message: str) -> NoReturn:
    """Every worker comes here. The first prints the message and ends with CANNOT_START; the others
    end in silence, and with another code: gunicorn shows a traceback at a second CANNOT_START."""
    with contextlib.suppress(OSError):  # without /proc, every worker prints it
        # What all workers of a server share, and no other server, is their process group.
        group = os.open(f"/proc/{os.getpgrp()}", os.O_RDONLY)
        try:
            fcntl.flock(group, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(group, fcntl.LOCK_EX)  # the server must see the first one's code first
            sys.exit(1)
    sys.stderr.write(f"{message}\n")
    time.sleep(TOGETHER)  # with the lock
    sys.exit(CANNOT_START)
