"""Every letter to a person. One function each decides, when the letter is due, who gets what.

Whether an address has an account is looked up here, and not in the request. The function has no
side effects: it returns another one, which writes the message. For an address that nobody has, a
message to a sample person is written and thrown away.
"""

import colorsys
import re
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core.mail import EmailMultiAlternatives
from django.db.models import Exists, OuterRef
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.http import urlsafe_base64_encode

from mail import api
from users import accounts, activity, guard, tokens
from users.models import DELETED_AFTER, UNDO_FOR, Event, FailedSignIn, State, Tag, User

A_DAY = timedelta(days=1)
CLAIMS_PER_LETTER = 3
NEW_DEVICES_A_DAY = 6
NETWORKS_PER_LETTER = 3

# One token in sixty looks like a Bitcoin wallet to a spam filter, which costs 1 to 2 points.
LIKE_A_WALLET = re.compile(r"-[13][1-9a-f]{31}$")


@api.letter(useful_for=timedelta(hours=24), priority=api.Priority.WAITED_FOR)
def register(mail: api.Mail) -> api.Decision:
    """The activation link; or, if the address has an owner already, a notice to the owner."""
    claim: User | None = mail.user
    if claim is None or claim.activated_at or claim.email != mail.address:
        return None  # a corrected address gets a message of its own
    return _to_claims(mail, User.objects.holder_of(mail.address), [claim])


@api.letter(useful_for=timedelta(hours=24), priority=api.Priority.WAITED_FOR)
def activate_resend(mail: api.Mail) -> api.Decision:
    """The same, for an address that somebody typed."""
    return _to_claims(mail, User.objects.holder_of(mail.address), _claims_at(mail))


@api.letter(useful_for=timedelta(minutes=30), priority=api.Priority.WAITED_FOR)
def password_reset(mail: api.Mail) -> api.Decision:
    """The reset link; a waiting account gets its activation link again, a disabled one nothing. An
    address that has just lost an account is told so once more, with the way back."""
    owner = User.objects.holder_of(mail.address)
    if owner is None:
        return _to_claims(mail, None, _claims_at(mail))
    if owner.left_at and owner.is_active:
        return api.Writer(partial(_address_changed, owner), api.Budget.OWNER)
    if owner.state == State.DISABLED:
        sample = partial(_password_reset, _sample_user(mail.language))
        return api.for_nobody(api.Writer(sample, api.Budget.OWNER))
    return api.Writer(partial(_password_reset, owner), api.Budget.OWNER)


@api.letter(useful_for=timedelta(minutes=30), priority=api.Priority.WAITED_FOR)
def password_reset_by_staff(mail: api.Mail) -> api.Decision:
    return password_reset(mail)


@api.letter(useful_for=timedelta(hours=24), priority=api.Priority.WAITED_FOR, limited=False)
def take_back(mail: api.Mail) -> api.Decision:
    """After "this wasn't me": the way back in. Not among the resets that anybody can ask for."""
    if mail.user is None or mail.user.email != mail.address or not mail.user.is_active:
        return None
    return api.Writer(partial(_password_reset, mail.user), api.Budget.OWNER)


@api.letter(useful_for=timedelta(hours=72), priority=api.Priority.NOTICE)
def password_change(mail: api.Mail) -> api.Decision:
    """To the mailbox that had the account then, even if a thief has changed the address since."""
    person = _self_at(mail)
    if person is None:
        return None
    event = _event(person, mail, Tag.PASSWORD_CHANGED, Tag.PASSWORD_RESET)
    write = partial(_password_change, person, event)
    return api.Writer(write, api.Budget.OWNER)


@api.letter(useful_for=timedelta(hours=24), priority=api.Priority.WAITED_FOR)
def address_confirm(mail: api.Mail) -> api.Decision:
    """The link to a new address; or, if it has an owner already, a notice to the owner."""
    person: User | None = mail.user
    change = person.pending_change if person and person.is_active else None
    if person is None or change is None or change.new != mail.address:
        return None  # it is void, or done
    if reason := api.suppression_of(mail.address):
        return api.suppressed(reason)
    owner = User.objects.holder_of(mail.address)
    if owner is not None and owner.pk != person.pk:
        return _notice(owner, partial(_address_taken, owner, mail.created_at))
    return api.Writer(partial(_address_confirm, person, mail.address), api.Budget.OPEN)


@api.letter(useful_for=UNDO_FOR, priority=api.Priority.WAITED_FOR, limited=False)
def address_changed(mail: api.Mail) -> api.Decision:
    """To the old address, which may take the account back."""
    person = _self_at(mail)
    if person is None or person.left_at is None:
        return None  # it has come back
    return api.Writer(partial(_address_changed, person), api.Budget.OWNER)


@api.letter(useful_for=DELETED_AFTER, priority=api.Priority.WAITED_FOR)
def deletion(mail: api.Mail) -> api.Decision:
    """The account is to be deleted, with the link that keeps it."""
    person: User | None = mail.user
    if person is None or person.email != mail.address or not person.deletion_asked_at:
        return None
    return api.Writer(partial(_deletion, person), api.Budget.OWNER)


def _self_at(mail: api.Mail) -> User | None:
    """The person as they are or were at the address of this message, if it may know of them."""
    if mail.user is None or not mail.user.is_active:
        return None
    return next((one for one in mail.user.selves() if one.email == mail.address), None)


@api.letter(useful_for=timedelta(hours=24), priority=api.Priority.NOTICE)
def new_device(mail: api.Mail) -> api.Decision:
    """Somebody has signed in with a browser that is new to this account. A few a day: whoever knows
    the password must not fill the mailbox."""
    person = _self_at(mail)
    if person is None:
        return None
    mailbox = api.mailbox_of(mail.address)
    sent = api.Mail.objects.filter(mailbox=mailbox, sent_at__gt=timezone.now() - A_DAY)
    if sent.filter(letter=mail.letter, user=person).count() >= NEW_DEVICES_A_DAY:
        return None
    write = partial(_new_device, person, _event(person, mail, Tag.NEW_BROWSER))
    return api.Writer(write, api.Budget.OWNER)


@api.letter(useful_for=timedelta(hours=24), priority=api.Priority.NOTICE, limited=False)
def login_failures(mail: api.Mail) -> api.Decision:
    """Somebody guesses at a password. `mail.address` is the name they typed, an ID or an address;
    the owner is told once a day, whichever of the two it was: a limit of its own, so that no other
    notice takes its place."""
    if "@" in mail.address:
        owner = User.objects.owner_of(mail.address)
    else:
        owner = User.objects.named(mail.address).first()
    if owner is None or not owner.is_active:
        return None
    last_day = {"letter": mail.letter, "sent_at__gt": timezone.now() - A_DAY}
    names = [owner.user_id.lower(), owner.email.lower()]
    mailboxes = [api.mailbox_of(name) for name in names]  # by which rows are found
    if api.Mail.objects.filter(mailbox__in=mailboxes, address__in=names, **last_day).exists():
        return None
    return api.Writer(partial(_login_failures, owner), api.Budget.NOTICE)


def _to_claims(mail: api.Mail, owner: User | None, claims: list[User]) -> api.Decision:
    if reason := api.suppression_of(mail.address):
        return api.suppressed(reason)
    if owner is not None:
        return _notice(owner, partial(_register_taken, owner, mail.created_at))
    if claims:
        return api.Writer(partial(_register, claims), api.Budget.OPEN)
    sample = partial(_register, [_sample_user(mail.language)])
    return api.for_nobody(api.Writer(sample, api.Budget.OPEN))


def _notice(owner: User, write: Callable[[], EmailMultiAlternatives]) -> api.Decision:
    taken = api.Writer(write, api.Budget.NOTICE)
    if owner.taken_notices:
        return taken
    why = "the owner of this address wants no such notice"
    return api.Outcome(api.State.DROPPED, api.Cause.SUPPRESSED, why, writer=taken)


def _event(person: User, mail: api.Mail, *tags: Tag) -> Event:
    """What the letter is about; from nowhere, if that was not kept."""
    return activity.newest(person, *tags) or Event(at=mail.created_at)


def _claims_at(mail: api.Mail) -> list[User]:
    """The newest; but first those of the network that asks: nobody elsewhere pushes them out."""
    claims = User.objects.waiting().at_address(mail.address)
    near = api.Mail.objects.filter(user=OuterRef("pk"), asker=mail.asker).exclude(asker="")
    return list(claims.order_by(Exists(near).desc(), "-created_at")[:CLAIMS_PER_LETTER])


# The messages. Of what a stranger typed, only the user_id may appear in one (see users.identity).


def _register(claims: list[User]) -> EmailMultiAlternatives:
    accounts.extend(claims)  # they live as long as the links that are made here
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


def _register_taken(owner: User, when: datetime) -> EmailMultiAlternatives:
    return _letter("register_taken", owner.email, owner.language, **_of_taken(owner, when))


def _address_taken(owner: User, when: datetime) -> EmailMultiAlternatives:
    return _letter("address_taken", owner.email, owner.language, **_of_taken(owner, when))


def _of_taken(owner: User, when: datetime) -> dict[str, Any]:
    disabled = owner.state == State.DISABLED
    stop_url = _link("users:notices", owner, tokens.notices)
    return {
        "user_id": owner.user_id,
        "when": timezone.localtime(when),
        "disabled": disabled,
        "login_url": api.absolute_url(reverse("users:login")),
        "reset_url": api.absolute_url(reverse("users:password_reset")),
        # Only the present address says what it wants.
        "stop_url": "" if disabled or owner.left_at else stop_url,
    }


def _address_confirm(person: User, new: str) -> EmailMultiAlternatives:
    return _letter(
        "address_confirm",
        new,
        person.language,
        user_id=person.user_id,
        url=_link("users:address_confirm", person, tokens.address),
        hours=settings.ACTIVATION_TIMEOUT // 3600,
    )


def _address_changed(past: User) -> EmailMultiAlternatives:
    left_at = timezone.localtime(past.left_at)
    return _letter(
        "address_changed",
        past.email,
        past.language,
        user_id=past.user_id,
        when=left_at,
        until=left_at + UNDO_FOR,
        url=_link("users:take_back", past, tokens.take_back),
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


def _new_device(person: User, event: Event) -> EmailMultiAlternatives:
    return _letter("new_device", person.email, person.language, **_of_event(person, event))


def _password_change(person: User, event: Event) -> EmailMultiAlternatives:
    return _letter("password_change", person.email, person.language, **_of_event(person, event))


def _of_event(person: User, event: Event) -> dict[str, Any]:
    return {
        "user_id": person.user_id,
        "when": timezone.localtime(event.at),
        "device": event.device,
        "network": event.network,
        "url": _link("users:take_back", person, tokens.take_back),
    }


def _deletion(person: User) -> EmailMultiAlternatives:
    return _letter(
        "deletion",
        person.email,
        person.language,
        user_id=person.user_id,
        when=timezone.localtime(person.leaves_at),
        url=_link("users:deletion_undo", person, tokens.deletion),
        take_back_url=_link("users:take_back", person, tokens.take_back),
    )


def _login_failures(owner: User) -> EmailMultiAlternatives:
    failures = guard.failures_of(owner).filter(day__gte=timezone.localdate() - A_DAY)
    return _about_failures(owner, list(failures))


def _about_failures(owner: User, failures: list[FailedSignIn]) -> EmailMultiAlternatives:
    """Of whoever tried: when, and from where in the network. What their browser says of itself
    would be a text of theirs."""
    in_all = [row for row in failures if not row.network]
    networks: Counter[str] = Counter()
    for row in failures:
        if row.network not in ("", "unknown"):
            networks[row.network] += row.times
    return _letter(
        "login_failures",
        owner.email,
        owner.language,
        user_id=owner.user_id,
        times=sum(row.times for row in in_all),
        when=max((timezone.localtime(row.last_at) for row in in_all), default=None),
        networks=", ".join(name for name, _ in networks.most_common(NETWORKS_PER_LETTER)),
        reset_url=api.absolute_url(reverse("users:password_reset")),
    )


def _link(name: str, user: User, keys: PasswordResetTokenGenerator) -> str:
    """With Django's token of this second, or of the last one that does not look like a wallet."""
    made = keys._num_seconds(keys._now())
    while LIKE_A_WALLET.search(token := keys._make_token_with_timestamp(user, made, keys.secret)):
        made -= 1
    uidb64 = urlsafe_base64_encode(user.pk.bytes)  # 22 characters; of its text they would be 48
    return api.absolute_url(reverse(name, kwargs={"uidb64": uidb64, "token": token}))


def _letter(stem: str, to: str, language: str, **context: Any) -> EmailMultiAlternatives:
    """Subject, text and HTML from templates/mail/<stem>.*, in the reader's language."""
    with translation.override(language):
        context |= {
            "site_name": settings.SITE_NAME[language],
            "site_url": settings.SITE_URL,
            "mark": settings.SITE_NAME[language][0],
            "accent": settings.ACCENT_COLOR,
            "accent_in_the_dark": _in_the_dark(settings.ACCENT_COLOR),
        }
        subject = " ".join(render_to_string(f"mail/{stem}.subject.txt", context).split())
        text = render_to_string(f"mail/{stem}.txt", context)
        html = render_to_string(f"mail/{stem}.html", context)
    return EmailMultiAlternatives(subject, text, to=[to], alternatives=[(html, "text/html")])


def _in_the_dark(colour: str) -> str:
    """The same hue, light enough for a dark ground. Pages leave that to the browser's color-mix,
    which mail programs do not know."""
    hue, _, saturation = colorsys.rgb_to_hls(
        *(int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    )
    parts = colorsys.hls_to_rgb(hue, 0.72, min(saturation, 0.52))
    return "#" + "".join(f"{round(part * 255):02x}" for part in parts)


# Samples


def _sample_user(language: str, user_id: str = "hong-gildong", **fields: Any) -> User:
    """A person who is in no database: no account has this id, so the links do nothing."""
    address = "hong@example.com"
    return User(pk=UUID(int=0), user_id=user_id, email=address, language=language, **fields)


def _several(language: str) -> list[User]:
    return [_sample_user(language, user_id) for user_id in ("hong-gildong", "gildong", "hong2026")]


def _disabled(language: str) -> User:
    return _sample_user(language, activated_at=timezone.now())


def _moved(language: str) -> User:
    past = _sample_user(language)
    past.left_at = timezone.now()
    return past


def _moving(language: str) -> User:
    person = _sample_user(language)
    person.pending_change = None  # of nobody, and not looked for
    return person


def _leaving(language: str) -> User:
    return _sample_user(language, deletion_asked_at=timezone.now())


def _taken(owner: User) -> EmailMultiAlternatives:
    return _register_taken(owner, timezone.now())


def _sample_event() -> Event:
    return Event(at=timezone.now(), device="Chrome · Windows", network="203.0.113.7")


def _failures() -> list[FailedSignIn]:
    return [FailedSignIn(network=network, times=12) for network in ("", "203.0.113.7")]


api.add_sample("register", lambda language: _register([_sample_user(language)]))
api.add_sample("register_several", lambda language: _register(_several(language)))
api.add_sample("register_taken", lambda language: _taken(_sample_user(language, is_active=True)))
api.add_sample("register_taken_disabled", lambda language: _taken(_disabled(language)))
api.add_sample("password_reset", lambda language: _password_reset(_sample_user(language)))
api.add_sample(
    "password_change",
    lambda language: _password_change(_sample_user(language), _sample_event()),
)
api.add_sample(
    "new_device",
    lambda language: _new_device(_sample_user(language), _sample_event()),
)
api.add_sample(
    "address_confirm", lambda language: _address_confirm(_moving(language), "gil@example.org")
)
api.add_sample("deletion", lambda language: _deletion(_leaving(language)))
api.add_sample("address_changed", lambda language: _address_changed(_moved(language)))
api.add_sample(
    "address_taken",
    lambda language: _address_taken(_sample_user(language, is_active=True), timezone.now()),
)
api.add_sample(
    "login_failures", lambda language: _about_failures(_sample_user(language), _failures())
)
