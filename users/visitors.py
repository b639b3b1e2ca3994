"""What we know about a visitor: their network, who has signed in with their browser, and the claim
that it made.

`limited`, `guarded` and `visitors_only` decorate views in `users.urls`. `limited` counts requests
by network in the cache: by each process alone, or by all together with CACHE_URL=redis://…. The
limit is generous, because a whole school may share one address.
"""

import functools
import ipaddress
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import VALID_KEY_CHARS, UpdateError
from django.core import signing
from django.core.cache import cache
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.crypto import get_random_string, salted_hmac

from users import devices
from users.models import Session, User, rows_of

log = logging.getLogger(__name__)

WINDOW = 60 * 60  # seconds
UNKNOWN = "unknown"

View = Callable[..., HttpResponseBase]


def visitors_only(view: View) -> View:
    """Redirects people who are signed in to the start page."""

    @functools.wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return redirect("home") if request.user.is_authenticated else view(request, *args, **kwargs)

    return wrapper


def limited(view: View, method: str = "POST", what: str = "forms") -> View:
    """Answers 429 to a network that has sent too many of these this hour."""

    @functools.wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method == method:
            # A customer of many networks may send more than one network, but not from each as much.
            # What is too many for a network is not counted for its neighbours.
            most, found = settings.FORMS_PER_NETWORK_LIMIT, networks(request) or [UNKNOWN]
            if any(_count(f"{what}:{one}") > most * 2**n for n, one in enumerate(found)):
                return _too_many(request)
        return view(request, *args, **kwargs)

    return wrapper


def _count(what: str) -> int:
    """The requests of this network in this hour, with this one. All forms share one counter."""
    key = f"{what}:{int(time.time()) // WINDOW}"
    try:
        cache.add(key, 0, WINDOW)
        return int(cache.incr(key))
    except Exception as error:  # every cache backend has its own exceptions
        # Registration works without the counter; the limits of the queue still apply.
        log.error("forms are not limited, because the cache does not answer: %s", error)
        return 1


def _too_many(request: HttpRequest) -> HttpResponse:
    response = render(request, "429.html", status=429)
    response.headers["Retry-After"] = str(WINDOW - int(time.time()) % WINDOW)
    return response


class Later(Exception):
    """A form is not looked at now, whatever is in it; nothing has changed."""

    status: int
    template: str

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after  # seconds


def guarded(view: View) -> View:
    """The page of a refusal by the guard (429), or while all slots for hashes are taken (503)."""

    @functools.wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except Later as later:
            log.warning("%s for %s", type(later).__name__, network(request))
            seconds = later.retry_after
            context = {"seconds": seconds, "minutes": seconds // 60 + 1}
            page = render(request, later.template, context, status=later.status)
            page.headers["Retry-After"] = str(seconds)
            return page

    return wrapper


def network(request: HttpRequest) -> str:
    """The client's network: an IPv4 address, or the /64 of an IPv6 address, which one household or
    laboratory shares."""
    return next(iter(networks(request)), UNKNOWN)


def networks(request: HttpRequest) -> list[str]:
    """The same, and then the /56 and the /48, which one customer of a provider may have whole.

    None for a server on a Unix socket without a trusted proxy.
    """
    hops = [hop.strip() for hop in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    proxies = settings.TRUSTED_PROXIES
    address = request.META.get("REMOTE_ADDR", "")
    # Each proxy appends the address of its peer; anything further left can be forged.
    if proxies and len(hops) >= proxies and hops[-proxies]:
        address = hops[-proxies]
    if address.startswith("["):  # some proxies append the port: [2001:db8::1]:4711
        address = address[1:].partition("]")[0]
    elif address.count(":") == 1:
        address = address.partition(":")[0]
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return []
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if isinstance(ip, ipaddress.IPv4Address):
        return [str(ip)]
    return [str(ipaddress.ip_network((int(ip), bits), strict=False)) for bits in (64, 56, 48)]


class Where(NamedTuple):
    """From where somebody did something, as far as we know. Both are texts of ours."""

    device: str = ""
    network: str = ""


NOWHERE = Where()


def where(request: HttpRequest) -> Where:
    found = network(request)
    known = "" if found == UNKNOWN else found
    return Where(devices.label(request.META.get("HTTP_USER_AGENT", "")), known)


def asker(request: HttpRequest) -> str:
    """A key of who asks for a message, which the limits of mail count; empty if that is unknown.

    Of IPv6 a /48, the most that one customer is given: whoever has it has 65,536 networks. A hash,
    because rows of mail are kept for weeks.
    """
    *_, customer = networks(request) or [""]
    if not customer:
        return ""
    return salted_hmac("users.visitors.asker", customer, algorithm="sha256").hexdigest()[:32]


# The browser: which names have signed in with it


DEVICE_SALT = "users.visitors.device"
DEVICE_MAX_AGE = 365 * 24 * 60 * 60  # seconds
DEVICE_NAMES = 8  # of four people: of each, the ID and the address


def device_of(request: HttpRequest) -> tuple[str, dict[str, datetime]]:
    """The id of this browser; the names of people (`guard.hashed`) who have signed in here, and
    when they last did. In a cookie of an older revision a name has no time."""
    device, *entries = _device(request)
    parts = [entry.partition(" ") for entry in entries]
    return device, {name: datetime.fromtimestamp(int(at or 0), UTC) for name, _, at in parts}


def remember_device(request: HttpRequest, response: HttpResponse, names: list[str]) -> None:
    """These names belong to somebody who has just proven, in this browser, who they are."""
    device, *others = _device(request)
    others = [entry for entry in others if entry.partition(" ")[0] not in names]
    here = [f"{name} {int(time.time())}" for name in names]
    value = [device, *here, *others][: DEVICE_NAMES + 1]
    response.set_cookie(
        settings.DEVICE_COOKIE_NAME,
        signing.dumps(value, salt=DEVICE_SALT),
        max_age=DEVICE_MAX_AGE,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def _device(request: HttpRequest) -> list[str]:
    """What the cookie says: an id, and names with times. A new id if it is missing or not ours."""
    cookie = request.COOKIES.get(settings.DEVICE_COOKIE_NAME, "")
    try:
        return signing.loads(cookie, salt=DEVICE_SALT, max_age=DEVICE_MAX_AGE)  # type: ignore[no-any-return]
    except signing.BadSignature:
        return [get_random_string(16)]


# The claim: in the session, and useless once it is activated


CLAIM, ASKED = "claim", "asked"


def form_key(request: HttpRequest) -> str:
    """Of this browser, by the secret that its forms carry; empty without one."""
    secret = request.META.get("CSRF_COOKIE", "")
    return salted_hmac("users.visitors.form", secret).hexdigest()[:32] if secret else ""


def remember_claim(request: HttpRequest, claim: User, *, asked: bool = False) -> None:
    """This browser has registered (so it has `asked` for a message), or has given the password."""
    if request.session.session_key:  # whoever knew the old session must not see the claim
        request.session.cycle_key()
    request.session[CLAIM] = str(claim.pk)
    request.session[ASKED] = [claim.created_at.timestamp()] if asked else []


def forget_claim(request: HttpRequest) -> None:
    request.session.pop(CLAIM, None)
    request.session.pop(ASKED, None)


def remember_asking(request: HttpRequest, *, elsewhere: bool = False) -> None:
    """This browser has just asked for its message; `elsewhere`: at another address than before."""
    before = [] if elsewhere else request.session.get(ASKED, [])
    request.session[ASKED] = [*before[-1:], timezone.now().timestamp()]


def times_asked(request: HttpRequest) -> list[datetime]:
    """The last time that this browser has asked, after the one before, if there was one."""
    return [datetime.fromtimestamp(at, UTC) for at in request.session.get(ASKED, [])]


def is_claim_of(request: HttpRequest, person: User, *, include_expired: bool = False) -> bool:
    """Whether `claim_of` would find this person, who is waiting: without asking again."""
    expired = person.claim_is_expired and not include_expired
    return request.session.get(CLAIM) == str(person.pk) and not expired


def claim_of(request: HttpRequest, *, include_expired: bool = False) -> User | None:
    """This browser's claim, if it has not expired; an expired one where a new link revives it."""
    pk = request.session.get(CLAIM)
    claim = User.objects.waiting().filter(pk=pk).first() if pk else None
    return claim if claim and (include_expired or not claim.claim_is_expired) else None


# The session, as it is stored: our own table, which knows whose it is

# Until the browser is closed: what was not ticked at the sign-in.
FLEETING = "fleeting"
WRITTEN = [field.attname for field in Session._meta.concrete_fields if field.name in (
    "session_data", "expire_date", "person", "device", "network", "started_at", "last_used_at"
)]  # fmt: skip
BY_KEY = "SELECT * FROM users_session WHERE session_key = %s"
# Its last use is written at most so often.
WRITTEN_EVERY = timedelta(minutes=5)


class SessionStore(db.SessionStore):
    """Django's, which takes up to nine statements for a sign-in. Here it is one: a new key is only
    noted, and written at the end of the request with all the rest."""

    model = Session
    _session: Any
    _session_cache: Any
    _is_new = False  # without a row
    _old_key: str | None = None  # of the row that is to get the new key
    where = NOWHERE  # of the last use that was written
    started_at: datetime | None = None  # the sign-in
    last_used_at: datetime | None = None  # None: no row was read

    def load(self) -> dict[str, Any]:
        row = next(iter(rows_of(Session, BY_KEY, self.session_key)), None)
        if row is None or row.expire_date <= timezone.now():
            self._session_key = None
            return {}
        self.where = Where(row.device, row.network)
        self.started_at, self.last_used_at = row.started_at, row.last_used_at
        return self.decode(row.session_data)

    def get_expire_at_browser_close(self) -> bool:
        return bool(self.get(FLEETING, super().get_expire_at_browser_close()))

    def create(self) -> None:
        self._is_new, self._old_key = True, None
        self.cycle_key()

    def cycle_key(self) -> None:
        self._session_cache = self._session
        if not self._is_new:
            self._is_new, self._old_key = True, self.session_key
        # 165 bits: nobody has the same, so nobody is asked.
        self._session_key, self.modified = get_random_string(32, VALID_KEY_CHARS), True

    @property
    def stored_key(self) -> str | None:
        """Of its row, which gets a new key only at the end of the request."""
        return self._old_key or self.session_key

    def save(self, must_create: bool = False) -> None:
        if self.session_key is None:
            self._is_new, self._session_key = True, get_random_string(32, VALID_KEY_CHARS)
        row = cast(Session, self.create_model_instance(self._session))
        if person := self._session.get(SESSION_KEY):
            row.person_id = person
            row.device, row.network = self.where
            row.started_at = self.started_at
        row.last_used_at = self.last_used_at = timezone.now()
        rows = Session.objects.all()
        changes = {name: getattr(row, name) for name in WRITTEN}
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
        rows = Session.objects.filter(pk__in=[key for key in keys if key])
        rows._raw_delete(rows.db)  # no row hangs on it

    def use(self, where: Where) -> None:
        """Notes when, and from where, now and then: by a statement that can bring nothing back."""
        now = timezone.now()
        if self.last_used_at is None or now - self.last_used_at < WRITTEN_EVERY:
            return
        self.last_used_at, self.where = now, where
        changes = {"last_used_at": now, "device": where.device, "network": where.network}
        with suppress(DatabaseError):  # one that takes no writes can still show a page
            Session.objects.filter(pk=self.session_key).update(**changes)


def registered_by(request: HttpRequest) -> User | None:
    """What this browser has registered, whatever became of it; None if it is gone."""
    pk = request.session.get(CLAIM)
    return User.objects.filter(pk=pk).first() if pk else None


def has_registered(request: HttpRequest) -> bool:
    return CLAIM in request.session


# What was asked for by a form that is open to everybody, for the page after it: in a cookie, so
# that it costs no row

REQUESTED_SALT = "users.visitors.requested"
REQUESTED_MAX_AGE = 60 * 60  # seconds


def remember_request(request: HttpRequest, response: HttpResponse, address: str) -> HttpResponse:
    """This browser has just asked for a link to this address, which may be anybody's."""
    response.set_cookie(
        settings.REQUESTED_COOKIE_NAME,
        signing.dumps([address, time.time()], salt=REQUESTED_SALT),
        max_age=REQUESTED_MAX_AGE,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    return response


def requested(request: HttpRequest) -> tuple[str, datetime | None]:
    """The address, and when it was; nothing, if it was not in this hour."""
    cookie = request.COOKIES.get(settings.REQUESTED_COOKIE_NAME, "")
    try:
        address, at = signing.loads(cookie, salt=REQUESTED_SALT, max_age=REQUESTED_MAX_AGE)
    except signing.BadSignature:
        return "", None
    return address, datetime.fromtimestamp(at, UTC)
