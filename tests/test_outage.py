"""A database in trouble: a page that says so, a line in the log, a message to ADMINS."""

import io
import logging
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core import mail as django_mail
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.db.utils import DatabaseErrorWrapper
from django.test import Client

from cs_web import databases, outage
from cs_web.logs import AdminReports, Console, OneLine
from cs_web.outage import Lines, outage_in
from tests.conftest import registration, sign_in
from users.models import User

# What is one


def locked(file: Path) -> None:
    other = sqlite3.connect(file)
    other.execute("BEGIN EXCLUSIVE")
    sqlite3.connect(file, timeout=0).execute("INSERT INTO t VALUES (1)")


def read_only(file: Path) -> None:
    sqlite3.connect(f"file:{file}?mode=ro", uri=True).execute("INSERT INTO t VALUES (1)")


def full(file: Path) -> None:
    database = sqlite3.connect(file)
    database.execute("PRAGMA max_page_count = 2")
    database.execute("INSERT INTO t VALUES (?)", ["x" * 100_000])


def malformed(file: Path) -> None:
    file.write_bytes(b"no database " * 1000)
    sqlite3.connect(file).execute("SELECT * FROM t")


def gone(file: Path) -> None:
    sqlite3.connect(file.parent / "nowhere" / "db")


@pytest.mark.parametrize("fault", [locked, read_only, full, malformed, gone])
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_file_that_cannot_be_used_is_an_outage(
    fault: Callable[[Path], None], tmp_path: Path
) -> None:
    database = sqlite3.connect(tmp_path / "db")
    database.execute("CREATE TABLE t (x)")
    database.commit()
    with pytest.raises(DatabaseError) as caught, DatabaseErrorWrapper(connection):
        fault(tmp_path / "db")
    assert outage_in(caught.value) is caught.value.__cause__


@pytest.mark.parametrize(
    "statement", ["SELECT * FROM nowhere", "SELEKT", "INSERT INTO t VALUES (1)"]
)
def test_a_statement_that_is_refused_is_none(statement: str) -> None:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE t (x CHECK (x > 1))")
    with pytest.raises(sqlite3.Error) as caught:
        database.execute(statement)
    assert outage_in(caught.value) is None
    database.close()


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("server closed the connection unexpectedly"),
        psycopg.InterfaceError("the connection is closed"),
        psycopg.errors.AdminShutdown(),
        psycopg.errors.CannotConnectNow(),
        psycopg.errors.ConnectionTimeout(),
        psycopg.errors.DiskFull(),
        psycopg.errors.LockNotAvailable(),
        psycopg.errors.QueryCanceled(),
        psycopg.errors.ReadOnlySqlTransaction(),
        psycopg.errors.TooManyConnections(),
        OperationalError("of Django's own"),
        InterfaceError("connection already closed"),
    ],
)
def test_a_server_that_does_not_serve_is_an_outage(error: Exception) -> None:
    assert outage_in(error) is error


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.DeadlockDetected(),
        psycopg.errors.SerializationFailure(),
        psycopg.errors.UndefinedTable(),
        psycopg.errors.UniqueViolation(),
        ValueError("OperationalError"),
        None,
    ],
)
def test_what_a_server_refuses_is_none(error: Exception | None) -> None:
    assert outage_in(error) is None


# The page


@pytest.fixture
def away(db: None) -> Any:
    """A database that answers nothing."""

    def refuse(*_: Any) -> None:
        raise OperationalError("connection to server at 10.0.0.3 failed")

    with connection.execute_wrapper(refuse):
        yield


def visitor(language: str = "en") -> Client:
    return Client(raise_request_exception=False, headers={"accept-language": language})


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("ko", "잠시 후 다시"),
        ("en", "Please try again in a minute."),
        ("zh-hant", "請於一分鐘後再試"),
    ],
)
def test_a_visitor_reads_it_in_their_language(away: None, language: str, words: str) -> None:
    for response in (
        visitor(language).post("/users/register/", registration()),
        visitor(language).post("/users/password/reset/", {"email": "alice@example.com"}),
        sign_in(visitor(language), "alice"),
    ):
        assert response.status_code == 503
        assert response["Retry-After"] == "30"
        assert "no-store" in response["Cache-Control"]
        assert response["Content-Language"] == language
        assert words in response.text
        assert "10.0.0.3" not in response.text


def test_so_does_who_is_signed_in(alice: User) -> None:
    def refuse(*_: Any) -> None:
        raise OperationalError("database is locked")

    browser = visitor()
    sign_in(browser, "alice")
    asked: list[str] = []

    def refused(execute: Any, sql: str, *_: Any) -> None:
        asked.append(sql)
        refuse()

    with connection.execute_wrapper(refused):
        response = browser.get("/")
    assert response.status_code == 503
    assert len(asked) == 1, "each question would be one more wait"


@pytest.mark.django_db(transaction=True)
def test_who_has_waited_in_vain_hurries_the_next_in_line(monkeypatch: Any) -> None:
    monkeypatch.setattr(databases, "_hurry_until", 0.0)
    closed: list[bool] = []
    monkeypatch.setattr(databases.connection, "close", lambda: closed.append(True))

    def busy(*_: Any) -> None:
        error = sqlite3.OperationalError("database is locked")
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        raise OperationalError from error

    with databases.waiting(databases.VISITOR):
        assert databases.lock_seconds() == databases.VISITOR.lock
    with connection.execute_wrapper(busy):
        assert visitor().post("/users/register/", registration()).status_code == 503
    assert closed, "or its connection would be as patient as before"
    assert databases.lock_seconds() == databases.OTHERS.lock, "senders are in no hurry"
    with databases.waiting(databases.VISITOR):
        assert databases.lock_seconds() == databases.HURRY
        monkeypatch.setattr(databases, "_hurry_until", 1.0)
        assert databases.lock_seconds() == databases.VISITOR.lock


def test_a_page_that_needs_no_database_is_there(away: None) -> None:
    for page in ("/", "/users/login/", "/users/register/", "/users/password/reset/"):
        assert visitor().get(page).status_code == 200


@pytest.fixture
def broken(db: None, monkeypatch: Any) -> None:
    def fault(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("users.accounts.register", fault)


@pytest.mark.parametrize(
    ("language", "words"),
    [("ko", "오류가 발생했습니다"), ("en", "Something went wrong"), ("zh-hant", "發生錯誤")],
)
def test_any_other_error_is_the_site_s_own(
    broken: None, settings: Any, language: str, words: str
) -> None:
    settings.SITE_NAME = {"ko": "수학과", "en": "Mathematics", "zh-hant": "數學系"}
    response = visitor(language).post("/users/register/", registration())
    assert response.status_code == 500
    assert f"<h1>{words}</h1>" in response.text
    assert settings.SITE_NAME[language] in response.text
    assert response.text.count("<h1>") == 1


def test_where_that_page_fails_too_a_plain_one_is_left(broken: None, settings: Any) -> None:
    settings.SITE_NAME = {}  # every page of ours shows it
    response = visitor().post("/users/register/", registration())
    assert response.status_code == 500
    for words in ("오류가 발생했습니다", "Something went wrong", "發生錯誤"):
        assert words in response.text


# The log


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(clock: Clock, monkeypatch: Any) -> Any:
    """A logger with the filter and the format of the console's; and what it has written."""
    monkeypatch.setattr(outage, "lines", Lines(clock))
    written = io.StringIO()
    handler = Console(written)
    handler.setFormatter(OneLine("\n"))
    logger = logging.Logger("some.module")
    logger.addHandler(handler)
    return logger, lambda: written.getvalue().splitlines()


def fail(logger: logging.Logger, error: Exception) -> None:
    try:
        raise error
    except type(error):
        logger.exception("a message could not be delivered")


def test_it_is_one_line_a_minute_without_a_traceback(log: Any, clock: Clock) -> None:
    logger, lines = log
    for _ in range(1000):
        fail(logger, OperationalError("database is locked"))
    [line] = lines()
    assert "database is locked" in line
    assert "a message could not be delivered" in line
    clock.now += 60
    fail(logger, OperationalError("database is locked"))
    assert "999 times" in lines()[1]
    assert len(lines()) == 2


def test_other_errors_keep_their_traceback(log: Any) -> None:
    logger, lines = log
    fail(logger, OperationalError("database is locked"))
    fail(logger, ZeroDivisionError("a bug"))
    logger.info("and what is no error at all")
    assert any("Traceback" in line for line in lines()[1:])
    assert lines()[-1].endswith("and what is no error at all")


def test_a_visitor_costs_no_traceback(away: None, log: Any) -> None:
    logger, lines = log
    logging.getLogger("django.request").addHandler(logger.handlers[0])
    logging.getLogger(outage.__name__).addHandler(logger.handlers[0])
    try:
        for _ in range(5):
            assert visitor().post("/users/register/", registration()).status_code == 503
    finally:
        logging.getLogger("django.request").removeHandler(logger.handlers[0])
        logging.getLogger(outage.__name__).removeHandler(logger.handlers[0])
    assert len(lines()) == 1


# ADMINS


@pytest.fixture
def admins(settings: Any, tmp_path: Path) -> None:
    settings.ADMINS = [("Kim", "kim@example.com"), ("Lee", "lee@example.com")]
    settings.VAR_DIR = tmp_path


def test_admins_are_told_once_and_without_the_database(admins: None) -> None:
    """No fixture gives this test a database: any question to it would raise."""
    for _ in range(3):  # as many processes
        outage.report_to_admins("database or disk is full")
    assert [letter.to for letter in django_mail.outbox] == [
        ["kim@example.com"],
        ["lee@example.com"],
    ]
    assert "database or disk is full" in django_mail.outbox[0].body


def test_they_are_told_again_when_it_lasts(admins: None, tmp_path: Path, time_machine: Any) -> None:
    outage.report_to_admins("locked")
    time_machine.move_to(time.time() + outage.REPORT_EVERY + 60)
    outage.report_to_admins("locked")
    assert len(django_mail.outbox) == 4


def test_a_disk_that_takes_no_file_keeps_nobody_from_telling(
    admins: None, monkeypatch: Any
) -> None:
    def refused(*_: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "touch", refused)
    outage.report_to_admins("attempt to write a readonly database")
    assert len(django_mail.outbox) == 2


def test_a_mail_server_that_is_away_as_well_is_a_line(
    admins: None, settings: Any, caplog: Any
) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.Away"
    outage.report_to_admins("locked")
    [record] = [record for record in caplog.records if record.name == outage.__name__]
    assert "could not be reported" in record.getMessage()


class Away:
    def __init__(self, **_: Any) -> None:
        raise ConnectionRefusedError


def test_the_first_line_starts_the_report(
    admins: None, log: Any, clock: Clock, monkeypatch: Any
) -> None:
    told: list[str] = []

    class AtOnce:
        def __init__(self, target: Any, args: list[str], daemon: bool) -> None:
            self.start = lambda: told.append(*args)

    monkeypatch.setattr(outage.threading, "Thread", AtOnce)
    logger, _ = log
    for _ in range(3):
        fail(logger, OperationalError("database is locked"))
        clock.now += 60
    assert told == ["database is locked"]


def test_no_report_of_it_goes_by_the_queue(admins: None) -> None:
    """Which would ask the database: here that raises."""
    try:
        raise OperationalError("database is locked")
    except OperationalError as error:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "x", (), (type(error), error, None))
    AdminReports().handle(record)
