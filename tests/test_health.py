"""/healthz, as a monitor asks it."""

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from cs_web import health
from mail.causes import Cause
from mail.models import Mail, Pulse, State
from mail.queue.alarms import alarms
from mail.queue.engines import threads
from mail.queue.letters import letters
from mail.queue.posting import post
from tests.conftest import Clock, deliver_all
from tests.servers import free_port

pytestmark = pytest.mark.django_db
TOKEN = "only the monitor knows this"


@pytest.fixture(autouse=True)
def _senders_at_work(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "probe", health.Probe())
    Pulse.objects.create(pk=1, at=timezone.now())


def ask(**headers: str) -> Any:
    return Client().get("/healthz", headers=headers)


def overdue(**age: int) -> None:
    due = timezone.now() - timedelta(**age)
    Mail.objects.create(letter="register", address="secret@example.com", language="ko", due=due)


def test_a_site_that_is_well_says_so() -> None:
    response = ask()
    assert response.status_code == 200
    assert response.json() == {
        "status": "ok",
        "database": "ok",
        "oldest_overdue_seconds": 0,
        "alarm": "none",
        "cache": "ok",
        "engine": "work",
    }


def test_nothing_is_stored_anywhere() -> None:
    response = ask()
    assert "no-store" in response["Cache-Control"]
    assert not response.cookies
    assert "Set-Cookie" not in response


def test_a_monitor_may_come_by_any_name_and_without_https(settings: Any) -> None:
    settings.ALLOWED_HOSTS, settings.SECURE_SSL_REDIRECT = ["cs.example.ac.kr"], True
    assert ask(host="cs.example.ac.kr").status_code == 200
    assert ask(host="10.0.0.7:8001").status_code == 200
    assert Client().get("/", headers={"host": "10.0.0.7"}).status_code == 400


def test_a_person_reads_plain_lines() -> None:
    response = ask(accept="text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
    assert response["Content-Type"].startswith("text/plain")
    assert response.text.splitlines()[:2] == ["status: ok", "database: ok"]
    assert ask(accept="*/*")["Content-Type"] == "application/json"


def test_it_only_answers_questions() -> None:
    assert Client().head("/healthz").status_code == 200
    for method in ("post", "put", "delete"):
        assert getattr(Client(), method)("/healthz").status_code == 405
    assert Client().get("/healthz/").status_code == 404


def fail(mail: Mail) -> None:
    raise LookupError("no such template")


def test_a_letter_that_cannot_be_written_is_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    """A template that is broken, say: nothing else would show it but the log."""
    post("password_reset", address="a@example.com")
    with monkeypatch.context() as broken:
        broken.setitem(letters, "password_reset", replace(letters["password_reset"], decide=fail))
        deliver_all()
    assert ask().status_code == 503
    assert ask().json()["failing"] == 1
    Mail.objects.update(state=State.SENT, sent_at=timezone.now())
    assert "failing" not in ask().json()


def test_it_is_cheap(django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(6):
        ask()
    with django_assert_max_num_queries(5):
        ask()


# Whether it can be written


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(health, "probe", health.Probe(clock))
    return clock


def full(execute: Any, sql: str, *rest: Any) -> Any:
    if sql.startswith(("INSERT", "UPDATE")):
        raise OperationalError("database or disk is full")
    return execute(sql, *rest)


@pytest.mark.django_db(transaction=True)
def test_a_disk_that_is_full_is_trouble(clock: Clock) -> None:
    with connection.execute_wrapper(full):
        response = ask()
        assert response.status_code == 503
        assert response.json()["database"] == "takes no writes"
        assert response.json()["engine"] == "work", "the rest is reported all the same"
        clock.now += health.WRITE_EVERY
        assert ask().status_code == 503
    clock.now += health.WRITE_EVERY
    assert ask().json()["database"] == "ok"


def test_it_writes_once_in_some_seconds_whoever_asks(clock: Clock) -> None:
    written: list[str] = []

    def count(execute: Any, sql: str, *rest: Any) -> Any:
        written.extend([sql] if sql.startswith(("INSERT", "UPDATE")) else [])
        return execute(sql, *rest)

    with connection.execute_wrapper(count):
        for _ in range(10):
            ask()
        assert len(written) == 1
        clock.now += health.WRITE_EVERY
        for _ in range(10):
            ask()
        assert len(written) == 2


def test_a_stranger_makes_it_write_nothing(clock: Clock) -> None:
    with connection.execute_wrapper(full):
        assert ask(x_forwarded_for="203.0.113.7").json() == {"status": "ok"}
    assert Pulse.objects.count() == 1, "of the senders"


def test_the_probe_keeps_one_row(clock: Clock) -> None:
    for _ in range(3):
        ask()
        clock.now += health.WRITE_EVERY
    assert Pulse.objects.count() == 2


def test_mail_that_is_a_little_late_is_no_trouble() -> None:
    overdue(minutes=4, seconds=50)
    response = ask()
    assert response.status_code == 200
    assert 290 <= response.json()["oldest_overdue_seconds"] <= 299


def test_mail_that_nobody_sends_is_trouble() -> None:
    overdue(minutes=1)
    overdue(minutes=5, seconds=10)
    response = ask()
    assert response.status_code == 503
    assert response.json()["status"] == "trouble"
    assert 310 <= response.json()["oldest_overdue_seconds"] <= 319
    assert "secret" not in response.text


def test_mail_whose_time_has_not_come_is_no_trouble() -> None:
    overdue(minutes=-60)
    assert ask().json()["oldest_overdue_seconds"] == 0


def test_an_alarm_is_trouble_and_its_words_stay_inside() -> None:
    alarms.raise_(Cause.SENDER, "the sender was refused: 553 <office@example.com>")
    response = ask()
    assert response.status_code == 503
    assert response.json()["alarm"].startswith("mail cannot leave, since 20")
    assert "office" not in response.text
    assert "office" not in ask(accept="text/plain").text


def test_a_database_that_is_away_is_trouble_and_no_500() -> None:
    def away(*_: Any) -> None:
        raise OperationalError("connection to server at 10.0.0.3 failed: password of cs_web")

    with connection.execute_wrapper(away):
        response = ask()
    assert response.status_code == 503
    assert response.json()["database"] == "does not answer"
    assert response.json()["cache"] == "ok", "the rest is reported all the same"
    assert "10.0.0.3" not in response.text


def test_a_cache_that_is_away_is_trouble_and_no_500(settings: Any) -> None:
    redis = "django.core.cache.backends.redis.RedisCache"
    location = f"redis://:secret@127.0.0.1:{free_port()}"
    before, settings.CACHES = settings.CACHES, {"default": {"BACKEND": redis, "LOCATION": location}}
    response = ask()
    settings.CACHES = before
    assert response.status_code == 503
    assert response.json()["cache"] == "does not answer"
    assert "secret" not in response.text


# Who sees what


def test_a_stranger_gets_a_word_that_no_mail_changes() -> None:
    strangers: list[dict[str, str]] = [
        {"x_forwarded_for": "203.0.113.7"},
        {"x_forwarded_proto": "https"},
        {"forwarded": "for=203.0.113.7"},
        {"via": "1.1 proxy"},
        {"authorization": "Bearer guessed"},
    ]
    overdue(minutes=10)
    alarms.raise_(Cause.LOGIN, "the login was refused")
    Pulse.objects.all().delete()
    for headers in strangers:
        response = Client(REMOTE_ADDR="203.0.113.7").get("/healthz", headers=headers)
        assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert ask(x_forwarded_for="203.0.113.7").json() == {"status": "ok"}
    assert ask().status_code == 503, "the machine itself sees more"


def test_a_stranger_is_told_that_the_site_cannot_answer() -> None:
    def away(*_: Any) -> None:
        raise OperationalError("connection to server at 10.0.0.3 failed")

    with connection.execute_wrapper(away):
        response = ask(x_forwarded_for="203.0.113.7")
    assert (response.status_code, response.json()) == (503, {"status": "trouble"})


def test_a_monitor_shows_its_token(settings: Any) -> None:
    settings.HEALTH_TOKEN = TOKEN
    client = Client(REMOTE_ADDR="203.0.113.7")
    right = {"authorization": f"Bearer {TOKEN}", "x_forwarded_for": "203.0.113.7"}
    assert client.get("/healthz", headers=right).json()["engine"] == "work"
    for wrong in ("Bearer ", "", f"Bearer {TOKEN}x", TOKEN[:-1]):
        response = client.get("/healthz", headers={"authorization": wrong})
        assert response.json() == {"status": "ok"}


def test_without_a_token_in_the_configuration_none_is_right(settings: Any) -> None:
    assert settings.HEALTH_TOKEN == ""
    for header in ({}, {"authorization": ""}, {"authorization": "Bearer "}):
        client = Client(REMOTE_ADDR="203.0.113.7", headers=header)
        assert client.get("/healthz").json() == {"status": "ok"}


# The engine


@pytest.mark.parametrize("age", [timedelta(minutes=1), None])
def test_senders_that_do_not_run_are_trouble(age: timedelta | None) -> None:
    Pulse.objects.all().delete()
    if age:
        Pulse.objects.create(pk=1, at=timezone.now() - age)
    response = ask()
    assert response.status_code == 503
    assert response.json()["engine"] == "no `mail work` is running"


@pytest.fixture
def pool(settings: Any, monkeypatch: Any) -> threads.Pool:
    """The engine of this process, with threads that a test makes."""
    settings.MAIL_ENGINE = "threads"
    pool = threads.Pool()
    monkeypatch.setattr(pool, "start", lambda: None)  # the request would
    monkeypatch.setattr(threads, "_pool", pool)
    return pool


def test_an_engine_that_nothing_has_woken_is_well(pool: threads.Pool) -> None:
    assert ask().json()["engine"] == "threads"
    assert ask().status_code == 200


def test_an_engine_whose_threads_live_is_well(pool: threads.Pool) -> None:
    pool.threads = [threading.current_thread()]
    assert ask().json()["engine"] == "threads"
    assert ask().status_code == 200


def test_an_engine_that_has_lost_a_thread_is_trouble(pool: threads.Pool) -> None:
    ended = threading.Thread(target=lambda: None)
    ended.start()
    ended.join()
    pool.threads = [threading.current_thread(), ended]
    response = ask()
    assert response.status_code == 503
    assert response.json()["engine"] == "1 of 2 threads have ended"
