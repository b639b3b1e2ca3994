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
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from cs_web.config import Config

ROOT = Path(__file__).resolve().parent.parent.parent
PYTHON = sys.executable
GUNICORN = ("-m", "gunicorn", "cs_web.wsgi", "--no-control-socket", "--workers", "2")
RUNSERVER = ("manage.py", "runserver", "--noreload")
LOG_LINES_SHOWN = 60

T = TypeVar("T")


def wait_for(condition: Callable[[], T], within: float, what: str) -> T:
    """Asks until the answer is truthy, and gives it. Late is an AssertionError naming `what`."""
    deadline = time.monotonic() + within
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}"
        time.sleep(0.05)
    return answer


def requires(package: str, found: Any) -> None:
    """Skips the test if what the Debian package brings is not here; with CI=true, fails it."""
    if not found:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing(f"needs the Debian package {package}: sudo apt install {package}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(**settings: Any) -> dict[str, str]:
    """This process's environment without a word for the site, and then these settings."""
    ours = {*Config.model_fields, "DJANGO_SETTINGS_MODULE"}  # tests/settings.py sets some of them
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    return {**inherited, "NO_PROXY": "127.0.0.1", **{k: str(v) for k, v in settings.items()}}


def run(*command: str, cwd: Path, env: dict[str, str], within: float = 60) -> str:
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
        self.path = folder / "site"
        shutil.copytree(ROOT, self.path, ignore=shutil.ignore_patterns(*self.NOT_THE_SITE))
        self.empty_database = folder / "empty.sqlite3"
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
        self, checkout: Checkout, folder: Path, server: tuple[str, ...] = GUNICORN, **settings: Any
    ) -> None:
        self.checkout = checkout
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.server = server
        self.log = folder / f"server-{self.port}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.database = folder / f"db-{self.port}.sqlite3"
        self.env = environment(
            **{
                "SECRET_KEY": secrets.token_urlsafe(50),
                "DEBUG": "false",
                "SITE_URL": self.url,
                "DATABASE_URL": f"sqlite:///{self.database}",
                "EMAIL_SERVICE": "console",
                "DEFAULT_FROM_EMAIL": "컴퓨터공학부 <noreply@cs.example.ac.kr>",
                **settings,
            }
        )
        if "DATABASE_URL" in settings:
            run("manage.py", "migrate", cwd=checkout.path, env=self.env)
        else:
            shutil.copy(checkout.empty_database, self.database)

    def start(self) -> "Site":
        """Returns when the port is open. Nobody has made a request by then."""
        address = f"127.0.0.1:{self.port}"
        listen = ["--bind", address] if "gunicorn" in self.server else [address]
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
        wait_for(lambda: self._answers() or ended() is not None, 30, f"{self.url} is open")
        assert ended() is None, f"the server did not start:\n{self.log_tail()}"
        return self

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def terminate(self, within: float) -> float:
        """What a service manager does first. The seconds it took to end."""
        assert self.process is not None
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(within)
        return time.monotonic() - begun

    def kill(self) -> None:
        """kill -9, master and workers at once: as if the power went."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):  # all of them have ended
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            # The workers die a moment later, and until then a new master would share their port.
            wait_for(lambda: not self._answers(), 5, f"{self.url} is closed")

    def log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-LOG_LINES_SHOWN:])

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the database file says, past the site."""
        with contextlib.closing(sqlite3.connect(self.database, timeout=20)) as database, database:
            return database.execute(query).fetchall()
