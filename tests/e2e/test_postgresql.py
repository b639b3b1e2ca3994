"""The same site and the same unit tests on PostgreSQL, for when the department grows."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.e2e.mailservers import SmtpServer
from tests.e2e.sites import ROOT, Site, environment, free_port, requires, run, wait_for
from tests.e2e.visitor import NEW_PASSWORD, Visitor

UNIT_TESTS = ("-m", "pytest", "tests", "--ignore=tests/e2e", "-q", "-p", "no:cacheprovider")
UNIT_TESTS_WITHIN = 300  # seconds


def server_programs() -> Path | None:
    """Where initdb and postgres are; Debian keeps each version in a folder of its own."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((path.parent for path in versions), default=None)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """A cluster of our own on loopback; the DATABASE_URL of an empty database in it."""
    programs = server_programs()
    requires("postgresql", programs)
    assert programs
    # PostgreSQL refuses to be root. Not tmp_path: other people cannot look into it.
    person: dict[str, Any] = {}
    if os.geteuid() == 0:
        person = {"user": "postgres", "group": "postgres", "extra_groups": []}
    folder = Path(tempfile.mkdtemp(prefix="cs_web-postgresql-"))
    server = None
    try:
        if person:
            shutil.chown(folder, "postgres", "postgres")
        data, port = folder / "data", free_port()
        initdb = [programs / "initdb", "--auth=trust", "--username=cs_web", "--encoding=UTF8"]
        subprocess.run(
            [*initdb, "--no-sync", f"--pgdata={data}"],
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=60,
            **person,
        )
        options = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, *(f"--{k}={v}" for k, v in options.items())],
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                **person,
            )
        url = f"postgresql://cs_web@127.0.0.1:{port}"
        wait_for(lambda: _is_up(f"{url}/postgres"), 30, f"PostgreSQL at {url}")
        with psycopg.connect(f"{url}/postgres", autocommit=True) as connection:
            connection.execute("CREATE DATABASE cs_web")
        yield f"{url}/cs_web"
    finally:
        if server is not None:
            server.send_signal(signal.SIGINT)  # fast shutdown: it does not wait for clients
            try:
                server.wait(20)
            finally:
                server.kill()
        shutil.rmtree(folder)


def _is_up(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=1).close()
    except psycopg.OperationalError:
        return False
    return True


def test_the_unit_tests_pass_on_postgresql(postgresql: str) -> None:
    env = environment(DATABASE_URL=postgresql)
    print(run(*UNIT_TESTS, cwd=ROOT, env=env, within=UNIT_TESTS_WITHIN))


def test_the_journey_on_postgresql(
    postgresql: str, new_smtp_site: Callable[..., Site], smtp: SmtpServer
) -> None:
    smtp.up()
    site = new_smtp_site(DATABASE_URL=postgresql).start()
    alice = Visitor(site)
    assert alice.register("alice").path == "/users/register/success/"
    assert alice.post(smtp.wait("alice@example.com").link).path == "/"
    assert "Alice" in alice.get("/").text

    visitor = Visitor(site)
    visitor.post("/users/password/reset/", email="ALICE@example.com")
    passwords = {"new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
    link = smtp.wait("alice@example.com", 2).link
    assert visitor.post(link, **passwords).path == "/users/password/reset/done/"
    assert visitor.sign_in("alice", NEW_PASSWORD).path == "/"

    with psycopg.connect(postgresql) as database:
        sent = "SELECT count(*) FROM mail_mail WHERE state = 'sent'"
        wait_for(lambda: database.execute(sent).fetchone() == (3,), 10, "three letters are sent")


def test_two_at_once_never_end_in_an_error_of_the_database(postgresql: str) -> None:
    """Deadlocks and broken keys: SQLite, where writers queue up, cannot show them."""
    with psycopg.connect(postgresql, autocommit=True) as connection:
        connection.execute("CREATE DATABASE races")  # the site's own senders stay out of it
    env = environment(DATABASE_URL=postgresql.removesuffix("cs_web") + "races")
    env["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    run("manage.py", "migrate", "-v0", cwd=ROOT, env=env)
    out = json.loads(run("-m", "tests.e2e.races", cwd=ROOT, env=env).splitlines()[-1])
    assert out == {
        "twins": {"LinkSpent+ok": 25},
        "resend_and_cancel": {"ok+ok": 25},
        "names": {"UserIdTaken+ok": 25},
        "suppressions": {"ok+ok, 1 row": 25},
    }
