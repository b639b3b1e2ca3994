"""The senders beside the site: `manage.py mail work`, started with the web server and watched.

A process of their own, because what they do must not be felt by visitors: in the interpreter that
answers, the work for somebody who exists takes time from the next page of whoever asked.

Standard library only: `make run` imports this before anything is installed.
"""

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

log = logging.getLogger(__name__)

COMMAND = (
    str(Path(__file__).resolve().parent.parent / "manage.py"), "mail", "work", "--with-parent"
)  # fmt: skip
# Seconds before they are started again, longer each time: what ends them at once must not fill the
# log. After a life of LIVED the count begins anew.
PAUSE, LONGEST_PAUSE, LIVED = 1.0, 60.0, 60.0
STOP_WITHIN = 25.0  # seconds; they take up to 20 to finish the messages in flight
# They wait for these by `sigtimedwait`, so they must be blocked from their first moment on.
STOP = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


class Senders:
    """Starts the process, and starts it again when it ends, until `stop`."""

    def __init__(
        self,
        python: str | Path = sys.executable,
        command: tuple[str, ...] = COMMAND,
        environment: dict[str, str] | None = None,
        pause: float = PAUSE,
    ) -> None:
        self.command = [str(python), *command, str(os.getpid())]
        self.environment = environment or dict(os.environ)
        self.pause = pause
        self.pid: int | None = None
        self.stopping = threading.Event()
        self.changing = threading.Lock()  # `pid`: a number may belong to another process later
        self.watcher = threading.Thread(target=self.watch, name="mail-senders", daemon=True)

    def start(self) -> "Senders":
        try:
            self.watcher.start()
        except RuntimeError as error:  # no thread to be had: the site serves all the same
            log.error("the senders of mail cannot be watched, and are not started: %s", error)
        return self

    def watch(self) -> None:
        # No signal for this thread: a server's handlers run in its main thread, which would sleep
        # on if the system gave the signal to another.
        signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
        pause = self.pause
        while not self.stopping.is_set():
            began = time.monotonic()
            self.run_once()
            lived = time.monotonic() - began
            pause = self.pause if lived > LIVED else min(2 * pause, LONGEST_PAUSE)
            # Not before: where all of the site is told to end, they may be the first who do.
            if not self.stopping.wait(pause):
                log.error("the senders of mail had ended; after %g s they are started again", pause)

    def run_once(self) -> None:
        """Starts the process, and waits for its end."""
        with self.changing:
            if self.stopping.is_set():
                return
            try:
                self.pid = _spawn(self.command, self.environment)
            except OSError as error:  # no memory, say: the site serves all the same
                log.error("the senders of mail cannot be started: %s", error)
                return
        with contextlib.suppress(ChildProcessError):  # gunicorn waits for all its children
            os.waitpid(self.pid, 0)
        with self.changing:
            self.pid = None

    def restart(self) -> None:
        """Ends the process; the watcher starts the next, with the code that is there now."""
        self._signal(signal.SIGTERM)

    def stop(self, within: float = STOP_WITHIN) -> None:
        """Lets them finish what is in flight."""
        self.stopping.set()
        self._signal(signal.SIGTERM)
        if self.watcher.is_alive():
            self.watcher.join(within)
            self._signal(signal.SIGKILL)
            self.watcher.join()

    def _signal(self, number: signal.Signals) -> None:
        with self.changing, contextlib.suppress(ProcessLookupError):
            if self.pid:
                os.kill(self.pid, number)


def _spawn(command: list[str], environment: dict[str, str]) -> int:
    # Not subprocess.Popen: it waits at a pipe for the new process, and a web server that forks a
    # worker at that moment leaves the worker with the other end. And without the server's socket,
    # or its port would stay open as long as the senders live.
    closed = [(os.POSIX_SPAWN_CLOSE, fd) for fd in _inherited()]
    return os.posix_spawn(
        command[0], command, environment, file_actions=closed, setsigmask=list(STOP)
    )


def _inherited() -> list[int]:
    """The open files that a new process would get, but for the three that everybody has."""
    found = []
    for file in Path("/dev/fd").iterdir():
        with contextlib.suppress(OSError):  # the listing itself was one
            if int(file.name) > 2 and os.get_inheritable(int(file.name)):
                found.append(int(file.name))
    return found
