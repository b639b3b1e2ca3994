"""Everything that we keep about a person, for them: as a file, and on a page.

A test walks all that points at a person: each is exported here, or left out with a reason.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Model, Q
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from mail import api
from users import guard
from users.models import User
from users.templatetags.site import moment

PROFILE = (
    "user_id", "name", "email", "department", "level", "language", "taken_notices", "created_at",
    "activated_at", "last_login", "is_active", "is_staff", "is_superuser", "consented_at",
    "consent_version", "deletion_asked_at",
)  # fmt: skip
# By the name of the relation, or of the field.
LEFT_OUT = {
    "id": "a number of ours, which is in every link to their mailbox",
    "password": "a secret: the hash of a password",
    "made_by": "a secret: the hash of a form's",
    "session_epoch": "a count of ours, which is in the hash of links",
    "secured_at": "a time of ours, which is in the hash of links",
    "claim_expires_at": "means nothing once the account is active",
    "groups": "nobody is in one",
    "logentry": "the record of what they did to others, as staff: it is about those",
    "events_by": "what they did to others, as staff: it is about those",
}


# Of columns that have no name of their own for readers.
LABELS = {
    "at": _("When"),
    "codename": _("Right"),
    "day": _("Day"),
    "device": _("Device"),
    "expire_date": _("Ends"),
    "last_used_at": _("Last used"),
    "network": _("Network"),
    "started_at": _("Signed in"),
    "tag": _("What"),
    "times": _("How often"),
}


class Part(NamedTuple):
    name: str
    title: str | Promise
    found: list[Model]
    columns: tuple[str, ...]
    has_more: bool = False

    @property
    def rows(self) -> list[dict[str, Any]]:
        """As stored: for a file."""
        return [{name: getattr(one, name) for name in self.columns} for one in self.found]

    @property
    def shown(self) -> list[list[tuple[Any, Any]]]:
        """As people read it: labels and values, without what is empty."""
        labels = [(name, _label(one, name)) for one in self.found[:1] for name in self.columns]
        return [
            [
                (label, _shown(one, name))
                for name, label in labels
                if getattr(one, name) not in (None, "")
            ]
            for one in self.found
        ]


def _label(one: Any, name: str) -> str:
    return capfirst(str(LABELS.get(name) or one._meta.get_field(name).verbose_name))


def _shown(one: Any, name: str) -> Any:
    if name == "tag":
        return one.what
    value = getattr(one, name)
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, datetime):
        return moment(timezone.localtime(value))
    return getattr(one, f"get_{name}_display", lambda: value)()


def _profile(person: User) -> Any:
    return [person]


def _failures(person: User) -> Any:
    return guard.failures_of(person).exclude(network="")


def _mails(person: User) -> Any:
    """To them, wherever they were; and to their address, whoever has typed it."""
    typed = Q(mailbox=api.mailbox_of(person.email), address__iexact=person.email)
    return api.Mail.objects.filter(Q(user=person) | typed).order_by("-created_at")


def _suppressed(person: User) -> Any:
    return api.Suppression.objects.filter(address=api.mailbox_of(person.email))


# Each: what it is called, how it is found, and its columns.
PARTS: dict[str, tuple[str | Promise, Callable[[User], Any], tuple[str, ...]]] = {
    "profile": (_("Profile"), _profile, PROFILE),
    "address_changes": (
        _("Changes of address"),
        lambda person: person.address_changes.order_by("-asked_at"),
        ("old", "new", "asked_at", "confirmed_at", "undone_at"),
    ),
    "events": (
        _("Activity"),
        lambda person: person.events.order_by("-at"),
        ("at", "tag", "device", "network"),
    ),
    "sessions": (
        _("Where you are signed in"),
        lambda person: person.sessions.order_by("-last_used_at"),
        ("device", "network", "started_at", "last_used_at", "expire_date"),
    ),
    "wrong_passwords": (_("Wrong passwords"), _failures, ("day", "times", "network")),
    "mails": (
        _("Messages to you"),
        _mails,
        ("created_at", "letter", "address", "language", "state", "sent_at"),
    ),
    "suppression": (_("Why some messages do not go to you"), _suppressed, ("reason", "until")),
    "user_permissions": (
        _("Rights"),
        lambda person: person.user_permissions.all() if person.is_staff else [],
        ("codename",),
    ),
}


def titles(person: User) -> dict[str, str | Promise]:
    """Of the parts that this person may have."""
    names = [name for name in PARTS if name != "user_permissions" or person.is_staff]
    return {name: PARTS[name][0] for name in names}


def of(person: User, at_most: int = 0, names: Iterable[str] = PARTS) -> list[Part]:
    """`at_most`: of each part the newest only; else all."""
    parts = []
    for name in names:
        title, find, columns = PARTS[name]
        some = find(person)[: at_most + 1 if at_most else None]
        found = list(some)[: at_most or None]
        parts.append(Part(name, title, found, columns, len(some) > len(found)))
    return parts
