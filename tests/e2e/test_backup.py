"""manage.py backup and restore, with real files."""

import contextlib
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.elsewhere import DEVELOPMENT, Site

REGISTER = """
django.setup()
from users import accounts
for name in {names}:
    accounts.register(user_id=name, email=f"{{name}}@example.com", name="X",
                      password="correct-horse", language="en")
"""
SESSION = """
django.setup()
from users.visitors import SessionStore
SessionStore().save()
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Alice has registered, and her letter waits."""
    site = Site(tmp_path, **DEVELOPMENT).migrate()
    site.story(REGISTER.format(names=["alice"]) + SESSION)
    return site


def database_of(site: Site) -> Path:
    return site.folder / "var" / "db.sqlite3"


@contextlib.contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as database:
        yield database


def rows(file: Path, query: str) -> list[tuple[object, ...]]:
    with opened(file) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return database.execute(query).fetchall()


PEOPLE = "SELECT user_id FROM users_user ORDER BY user_id"
STATES = "SELECT state FROM mail_mail"


def backup(site: Site) -> Path:
    file = site.folder / "backup.sqlite3"
    done = site.manage("backup", str(file))
    assert done.returncode == 0, done.stderr
    return file


def restored(site: Site, file: Path) -> str:
    done = site.manage("restore", str(file))
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_backup_is_one_whole_file_while_somebody_writes(site: Site) -> None:
    with opened(database_of(site)) as writer:
        # Committed, and only in the -wal; and not committed.
        writer.execute("UPDATE users_user SET name = 'committed'")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE users_user SET name = 'not yet'")
        assert Path(f"{database_of(site)}-wal").stat().st_size
        file = backup(site)
        writer.execute("COMMIT")
    assert [each.name for each in site.folder.glob("backup*")] == [file.name]
    assert file.stat().st_mode & 0o077 == 0
    assert rows(file, "SELECT name FROM users_user") == [("committed",)]
    assert rows(database_of(site), "SELECT name FROM users_user") == [("not yet",)]

    before = file.read_bytes()
    assert "replaces none" in refused(site.manage("backup", str(file)))
    assert file.read_bytes() == before


def test_what_waited_in_it_is_sent_to_nobody(site: Site) -> None:
    file = backup(site)
    site.story(REGISTER.format(names=["bob"]))
    said = restored(site, file)
    assert "Cancelled 1 messages" in said
    assert rows(database_of(site), PEOPLE) == [("alice",)]
    assert rows(database_of(site), STATES) == [("cancelled",)]
    assert rows(database_of(site), "SELECT * FROM users_session") == []
    assert rows(file, STATES) == [("pending",)], "the back-up stays as it was"

    done = site.manage("mail", "work", "--once")
    assert done.returncode == 0, done.stderr
    assert not list((site.folder / "var").glob("mailbox/*"))

    [replaced] = (site.folder / "var").glob("db.sqlite3.replaced-*")
    assert rows(replaced, PEOPLE) == [("alice",), ("bob",)]


def test_a_wal_of_another_day_damages_nothing(site: Site) -> None:
    """By hand: `cp backup db.sqlite3` beside the -wal of a killed site is "malformed"."""
    file = backup(site)
    with opened(database_of(site)) as killed:
        killed.execute("CREATE TABLE big (x)")
        killed.executemany("INSERT INTO big VALUES (?)", [["x" * 1000]] * 1000)
        left = {end: Path(f"{database_of(site)}{end}").read_bytes() for end in ("-wal", "-shm")}
    database_of(site).write_bytes(b"no database at all " * 1000)
    for end, content in left.items():
        Path(f"{database_of(site)}{end}").write_bytes(content)
    restored(site, file)
    assert rows(database_of(site), PEOPLE) == [("alice",)]
    assert not Path(f"{database_of(site)}-wal").exists()


def test_it_is_not_put_back_under_a_running_site(site: Site) -> None:
    file = backup(site)
    site.story(REGISTER.format(names=["bob"]))
    with opened(database_of(site)) as running:
        running.execute(PEOPLE).fetchall()
        assert "Stop the site" in refused(site.manage("restore", str(file)))
        running.execute("UPDATE users_user SET name = 'goes on'")
    assert rows(database_of(site), PEOPLE) == [("alice",), ("bob",)]
    assert [each.name for each in (site.folder / "var").glob("db*")] == ["db.sqlite3"]


@pytest.mark.parametrize("content", [b"", b"SQL? No.\n" * 1000], ids=["empty", "text"])
def test_what_is_no_backup_replaces_nothing(site: Site, content: bytes) -> None:
    (site.folder / "x").write_bytes(content)
    for file in ("x", "nowhere"):
        refused(site.manage("restore", file))
    assert rows(database_of(site), PEOPLE) == [("alice",)]
    assert [each.name for each in (site.folder / "var").glob("db*")] == ["db.sqlite3"]


def test_a_database_that_was_put_back_by_hand_is_tidied(site: Site) -> None:
    done = site.manage("restore", "--already-loaded")
    assert done.returncode == 0, done.stderr
    assert rows(database_of(site), STATES) == [("cancelled",)]
    assert "Name the file" in refused(site.manage("restore"))


def test_postgresql_has_its_own_program(site: Site) -> None:
    url = {"DATABASE_URL": "postgres://cs_web@127.0.0.1:1/cs_web"}
    assert "pg_dump" in refused(site.manage("backup", "x", **url))
    assert "pg_restore" in refused(site.manage("restore", "manage.py", **url))
