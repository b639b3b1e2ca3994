"""Django's SQLite, with a time-out of the write lock for whoever opens the connection."""

from typing import Any

from django.db.backends.sqlite3 import base

from cs_web.databases import lock_seconds


class DatabaseWrapper(base.DatabaseWrapper):
    def get_connection_params(self) -> dict[str, Any]:
        return {"timeout": lock_seconds(), **super().get_connection_params()}
