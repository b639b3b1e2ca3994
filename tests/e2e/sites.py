"""The real site as processes of its own: started, asked, killed and looked into from outside."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cs_web.config import Config
from tests.elsewhere import ROOT
from tests.servers import PATIENCE, free_port, wait_for

PYTHON = sys.executable
GUNICORN = ("-m", "gunicorn", "cs_web.wsgi", "--no-control-socket", "--workers", "2")
# Imported once instead of by each worker, which is a tenth of what all these tests cost.
PRELOADING = (*GUNICORN, "--preload")
UVICORN = ("-m", "uvicorn", "cs_web.asgi:application", "--no-proxy-headers")
RUNSERVER = ("manage.py", "runserver", "--noreload")
LOG_LINES_SHOWN = 60
# A thousand passwords are not what is tested; where they are, a test says PRODUCTION.
QUICK = {"DJANGO_SETTINGS_MODULE": "tests.e2e.quick_settings", "PYTHONPATH": ROOT}
PRODUCTION = {"DJANGO_SETTINGS_MODULE": "cs_web.settings"}

on_linux = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="looks at processes in Linux's /proc"
)


def threads(pid: int) -> int:
    """Of a process; none, if it has ended."""
    return len(list(Path(f"/proc/{pid}/task").glob("*")))


def children_of(pid: int) -> list[int]:
    """Of all its threads: one of them watches the senders."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def command_of(pid: int) -> bytes:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""  # it has just ended


def environment(**settings: Any) -> dict[str, str]:
    """This process's environment without a word for the site, and then these settings."""
    ours = {*Config.model_fields, "DJANGO_SETTINGS_MODULE"}  # tests/settings.py sets some of them
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    return {**inherited, "NO_PROXY": "127.0.0.1", **{k: str(v) for k, v in settings.items()}}


def run(*command: str, cwd: Path, env: dict[str, str], within: float = PATIENCE) -> str:
    """Runs Python with these arguments; its output, or a failure that shows it."""
    done = subprocess.run(
        [PYTHON, *command],
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=within,
    )
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


class Checkout:
    """A copy of the site, ready to be served, without anybody's secrets.json or var."""

    NOT_THE_SITE = (".*", "__pycache__", "var", "secrets.json", "tests", "bench", "docs")

    def __init__(self, folder: Path) -> None:
        """`folder` has one, or gets one."""
        self.path = folder / "site"
        self.empty_database = folder / "empty.sqlite3"
        if not self.path.exists():
            self._make()

    def _make(self) -> None:
        shutil.copytree(ROOT, self.path, ignore=shutil.ignore_patterns(*self.NOT_THE_SITE))
        env = environment(
            SECRET_KEY=secrets.token_urlsafe(50),
            EMAIL_SERVICE="console",
            DATABASE_URL=f"sqlite:///{self.empty_database}",
        )
        compile_messages = ("compile", "--domain", "django", "--directory", "locale")
        run("-m", "babel.messages.frontend", *compile_messages, cwd=self.path, env=env)
        run("manage.py", "migrate", cwd=self.path, env=env)
        run("manage.py", "collectstatic", "--noinput", cwd=self.path, env=env)

    @property
    def mailbox(self) -> Path:
        return self.path / "var" / "mailbox"


class Site:
    """One installation: its settings and database stay the same over every start and kill."""

    def __init__(
        self,
        checkout: Checkout,
        folder: Path,
        server: tuple[str, ...] = PRELOADING,
        **settings: Any,
    ) -> None:
        self.checkout = checkout
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.server = server
        self.log = folder / f"server-{self.port}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.database = folder / f"db-{self.port}.sqlite3"
        # Only gunicorn starts senders beside it (gunicorn.conf.py).
        engine = {} if "gunicorn" in server else {"MAIL_ENGINE": "threads"}
        self.env = environment(
            **{
                **QUICK,
                **engine,
                "SECRET_KEY": secrets.token_urlsafe(50),
                "DEBUG": "false",
                "SITE_URL": self.url,
                "DATABASE_URL": f"sqlite:///{self.database}",
                "EMAIL_SERVICE": "console",
                "DEFAULT_FROM_EMAIL": "컴퓨터공학부 <noreply@cs.example.ac.kr>",
                **settings,
            }
        )
        if "DATABASE_URL" not in settings:
            shutil.copy(checkout.empty_database, self.database)

    def start(self) -> "Site":
        """Returns when the port is open. Nobody has made a request by then."""
        address = f"127.0.0.1:{self.port}"
        listen = [address]
        if "gunicorn" in self.server:
            listen = ["--bind", address]
        elif "uvicorn" in self.server:
            listen = ["--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [PYTHON, *self.server, *listen],
                cwd=self.checkout.path,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that a kill reaches the workers, and only them
            )
        ended = self.process.poll
        wait_for(lambda: self._answers() or ended() is not None, f"{self.url} is open")
        assert ended() is None, f"the server did not start:\n{self.log_tail()}"
        return self

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def terminate(self) -> None:
        """What a service manager does first. It does not wait for the end."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    def has_ended(self) -> bool:
        """Ended, and by itself: gunicorn kills a worker that does not end in time, and says so."""
        assert self.process is not None
        assert self.process.wait(PATIENCE) == 0, self.log_tail()
        return "SIGKILL" not in self.log.read_text(errors="replace")

    def workers(self) -> list[int]:
        """The process ids of gunicorn's workers, from Linux's /proc."""
        assert self.process is not None
        master = self.process.pid
        return [pid for pid in children_of(master) if b"manage.py" not in command_of(pid)]

    def senders(self) -> list[int]:
        """The process id of `mail work`, which the master starts beside its workers."""
        assert self.process is not None
        return [pid for pid in children_of(self.process.pid) if b"manage.py" in command_of(pid)]

    def kill(self) -> None:
        """kill -9, master and workers at once: as if the power went."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):  # all of them have ended
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            # The workers die a moment later, and until then a new master would share their port.
            wait_for(lambda: not self._answers(), f"{self.url} is closed")

    def log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-LOG_LINES_SHOWN:])

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the database file says, past the site."""
        with contextlib.closing(sqlite3.connect(self.database, timeout=20)) as database, database:
            return database.execute(query).fetchall()
