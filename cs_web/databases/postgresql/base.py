"""Django's PostgreSQL, but nobody waits for ever for one that is frozen, or deaf behind a proxy.

No setting of the server or the kernel ends that wait: the server's own time-outs are frozen with
it, and what TCP asks is answered by the kernel, or by the proxy.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
from django.db.backends.postgresql import base

from cs_web.databases import VISITOR, patience
from mail.breaker import Breaker

# After a silence the visitors of this process get their 503 at once; one in a while asks again.
silence = Breaker(5.0)

# For a machine or a network that is gone: what was sent is acknowledged within ten seconds.
TCP = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 10_000,  # milliseconds
}


class DatabaseWrapper(base.DatabaseWrapper):
    def get_connection_params(self) -> dict[str, Any]:
        ours: dict[str, Any] = {"connect_timeout": patience.get().connect, **TCP}
        if patience.get() is VISITOR:
            # It ends there, too, and the connection can be used again.
            ours["options"] = "-c statement_timeout=2s"
        return {**ours, **super().get_connection_params()}

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = _asked(partial(super().get_new_connection, conn_params))
        connection.wait = partial(_wait, connection, connection.wait)
        return connection


def _wait(connection: Any, wait: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """psycopg waits here for every answer."""
    options.setdefault("timeout", patience.get().answer)
    try:
        return _asked(partial(wait, *args, **options))
    except Silent:
        connection.pgconn.finish()  # whatever may still come would answer another question
        raise


class Silent(psycopg.OperationalError):
    """No answer in time, or none for the one who has just asked."""


def _asked(ask: Callable[[], Any]) -> Any:
    if patience.get() is VISITOR and not silence.lets_through():
        raise Silent("the database has just been silent")
    try:
        answer = ask()
    except (psycopg.errors.ConnectionTimeout, psycopg.errors._WaitTimeout) as error:
        silence.report(worked=False)
        raise Silent("the database does not answer in time") from error
    except psycopg.Error:  # an answer, too
        _heard()
        raise
    _heard()
    return answer


def _heard() -> None:
    if silence.next_try is not None:
        silence.report(worked=True)
