"""Sessions: how they are stored, and when one ends: some time after the sign-in, however much it
is used, and earlier if it is not. For staff both come sooner."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import VALID_KEY_CHARS, UpdateError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import get_random_string

BEGAN = "began"
# A session is a row, which is not written at each request: the idle end may come a little sooner.
SLACK = 0.05


def keep(request: HttpRequest) -> bool:
    """Counts as a use of the session; False if it has ended."""
    hours, idle_hours = settings.SESSION_HOURS, settings.SESSION_IDLE_HOURS
    if request.user.is_staff:
        hours, idle_hours = settings.STAFF_SESSION_HOURS, settings.STAFF_SESSION_IDLE_HOURS
    now, idle, session = timezone.now(), timedelta(hours=idle_hours), request.session
    began = datetime.fromisoformat(session.setdefault(BEGAN, now.isoformat()))
    end = min(began + timedelta(hours=hours), now + idle)
    # Whatever else saves the session keeps this end.
    if abs(session.get_expiry_date() - end) > idle * SLACK:
        session.set_expiry(end)
    return end > now


class SessionStore(db.SessionStore):
    """Django's, which takes up to nine statements for a sign-in. Here it is one: a new key is only
    noted, and written at the end of the request with all the rest."""

    _session: Any
    _get_session: Any
    _is_new = False  # without a row
    _old_key: str | None = None  # of the row that is to get the new key

    def _get_new_session_key(self) -> str:
        return get_random_string(32, VALID_KEY_CHARS)  # 165 bits: nobody has the same

    def create(self) -> None:
        self._session_key = self._get_new_session_key()
        self._is_new, self._old_key, self.modified = True, None, True

    def cycle_key(self) -> None:
        data = self._session
        old_key = self._old_key if self._is_new else self.session_key
        self.create()
        self._old_key, self._session_cache = old_key, data

    def save(self, must_create: bool = False) -> None:
        if self.session_key is None:
            self._get_session(no_load=True)
            self.create()
        row = self.create_model_instance(self._session)
        rows = self.model.objects.all()
        changes: dict[str, Any] = {"session_data": row.session_data, "expire_date": row.expire_date}
        if not self._is_new and not must_create:
            if not rows.filter(pk=row.pk).update(**changes):
                raise UpdateError
        elif not (
            self._old_key and rows.filter(pk=self._old_key).update(session_key=row.pk, **changes)
        ):
            row.save(force_insert=True)
        self._is_new, self._old_key = False, None

    def delete(self, session_key: str | None = None) -> None:
        keys = [session_key] if session_key else [self.session_key, self._old_key]
        rows = self.model.objects.filter(pk__in=[key for key in keys if key])
        rows._raw_delete(rows.db)  # no row hangs on it
