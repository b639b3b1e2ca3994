"""Django's cache in Redis, but for one that is away or frozen no page waits: it costs one of them a
quarter of a second in a minute."""

from typing import Any

import redis
from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from redis.backoff import NoBackoff
from redis.retry import Retry

from mail.breaker import Breaker

# For each step of one question. Without the retries of the library, each of which waits as long.
OPTIONS = {"socket_connect_timeout": 0.1, "socket_timeout": 0.15, "retry": Retry(NoBackoff(), 0)}
PAUSE = 60.0  # seconds

AWAY = (redis.ConnectionError, redis.TimeoutError)
breaker = Breaker(PAUSE)


class Client(redis.Redis):
    def execute_command(self, *args: Any, **options: Any) -> Any:
        if not breaker.lets_through():
            raise redis.ConnectionError("it did not answer a moment ago")
        try:
            answer = super().execute_command(*args, **options)
        except AWAY:
            breaker.report(worked=False)
            raise
        breaker.report(worked=True)
        return answer


class _Clients(RedisCacheClient):
    def __init__(self, servers: list[str], **options: Any) -> None:
        super().__init__(servers, **{**OPTIONS, **options})
        self._client = Client


class Redis(RedisCache):
    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._class = _Clients
