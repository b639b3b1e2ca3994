"""Every letter to a person, one function each, written at the moment it is sent.

Here, and not in the request, is decided whether an address belongs to anybody.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.utils.translation import gettext as _

from mail import site, suppression
from mail.models import Mail, Priority
from mail.registry import AddressRefused, add_sample, letter
from users import accounts, tokens
from users.models import State, User

CLAIMS_IN_A_LETTER = 3

# One token in sixty is, to a spam filter, the address of a Bitcoin purse: 1 to 2 points.
LIKE_A_PURSE = re.compile(r"-[13][1-9a-f]{31}$")


@dataclass(frozen=True)
class Known:
    """What is known of the address that a letter goes to."""

    owner: User | None  # who has proved it
    suppressed: suppression.Reason | None


def look_up(mails: list[Mail]) -> None:
    addresses = {mail.address for mail in mails}
    owners = {user.email.lower(): user for user in User.objects.activated().at_address(*addresses)}
    suppressed = suppression.reasons_for(addresses)
    for mail in mails:
        key = mail.address.lower()
        mail.known = Known(owners.get(key), suppressed.get(key))


@letter(useful_for=timedelta(hours=24), priority=Priority.WAITED_FOR, look_up=look_up)
def register(mail: Mail) -> EmailMultiAlternatives | None:
    """The activation link; or, where the address has an owner, a word to the owner."""
    claim: User | None = mail.user
    if claim is None or not claim.is_waiting or claim.email != mail.address:
        return None  # another letter goes to a corrected address
    return _to_claims(mail, [claim])


@letter(useful_for=timedelta(hours=24), priority=Priority.WAITED_FOR, look_up=look_up)
def activate_resend(mail: Mail) -> EmailMultiAlternatives | None:
    """The same, for an address that somebody typed."""
    return _to_claims(mail, _claims_at(mail.address))


@letter(useful_for=timedelta(minutes=30), priority=Priority.WAITED_FOR, look_up=look_up)
def password_reset(mail: Mail) -> EmailMultiAlternatives | None:
    """The reset link; a waiting account gets its activation link again, a disabled one nothing."""
    owner = mail.known.owner
    if owner is None:
        return _to_claims(mail, _claims_at(mail.address))
    if owner.state == State.DISABLED:
        return None
    return _password_reset(owner)


@letter(useful_for=timedelta(minutes=30), priority=Priority.WAITED_FOR, look_up=look_up)
def password_reset_by_staff(mail: Mail) -> EmailMultiAlternatives | None:
    return password_reset(mail)


@letter(useful_for=timedelta(hours=72), priority=Priority.NOTICE)
def password_change(mail: Mail) -> EmailMultiAlternatives | None:
    """A notice: the password is another than before."""
    if mail.user is None or not mail.user.is_active:
        return None
    return _password_change(mail.user, mail.created_at)


def _to_claims(mail: Mail, claims: list[User]) -> EmailMultiAlternatives | None:
    suppressed = mail.known.suppressed
    if suppressed == suppression.Reason.DECLINED:
        return None
    if suppressed:
        raise AddressRefused(suppressed.label)
    if mail.known.owner is not None:
        return _register_taken(mail.known.owner)
    if not claims:
        return None
    accounts.keep(claims)
    return _register(claims)


def _claims_at(address: str) -> list[User]:
    newest_first = User.objects.waiting().at_address(address).order_by("-created_at")
    return list(newest_first[:CLAIMS_IN_A_LETTER])


# What each letter says. Of a stranger's words none but the ID may enter (see users.identity).


def _register(claims: list[User]) -> EmailMultiAlternatives:
    return _letter(
        "register",
        claims[0].email,
        claims[0].language,
        user_id=claims[0].user_id,
        claims=[
            {
                "user_id": claim.user_id,
                "url": _link("users:activate", claim, tokens.activation),
            }
            for claim in claims
        ],
        hours=settings.ACTIVATION_TIMEOUT // 3600,
    )


def _register_taken(owner: User) -> EmailMultiAlternatives:
    return _letter(
        "register_taken",
        owner.email,
        owner.language,
        user_id=owner.user_id,
        disabled=owner.state == State.DISABLED,
        login_url=site.url(reverse("users:login")),
        reset_url=site.url(reverse("users:password_reset")),
    )


def _password_reset(owner: User) -> EmailMultiAlternatives:
    return _letter(
        "password_reset",
        owner.email,
        owner.language,
        user_id=owner.user_id,
        url=_link("users:password_reset_confirm", owner, tokens.reset),
        minutes=settings.RESET_TIMEOUT // 60,
    )


def _password_change(person: User, when: datetime) -> EmailMultiAlternatives:
    return _letter(
        "password_change",
        person.email,
        person.language,
        user_id=person.user_id,
        when=timezone.localtime(when),
        reset_url=site.url(reverse("users:password_reset")),
    )


def _link(name: str, user: User, keys: PasswordResetTokenGenerator) -> str:
    uidb64 = urlsafe_base64_encode(force_bytes(user.pk))
    return site.url(reverse(name, kwargs={"uidb64": uidb64, "token": _token(keys, user)}))


def _token(keys: PasswordResetTokenGenerator, user: User) -> str:
    """Django's token of this second; or of the last one before, that looks like nothing else."""
    made = keys._num_seconds(keys._now())
    while LIKE_A_PURSE.search(token := keys._make_token_with_timestamp(user, made, keys.secret)):
        made -= 1
    return token


def _letter(stem: str, to: str, language: str, **context: Any) -> EmailMultiAlternatives:
    """Subject, text and HTML from templates/mail/<stem>.*, in the reader's language."""
    with translation.override(language):
        context |= {
            "site_name": _("Department of Computer Science and Engineering"),
            "site_url": settings.SITE_URL,
        }
        subject = " ".join(render_to_string(f"mail/{stem}.subject.txt", context).split())
        text = render_to_string(f"mail/{stem}.txt", context)
        html = render_to_string(f"mail/{stem}.html", context)
    return EmailMultiAlternatives(subject, text, to=[to], alternatives=[(html, "text/html")])


# Samples


def _nobody(language: str, user_id: str = "hong-gildong", **fields: Any) -> User:
    """Somebody who is in no database: no account has this id, so the links open nothing."""
    address = "hong@example.com"
    return User(pk=UUID(int=0), user_id=user_id, email=address, language=language, **fields)


def _several(language: str) -> list[User]:
    return [_nobody(language, user_id) for user_id in ("hong-gildong", "gildong", "hong2026")]


def _disabled(language: str) -> User:
    return _nobody(language, activated_at=timezone.now())


add_sample("register", lambda language: _register([_nobody(language)]))
add_sample("register_several", lambda language: _register(_several(language)))
add_sample("register_taken", lambda language: _register_taken(_nobody(language, is_active=True)))
add_sample("register_taken_disabled", lambda language: _register_taken(_disabled(language)))
add_sample("password_reset", lambda language: _password_reset(_nobody(language)))
add_sample("password_change", lambda language: _password_change(_nobody(language), timezone.now()))
