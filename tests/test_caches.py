"""A Redis that takes connections and never answers: asked once, then left alone for a minute."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.test import Client

from cs_web import caches
from mail.breaker import Breaker
from tests.conftest import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(caches, "breaker", Breaker(caches.PAUSE, clock))
    return clock


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@pytest.fixture
def cache(silent: socket.socket, clock: Clock) -> caches.Redis:
    return caches.Redis(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", {})


def connections(server: socket.socket) -> int:
    """How many have come since this was asked before."""
    number = 0
    try:
        while True:
            server.accept()[0].close()
            number += 1
    except BlockingIOError:
        return number


def test_one_in_a_minute_asks_a_redis_that_is_silent(
    cache: caches.Redis, silent: socket.socket, clock: Clock
) -> None:
    for _ in range(5):
        with pytest.raises(redis.RedisError):
            cache.add("forms", 0)
    assert connections(silent) == 1
    clock.now += caches.PAUSE
    for _ in range(5):
        with pytest.raises(redis.RedisError):
            cache.incr("forms")
    assert connections(silent) == 1


def test_a_form_asks_it_once_and_is_answered(
    db: None, silent: socket.socket, clock: Clock, settings: Any
) -> None:
    location = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
    before, settings.CACHES = (
        settings.CACHES,
        {"default": {"BACKEND": "cs_web.caches.Redis", "LOCATION": location}},
    )
    response = Client().post("/users/password/reset/", {"email": "alice@example.com"})
    settings.CACHES = before
    assert response.status_code == 302
    assert connections(silent) == 1


def test_what_redis_refuses_is_no_silence(clock: Clock, monkeypatch: Any) -> None:
    """An answer, though not the wanted one: the next question is asked."""
    asked: list[bool] = []

    def refuse(*_: Any, **__: Any) -> None:
        asked.append(True)
        raise redis.ResponseError("OOM command not allowed")

    monkeypatch.setattr(redis.Redis, "execute_command", refuse)
    for _ in range(2):
        with pytest.raises(redis.ResponseError):
            caches.Client().execute_command("SET")
    assert len(asked) == 2
