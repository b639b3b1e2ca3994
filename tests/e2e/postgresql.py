"""PostgreSQL of our own on loopback."""

import contextlib
import itertools
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg

from tests.e2e.sites import PRODUCTION, Checkout, children_of, environment, run
from tests.elsewhere import requires
from tests.servers import PATIENCE, free_port, wait_for

# Nothing is kept over a power cut, and nothing waits for the disk.
HASTE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class PostgreSQL:
    """A cluster, in which each test has a database of its own: empty, or migrated for a site."""

    def __init__(self, checkout: Checkout | None = None) -> None:
        programs = server_programs()
        requires("postgresql", programs)
        assert programs
        # PostgreSQL refuses to be root. Not tmp_path: other people cannot look into it.
        person: dict[str, Any] = {}
        if os.geteuid() == 0:
            person = {"user": "postgres", "group": "postgres", "extra_groups": []}
        self.numbers = itertools.count()
        self.template = "template1"
        self.server: subprocess.Popen[bytes] | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="cs_web-postgresql-"))
        try:
            if person:
                shutil.chown(self.folder, "postgres", "postgres")
            self._start(programs, person)
            if checkout:
                self._migrate(checkout)
        except BaseException:
            self.remove()
            raise

    def _start(self, programs: Path, person: dict[str, Any]) -> None:
        data, port = self.folder / "data", free_port()
        initdb = [programs / "initdb", "--auth=trust", "--username=cs_web", "--encoding=UTF8"]
        subprocess.run(
            [*initdb, "--no-sync", f"--pgdata={data}"],
            cwd=self.folder,
            check=True,
            capture_output=True,
            timeout=PATIENCE,
            **person,
        )
        options = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        options |= HASTE
        with (self.folder / "log").open("wb") as log:
            self.server = subprocess.Popen(
                [programs / "postgres", "-D", data, *(f"--{k}={v}" for k, v in options.items())],
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                **person,
            )
        self.port = port
        self.url = f"postgresql://cs_web@127.0.0.1:{port}"
        wait_for(self._is_up, f"PostgreSQL at {self.url}")

    def _is_up(self) -> bool:
        try:
            psycopg.connect(f"{self.url}/postgres", connect_timeout=10).close()
        except psycopg.OperationalError:
            return False
        return True

    def _migrate(self, checkout: Checkout) -> None:
        migrated = self.new_database()
        env = environment(
            **PRODUCTION,
            SECRET_KEY=secrets.token_urlsafe(50),
            EMAIL_SERVICE="console",
            DATABASE_URL=migrated.url,
        )
        run("manage.py", "migrate", cwd=checkout.path, env=env)
        self.template = migrated.url.rpartition("/")[2]

    def new_database(self) -> "Database":
        name = f"cs_web_{next(self.numbers)}"
        with psycopg.connect(f"{self.url}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {self.template}")
        return Database(f"{self.url}/{name}")

    def freeze(self) -> None:
        """It keeps its connections, and answers nothing: the worst way to be away."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self.server is not None
        for pid in [self.server.pid, *children_of(self.server.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def remove(self) -> None:
        if self.server is not None:
            self.server.send_signal(signal.SIGINT)  # fast shutdown: it does not wait for clients
            try:
                self.server.wait(PATIENCE)
            finally:
                self.server.kill()
        shutil.rmtree(self.folder)


class Database:
    def __init__(self, url: str) -> None:
        self.url = url  # a DATABASE_URL

    def rows(self, query: str) -> list[Any]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(query).fetchall()


def server_programs() -> Path | None:
    """Where initdb and postgres are; Debian keeps each version in a folder of its own."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((path.parent for path in versions), default=None)
