"""Who lives in the state machine's town (`test_machine.py`), what they hold, and what the site
knows of them."""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib import auth
from django.http import HttpRequest
from django.test import Client
from django.utils import timezone
from django.utils.http import urlsafe_base64_encode

from mail.models import Mail, mailbox_of
from users.models import DELETED_AFTER, UNDO_FOR, Session, User

OWNERS, STRANGERS = ("alice", "bora"), ("mallory", "eve", "trent")
VISITORS = OWNERS + STRANGERS
MAILBOX = {name: f"{name}@example.com" for name in VISITORS} | {"bora": "bora.kim@gmail.com"}
SECOND = {name: f"{name}.second@example.com" for name in OWNERS}  # where they may move to
ADDRESSES = [*MAILBOX.values(), "ALICE@example.com", "borakim+x@gmail.com", "new@example.com"]
READER = {mailbox_of(address): name for name, address in MAILBOX.items()}
READER |= {mailbox_of(address): name for name, address in SECOND.items()}
READER["new@example.com"] = "trent"
OPEN = "open"  # what stands in an address instead of the token, once it is in a cookie
LIVES = {
    "activate": timedelta(seconds=settings.ACTIVATION_TIMEOUT),
    "password/reset": timedelta(seconds=settings.RESET_TIMEOUT),
    "notices": timedelta.max,
    "address": timedelta(seconds=settings.ACTIVATION_TIMEOUT),
    "take-back": UNDO_FOR,  # at most
    "deletion": DELETED_AFTER,
}
LINK = re.compile(rf"http://127\.0\.0\.1:8000(/users/({'|'.join(LIVES)})/\S+?/\S+?/)")


class Link(NamedTuple):
    """One that a letter has brought."""

    path: str
    purpose: str
    person: Any
    mailbox: str
    sent_at: datetime

    @property
    def page(self) -> str:
        return f"{self.path.rsplit('/', 2)[0]}/{OPEN}/"

    @property
    def is_fresh(self) -> bool:
        return timezone.now() - self.sent_at <= LIVES[self.purpose]

    def beside(self, page: str) -> str:
        return f"{self.path.rsplit('/', 2)[0]}/{page}/"


def links_in(letter: Any) -> list[Link]:
    [to] = letter.to
    people = {urlsafe_base64_encode(person.pk.bytes): person for person in User.objects.all()}
    found = []
    for path, purpose in LINK.findall(str(letter.body)):
        person = people[path.split("/")[-3]]
        assert to in _addresses(person, purpose), "a link goes to the stored address, and no other"
        assert person.is_waiting == (purpose == "activate"), "in a state that accepts it"
        assert person.is_active or purpose in ("activate", "notices")
        found.append(Link(path, purpose, person.pk, mailbox_of(to), timezone.now()))
    return found


def _addresses(person: User, purpose: str) -> list[str]:
    if purpose == "address":
        return [person.pending_change.new] if person.pending_change else []
    if purpose == "take-back":
        return [one.email for one in person.selves()]
    return [person.email]


# What counts of a person: whatever they could notice, but for when they signed in last.
COLUMNS = [f.name for f in User._meta.concrete_fields if f.name not in ("last_login",)]


class Seen(NamedTuple):
    """The site before an act, or after it."""

    people: dict[Any, dict[str, Any]]
    posted: dict[tuple[Any, datetime], tuple[str, Any, str]]  # letter, to whom, where
    signed_in: dict[tuple[str, int], tuple[Any, str]]  # a browser: as whom, by which session

    def owners(self, pks: list[Any]) -> Any:
        people = {pk: self.people.get(pk) for pk in pks}
        sessions = {who: one for who, one in self.signed_in.items() if who[0] in OWNERS}
        return people, sessions


@dataclass
class Town:
    people: dict[str, Any]  # the accounts of the owners and of staff, by name
    browsers: dict[tuple[str, int], Client]
    # By account: who has chosen its password, and which.
    passwords: dict[Any, tuple[str, str]]
    links: list[Link] = field(default_factory=list)
    dead: set[str] = field(default_factory=set)  # links that must open nothing any more
    ended: set[str] = field(default_factory=set)  # sessions
    chosen: int = 0

    def copy(self) -> "Town":
        browsers = {at: browser(*at) for at in self.browsers}
        for at, one in browsers.items():
            one.cookies = self.browsers[at].cookies.copy()
        return Town(self.people, browsers, {**self.passwords}, [*self.links])

    def look(self) -> Seen:
        rows = Mail.objects.values_list("pk", "created_at", "letter", "user_id", "address")
        return Seen(
            {row["id"]: row for row in User.objects.values(*COLUMNS)},
            {(pk, at): (letter, user, to) for pk, at, letter, user, to in rows},
            signed_in(self.browsers),
        )

    def bury(self, person: Any, *purposes: str) -> None:
        """Links of these purposes to this person are dead from now on."""
        buried = [link for link in self.links if link.person == person]
        self.dead |= {link.path for link in buried if link.purpose in purposes}

    def bury_of(self, mailbox: str, purpose: str) -> None:
        self.dead |= self._of(mailbox, purpose)

    def dig_out(self, mailbox: str, purpose: str) -> None:
        self.dead -= self._of(mailbox, purpose)

    def _of(self, mailbox: str, purpose: str) -> set[str]:
        theirs = [link for link in self.links if link.mailbox == mailbox]
        return {link.path for link in theirs if link.purpose == purpose}

    def new_password(self, who: str) -> str:
        self.chosen += 1
        return f"wooden-kettle-{VISITORS.index(who)}-{self.chosen}"

    def accounts_of(self, who: str) -> list[User]:
        """Those whose password they have chosen."""
        chosen = [pk for pk, (by, _) in self.passwords.items() if by == who]
        return list(User.objects.filter(pk__in=chosen).order_by("created_at"))


def browser(name: str, number: int) -> Client:
    """Each in a network of its own: what neighbours can do is in docs/security.md."""
    address = f"203.0.{(*VISITORS, 'root').index(name)}.{number}"
    here = {"REMOTE_ADDR": address, "headers": {"accept-language": "en"}}
    return Client(raise_request_exception=False, **here)


class Peek(dict[str, Any]):
    """A session that is looked at, which is no visit: it is neither used nor ended by that."""

    def flush(self) -> None:
        pass


def signed_in(browsers: dict[Any, Client]) -> dict[Any, tuple[Any, str]]:
    """As whom, and by which session: whoever Django would take them for."""
    name = settings.SESSION_COOKIE_NAME
    keys = {who: one.cookies[name].value for who, one in browsers.items() if name in one.cookies}
    found = Session.objects.filter(pk__in=keys.values(), expire_date__gt=timezone.now())
    sessions = {row.pk: Peek(row.get_decoded()) for row in found}
    request, seen = HttpRequest(), {}
    for who, key in keys.items():
        request.session = sessions.get(key, Peek())
        person = auth.get_user(request)
        if person.is_authenticated:
            seen[who] = (person.pk, key)
    return seen
