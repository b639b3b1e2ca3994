"""Back-ups of SQLite: one file, made while the site runs, put back while it does not.

A database that was in use is three files. A copy of one of them beside the others of another day is
"malformed", and one that was put back by hand sends once more what waited when it was made.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from django.core.management import CommandError, call_command
from django.db import connection

from mail import api
from users.models import Session

BESIDE = ("-wal", "-shm", "-journal")
LOCK_SECONDS = 5.0
PAGES_A_STEP = 1000  # between two steps others may write

PG_DUMP = """\
{name} is for SQLite; this site uses PostgreSQL. To make a back-up while the site runs:

    pg_dump --format=custom --no-owner --file=FILE "$DATABASE_URL"

To put it back, with the site and all senders stopped:

    pg_restore --clean --if-exists --no-owner --dbname="$DATABASE_URL" FILE
    manage.py migrate && manage.py restore --already-loaded
"""


def database_file(name: str) -> Path:
    if connection.vendor != "sqlite":
        raise CommandError(PG_DUMP.format(name=name))
    return Path(connection.settings_dict["NAME"])


def make(file: Path) -> None:
    """Whole and consistent, whatever is being written meanwhile."""
    if file.exists():
        raise CommandError(f"{file} exists; a back-up replaces none.")
    with _beside(file) as part:
        _copy(database_file("backup"), part)
        part.replace(file)


def put_back(file: Path) -> tuple[int, Path | None]:
    """How many messages were cancelled, and where the database is now that was replaced."""
    target = database_file("restore")
    if not file.exists():
        raise CommandError(f"{file} does not exist.")
    stop_check(target)
    with _beside(target) as part:
        _copy(file, part)
        _use(part)  # what follows is done before any sender can see it
        call_command("migrate", verbosity=0)
        cancelled = leave_the_past()
        _use(target)
        owner = (target if target.exists() else target.parent).stat()
        os.chown(part, owner.st_uid, owner.st_gid)  # or the site could not write it
        part.chmod(0o640)
        aside = _move_aside(target)
        part.replace(target)
    return cancelled, aside


def leave_the_past() -> int:
    """What waited at the time of the back-up has left since, or is about somebody who is gone. And
    a session that has ended since must not begin again."""
    Session.objects.all().delete()
    waiting = api.Mail.objects.filter(state=api.State.PENDING)
    return waiting.update(
        state=api.State.CANCELLED, claimed=False, on_hold=False, error="It waited in a back-up."
    )


def stop_check(target: Path) -> None:
    """Only the last one who has a database open can take it out of the mode that the site uses."""
    if not target.exists():
        return
    database = sqlite3.connect(target, timeout=LOCK_SECONDS)
    try:
        database.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            raise CommandError(
                f"{target} is in use. Stop the site and all senders first; nothing was changed."
            ) from None
        # Damaged: that is why it is being replaced.
    finally:
        database.close()


def _copy(source: Path, part: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as one,
        contextlib.closing(sqlite3.connect(part)) as other,
    ):
        try:
            one.backup(other, pages=PAGES_A_STEP)
            other.execute("PRAGMA journal_mode = DELETE")  # so that it is one file
            [(verdict,)] = other.execute("PRAGMA quick_check(1)")
            ours = other.execute("SELECT 1 FROM sqlite_master WHERE name = 'users_user'").fetchone()
        except sqlite3.DatabaseError as error:
            raise CommandError(f"{source} cannot be read: {error}.") from None
    if verdict != "ok" or not ours:
        raise CommandError(f"{source} is no whole database of this site ({verdict}).")


def _use(file: Path) -> None:
    connection.close()
    connection.settings_dict["NAME"] = str(file)


@contextlib.contextmanager
def _beside(file: Path) -> Iterator[Path]:
    """A file for our eyes only, which is moved to its place at once, or not at all."""
    part = file.with_name(f"{file.name}.part-{os.getpid()}")
    part.touch(mode=0o600)
    try:
        yield part
    finally:
        for rest in ("", *BESIDE):
            Path(f"{part}{rest}").unlink(missing_ok=True)


def _move_aside(target: Path) -> Path | None:
    aside = target.with_name(f"{target.name}.replaced-{time.strftime('%Y%m%d-%H%M%S')}")
    for rest in BESIDE:
        with contextlib.suppress(FileNotFoundError):
            Path(f"{target}{rest}").replace(f"{aside}{rest}")
    if not target.exists():
        return None
    return target.replace(aside)
