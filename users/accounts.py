"""The one door: every change of an account is a function here.

Each is one transaction, in which the mail that tells of the change is posted as a row. None of
them looks whether an address is known before it answers: `letters` does, when the mail is written,
so that neither an answer nor its time tells a visitor who has an account.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from mail import outbox, suppression
from users import identity
from users.models import Level, State, User, UserQuerySet, claim_end

log = logging.getLogger(__name__)

# Somebody who says "that was not me" hears nothing more about registrations for this long; not for
# ever, because the same person may want to register one day and could not.
DECLINED_FOR = timedelta(days=30)


class UserIdTaken(Exception):
    """Somebody else has this user_id, as an account or as a claim that has not expired."""


class LinkSpent(Exception):
    """The account has left the state that the link was made for."""


# Registration


def register(
    *,
    user_id: str,
    email: str,
    name: str,
    password: str,
    language: str,
    replacing: UUID | None = None,
) -> User:
    """A new claim and its mail. `replacing` is the same visitor's own earlier claim, if any."""
    claim = User(
        user_id=identity.clean_user_id(user_id),
        email=identity.clean_address(email),
        name=identity.clean_name(name),
        level=Level.MEMBER,
        language=language,
    )
    claim.set_password(password)  # slow on purpose, so outside the transaction
    with _unique_user_id(), transaction.atomic():
        # A claim holds its name until it expires; the visitor's own never stands in his way.
        expired = Q(user_id_key=claim.user_id.lower(), claim_expires_at__lte=timezone.now())
        waiting = User.objects.waiting().alias(user_id_key=Lower("user_id"))
        _delete(waiting.filter(expired | Q(pk=replacing)))
        claim.save(force_insert=True)
        outbox.post("register", user=claim)
    log.info("registered %s", claim.pk)
    return claim


def _lock(people: UserQuerySet) -> list[UUID]:
    """Holds these rows until the commit. In one order, or two would wait for each other."""
    return list(people.order_by("pk").select_for_update().values_list("pk", flat=True))


def _delete(people: UserQuerySet) -> None:
    User.objects.filter(pk__in=_lock(people)).delete()


@contextmanager
def _unique_user_id() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise UserIdTaken from error


def resend_activation(claim: User) -> None:
    """The link once more, to somebody who has shown that the claim is his."""
    with transaction.atomic():
        if _lock(User.objects.waiting().filter(pk=claim.pk)):
            keep([claim])
            outbox.post("register", user=claim)


def request_activation(address: str, language: str) -> None:
    """The link once more, to anybody: a row for whatever address, known or not."""
    outbox.post("activate_resend", address=address, language=language)


def correct_address(claim: User, email: str) -> None:
    """The claim names another mailbox; links to the old one die, because their token holds it."""
    claim.email = identity.clean_address(email)
    with transaction.atomic():
        if not User.objects.waiting().filter(pk=claim.pk).update(email=claim.email):
            raise LinkSpent
        claim.mails.filter(letter="register").cancel()
        outbox.post("register", user=claim)
    log.info("corrected the address of %s", claim.pk)


def cancel(claim: User) -> None:
    """The claim is gone, with its name and its links. An activated account is never touched."""
    with transaction.atomic():
        _delete(User.objects.waiting().filter(pk=claim.pk))
    log.info("cancelled %s", claim.pk)


def decline(claim: User) -> None:
    """The owner of the mailbox says that he did not register."""
    with transaction.atomic():
        cancel(claim)
        suppression.suppress(claim.email, suppression.Reason.DECLINED, for_=DECLINED_FOR)


def keep(claims: Iterable[User]) -> int:
    """A claim lives as long as the newest link to it: called when a link is made."""
    end = claim_end()
    # Not for less than a minute: most links are made just after the claim.
    short = [claim.pk for claim in claims if claim.claim_expires_at < end - timedelta(minutes=1)]
    if not short:
        return 0
    return User.objects.waiting().filter(pk__in=short).update(claim_expires_at=end)


def expired_claims(before: datetime) -> UserQuerySet:
    """Claims that expired before then. Never an account, and never anybody of the staff."""
    waiting = User.objects.waiting().filter(is_staff=False, is_superuser=False)
    return waiting.filter(claim_expires_at__lt=before)


def prune_claims(before: datetime, at_most: int) -> int:
    """Deletes some of the expired claims; how many. No argument makes it take anything else."""
    with transaction.atomic():
        # Locked, and so looked at again: one that is activated in this moment is not among them.
        claims = expired_claims(before).select_for_update()[:at_most]
        pks = [claim.pk for claim in claims]
        expired_claims(before).filter(pk__in=pks).delete()
    return len(pks)


# Activation


def activate(claim: User, new_password: str | None = None) -> User:
    """Opens the account to somebody who holds the mailbox and the password, or LinkSpent.

    The address now belongs to this account, and every other claim to it dies. With `new_password`
    the mailbox alone was proven, and whoever chose the old password is shut out.
    """
    changes = {"is_active": True, "activated_at": timezone.now()}
    if new_password is not None:
        claim.set_password(new_password)
        changes["password"] = claim.password
    try:
        with transaction.atomic():
            _lock(User.objects.at_address(claim.email))
            # The address in the condition: it may have been corrected since the link was checked.
            same = User.objects.waiting().filter(pk=claim.pk, email=claim.email)
            if not same.update(**changes):
                raise LinkSpent
            _delete(User.objects.waiting().at_address(claim.email))
    except IntegrityError as error:  # another account proved this address first
        raise LinkSpent from error
    log.info("activated %s", claim.pk)
    return User.objects.get(pk=claim.pk)


# Passwords


def request_reset(address: str, language: str) -> None:
    """A row for whatever address; only the letter looks whether there is an account."""
    outbox.post("password_reset", address=address, language=language)


def reset_password(user: User, new_password: str) -> User:
    """A new password for the holder of the mailbox; every session and link ends. Or LinkSpent."""
    return _set_password(user, new_password)


def change_password(user: User, new_password: str) -> User:
    """A new password for somebody who has given the current one. Other sessions end."""
    return _set_password(user, new_password)


def _set_password(user: User, new_password: str) -> User:
    old_hash = user.password
    user.set_password(new_password)
    with transaction.atomic():
        # The old hash in the condition: of two uses of one link, one wins.
        unchanged = User.objects.filter(pk=user.pk, is_active=True, password=old_hash)
        if not unchanged.update(password=user.password):
            raise LinkSpent
        outbox.post("password_change", user=user)
    log.info("new password for %s", user.pk)
    return user


# By staff


def disable(user: User) -> State:
    """No sign-in, no session and no link works any more. A waiting claim is cancelled instead.

    Returns the state that the account was in.
    """
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user.pk)
        was = user.state
        if was == State.WAITING:
            cancel(user)
        else:
            user.is_active = False
            user.session_epoch += 1
            user.save(update_fields=["is_active", "session_epoch"])
            log.info("disabled %s", user.pk)
    return was


def activate_by_staff(user: User) -> None:
    """Opens a waiting account without its link, or a disabled one again; LinkSpent if neither."""
    if user.state == State.WAITING:
        activate(user)
    elif not User.objects.filter(pk=user.pk, is_active=False).update(is_active=True):
        raise LinkSpent
    log.info("activated %s by staff", user.pk)


def send_reset(user: User) -> None:
    """Staff starts a reset; only the holder of the mailbox chooses the password.

    A letter with a count of its own, so that strangers who ask for resets cannot use it up.
    """
    outbox.post("password_reset_by_staff", address=user.email, language=user.language)


# Language


def choose_language(user: User, language: str) -> None:
    User.objects.filter(pk=user.pk).update(language=language)
