"""The senders beside the site: `manage.py mail work`, started with the web server and watched.

A process of their own, because what they do must not be felt by visitors: in the interpreter that
answers, the work for somebody who exists takes time from the next page of whoever asked.

Standard library only: `make run` imports this before anything is installed.
"""

import contextlib
import logging
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parent.parent
COMMAND = ("manage.py", "mail", "work", "--with-parent")
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
        self.command = [str(python), *command]
        self.environment = environment
        self.pause = pause
        self.process: subprocess.Popen[bytes] | None = None
        self.stopping = threading.Event()
        self.changing = threading.Lock()  # between a start and a stop
        self.watcher = threading.Thread(target=self.watch, name="mail-senders", daemon=True)

    def start(self) -> "Senders":
        self.watcher.start()
        return self

    def watch(self) -> None:
        # No signal for this thread: a server's handlers run in its main thread, which would sleep
        # on if the system gave the signal to another.
        signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
        pause = self.pause
        while process := self._begin():
            began, code = time.monotonic(), process.wait()
            if self.stopping.is_set():
                break
            pause = self.pause if time.monotonic() - began > LIVED else min(2 * pause, LONGEST_PAUSE)
            log.error("the senders of mail have ended (%s): again in %g s", code, pause)
            self.stopping.wait(pause)

    def _begin(self) -> "subprocess.Popen[bytes] | None":
        while not self.stopping.is_set():
            with self.changing:
                if self.stopping.is_set():
                    break
                try:
                    self.process = self._popen()
                    return self.process
                except OSError as error:  # no memory, say: the site serves all the same
                    log.error("the senders of mail cannot be started: %s", error)
            self.stopping.wait(self.pause)
        return None

    def _popen(self) -> "subprocess.Popen[bytes]":
        signal.pthread_sigmask(signal.SIG_SETMASK, STOP)  # inherited by the process
        try:
            return subprocess.Popen(self.command, cwd=ROOT, env=self.environment)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())

    def restart(self) -> None:
        """Ends the process; the watcher starts the next, with the code that is there now."""
        if self.process is not None:
            self.process.terminate()

    def stop(self, within: float = STOP_WITHIN) -> None:
        """Lets them finish what is in flight."""
        self.stopping.set()
        with self.changing:
            process = self.process
        if process is None:
            return
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(within)
        process.kill()  # does nothing to one that has ended
