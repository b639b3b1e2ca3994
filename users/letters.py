"""Every letter to a person, one function each, written at the moment it is sent.

Here, and not in the request, is decided whether an address belongs to anybody.
"""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.utils.translation import gettext as _

from mail import outbox, site
from mail.models import Mail
from mail.registry import letter
from users import accounts, tokens
from users.models import State, User

CLAIMS_IN_A_LETTER = 3


@letter(useful_for=timedelta(hours=24))
def register(mail: Mail) -> EmailMultiAlternatives | None:
    """The activation link; or, where the address has an owner, a word to the owner."""
    claim: User | None = mail.user
    if claim is None or not claim.is_waiting:
        return None
    return _to_claims(claim.email, [claim])


@letter(useful_for=timedelta(hours=24))
def activate_resend(mail: Mail) -> EmailMultiAlternatives | None:
    """The same, for an address that somebody typed."""
    return _to_claims(mail.address, _claims_at(mail.address))


@letter(useful_for=timedelta(minutes=30))
def password_reset(mail: Mail) -> EmailMultiAlternatives | None:
    """The reset link; a waiting account gets its activation link again, a disabled one nothing."""
    owner = User.objects.activated().at_address(mail.address).first()
    if owner is None:
        return _to_claims(mail.address, _claims_at(mail.address))
    if owner.state == State.DISABLED:
        return None
    return _letter(
        "password_reset",
        owner.email,
        owner.language,
        user_id=owner.user_id,
        url=_link("users:password_reset_confirm", owner, tokens.reset.make_token(owner)),
        minutes=settings.RESET_TIMEOUT // 60,
    )


@letter(useful_for=timedelta(hours=72))
def password_change(mail: Mail) -> EmailMultiAlternatives | None:
    """A notice: the password is another than before."""
    if mail.user is None or not mail.user.is_active:
        return None
    return _letter(
        "password_change",
        mail.user.email,
        mail.user.language,
        user_id=mail.user.user_id,
        when=timezone.localtime(mail.created_at),
        reset_url=site.url(reverse("users:password_reset")),
    )


def _to_claims(address: str, claims: list[User]) -> EmailMultiAlternatives | None:
    if outbox.is_suppressed(address, "registration"):
        return None
    owner = User.objects.activated().at_address(address).first()
    if owner is not None:
        return _letter(
            "register_taken",
            owner.email,
            owner.language,
            user_id=owner.user_id,
            disabled=owner.state == State.DISABLED,
            login_url=site.url(reverse("users:login")),
            reset_url=site.url(reverse("users:password_reset")),
        )
    if not claims:
        return None
    accounts.keep(claims)
    return _letter(
        "register",
        claims[0].email,
        claims[0].language,
        user_id=claims[0].user_id,
        claims=[
            {
                "user_id": claim.user_id,
                "url": _link("users:activate", claim, tokens.activation.make_token(claim)),
            }
            for claim in claims
        ],
        hours=settings.ACTIVATION_TIMEOUT // 3600,
    )


def _claims_at(address: str) -> list[User]:
    newest_first = User.objects.waiting().at_address(address).order_by("-created_at")
    return list(newest_first[:CLAIMS_IN_A_LETTER])


def _link(name: str, user: User, token: str) -> str:
    uidb64 = urlsafe_base64_encode(force_bytes(user.pk))
    return site.url(reverse(name, kwargs={"uidb64": uidb64, "token": token}))


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
