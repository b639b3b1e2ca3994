"""When a session ends: some time after the sign-in, however much it is used, and earlier if it is
not. For staff both come sooner. How it is stored: `users.visitors`."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone

from users import visitors

BEGAN = "began"
# A session is a row, which is not written at each request: the idle end may come a little sooner.
SLACK = 0.05


def keep(request: HttpRequest) -> bool:
    """Counts as a use of the session; False if it has ended."""
    hours, idle_hours = settings.SESSION_HOURS, settings.SESSION_IDLE_HOURS
    if request.user.is_staff:
        hours, idle_hours = settings.STAFF_SESSION_HOURS, settings.STAFF_SESSION_IDLE_HOURS
    now, idle = timezone.now(), timedelta(hours=idle_hours)
    session: Any = request.session
    began = datetime.fromisoformat(session.setdefault(BEGAN, now.isoformat()))
    end = min(began + timedelta(hours=hours), now + idle)
    # Whatever else saves the session keeps this end.
    if abs(session.get_expiry_date() - end) > idle * SLACK:
        session.set_expiry(end)
    if end <= now:
        return False
    session.use(visitors.where(request))
    return True
