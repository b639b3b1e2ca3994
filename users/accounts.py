"""The service layer: every change that a flow makes to an account is a function here.

Each is one transaction, which also queues the message that reports the change. None of them checks
whether an address is known: `letters` does, when the message is due, so neither a response nor its
timing reveals who has an account.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from mail import api
from users import activity, guard, hashing, identity
from users.models import (
    ACTIVE,
    WAITING,
    AddressChange,
    FailedSignIn,
    Level,
    State,
    Tag,
    User,
    UserQuerySet,
    claim_end,
)
from users.visitors import NOWHERE, Where

log = logging.getLogger(__name__)

# After "I did not register", no registration messages to the address for this long. Not for ever,
# because the same person may want to register one day.
DECLINED_FOR = timedelta(days=30)


class UserIdTaken(Exception):
    """The user_id belongs to another account, or to a claim that has not expired."""


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
    consent: str = "",
    made_by: str = "",
    asker: str = "",
) -> User:
    """Creates a claim and queues its message. `replacing`: the visitor's earlier claim, if any.

    `consent`: the version of the terms agreed to. `made_by`: `visitors.form_key`; the same form
    once more gets the claim that it has made. `asker`, here and below: `visitors.asker`; empty if
    staff asks.
    """
    claim = User(
        user_id=identity.clean_user_id(user_id),
        email=identity.clean_address(email, outside=True),
        name=identity.clean_name(name),
        level=Level.MEMBER,
        language=language,
        consented_at=timezone.now() if consent else None,
        consent_version=consent,
        made_by=made_by,
    )
    if same := _sent_before(claim, password):
        return same
    claim.set_password(password)  # slow on purpose, so outside the transaction
    try:
        with transaction.atomic():
            # A claim reserves its user_id until it expires, but not against its own visitor.
            gone = Q(user_id_key=claim.user_id.lower(), claim_expires_at__lte=timezone.now())
            if replacing:  # "no key" would be looked for in all rows
                gone |= Q(pk=replacing)
            claims = User.objects.alias(user_id_key=Lower("user_id")).filter(WAITING, gone)
            in_order = claims.order_by("pk").select_for_update().values_list("pk", flat=True)
            User.objects.filter(pk__in=list(in_order)).delete()
            claim.save(force_insert=True)
            api.post("register", user=claim, asker=asker, anew=True)
    except IntegrityError as error:
        if same := _sent_before(claim, password):  # at the same moment
            return same
        if User.objects.named(claim.user_id).exclude(pk=replacing or claim.pk).exists():
            raise UserIdTaken from error
        raise  # not about the user_id: a bug
    log.info("registered %s", claim.pk)
    return claim


def _sent_before(claim: User, password: str) -> User | None:
    """The claim that this very form has made already: of a double click, the second is no other."""
    if not claim.made_by:
        return None
    typed = {"user_id": claim.user_id, "email": claim.email, "name": claim.name}
    same = User.objects.filter(WAITING, **typed, made_by=claim.made_by)
    for earlier in same:
        if not earlier.claim_is_expired and earlier.check_password(password):
            return earlier
    return None


def is_free(user_id: str, mine: User | None) -> bool:
    """Whether `register` would take this ID from somebody whose own claim is `mine`."""
    return all(other == mine or other.claim_is_expired for other in User.objects.named(user_id))


def _lock(people: UserQuerySet) -> list[UUID]:
    """Locks these rows until the commit, always in the same order, so that two cannot deadlock."""
    return list(people.order_by("pk").select_for_update().values_list("pk", flat=True))


def _delete(people: UserQuerySet) -> bool:
    """Whether there were any."""
    return bool(User.objects.filter(pk__in=_lock(people)).delete()[0])


def resend_activation(claim: User, asker: str = "") -> None:
    """Sends the link again, to somebody who has shown that the claim is theirs."""
    with transaction.atomic():
        if _lock(User.objects.waiting().filter(pk=claim.pk)):
            extend([claim])
            api.post("register", user=claim, asker=asker)


def request_activation(address: str, language: str, asker: str = "") -> None:
    """Sends the link again on anybody's request: queues a row for any address, known or not."""
    api.post("activate_resend", address=address, language=language, asker=asker)


def correct_address(claim: User, email: str, asker: str = "") -> None:
    """Changes the address of a claim. Links to the old one die: their token covers the address."""
    claim.email = identity.clean_address(email, outside=True)
    with transaction.atomic():
        if not User.objects.waiting().filter(pk=claim.pk).update(email=claim.email):
            raise LinkSpent
        api.cancel(claim, "register")
        api.post("register", user=claim, asker=asker)
    log.info("corrected the address of %s", claim.pk)


def cancel(claim: User) -> None:
    """Deletes a claim, with its user_id and its links. Never touches an activated account: raises
    LinkSpent if it has become one."""
    with transaction.atomic():
        if not _delete(User.objects.waiting().filter(pk=claim.pk)):
            raise LinkSpent
    log.info("cancelled %s", claim.pk)


def decline(claim: User) -> None:
    """The owner of the mailbox says: I did not register."""
    with transaction.atomic():
        cancel(claim)
        api.suppress(claim.email, api.Suppression.Reason.DECLINED, for_=DECLINED_FOR)


def extend(claims: Iterable[User]) -> int:
    """Lets claims live as long as their newest link: called when a link is made."""
    end = claim_end()
    # Not for less than a minute: most links are made right after the claim.
    short = [claim.pk for claim in claims if claim.claim_expires_at < end - timedelta(minutes=1)]
    if not short:
        return 0
    with transaction.atomic():
        locked = _lock(User.objects.waiting().filter(pk__in=short))
        return User.objects.filter(pk__in=locked).update(claim_expires_at=end)


def expired_claims(before: datetime) -> UserQuerySet:
    """Claims that expired before then. Never an account, and never staff."""
    waiting = User.objects.waiting().filter(is_staff=False, is_superuser=False)
    return waiting.filter(claim_expires_at__lt=before)


def prune_claims(before: datetime, at_most: int) -> int:
    """Deletes expired claims and returns how many. No argument makes it delete anything else."""
    with transaction.atomic():
        pks = list(expired_claims(before).values_list("pk", flat=True)[:at_most])
        # Checked again with the lock: a claim that is activated at this moment survives.
        _delete(expired_claims(before).filter(pk__in=pks))
    return len(pks)


# Activation


def activate(claim: User, new_password: str | None = None) -> User:
    """Activates the account of somebody who has proven the mailbox and knows the password.

    The address now belongs to this account. Other claims to it live on until they expire, as those
    that are made from now on do: the browser of a stranger must not see that somebody came. With
    `new_password` only the mailbox was proven, so whoever chose the old password is locked out.
    Raises LinkSpent if the claim is no longer there, or names another address.
    """
    now = timezone.now()
    changes: dict[str, Any] = {"is_active": True, "activated_at": now}
    if new_password is not None:
        with hashing.room(hashing.PATIENCE_OF_THE_PROVEN):
            claim.set_password(new_password)
        # Nor is the browser that registered one of theirs (`guard.is_known`).
        changes |= {"password": claim.password, "made_by": ""}
    try:
        with transaction.atomic():
            # Filters by address too: it may have been corrected since the link was checked.
            same = User.objects.waiting().filter(pk=claim.pk, email=claim.email)
            if not same.update(**changes):
                raise LinkSpent
            _refuse_if_held(claim.email, claim)
    except IntegrityError as error:  # another account proved this address first
        raise LinkSpent from error
    claim.is_active, claim.activated_at = True, now
    log.info("activated %s", claim.pk)
    return claim


def _refuse_if_held(address: str, person: User) -> None:
    """Nobody gets an address that its owner of a few days ago may still want back.

    Asked in the transaction that takes it, and afterwards: the unique constraint has made it wait
    for whoever was giving the address up at this moment, and a new statement sees what they did.
    """
    if AddressChange.objects.holding(address).exclude(person=person.pk).exists():
        raise LinkSpent


# The address


def request_address(
    person: User,
    address: str,
    asker: str = "",
    where: Where = NOWHERE,
    by: User | None = None,
) -> None:
    """Sends a link to the new address; one that was sent before is void. Nothing changes yet.

    The same for an address that has an owner: `letters` finds out, and writes to them instead.
    """
    new = identity.clean_address(address, outside=True)
    with transaction.atomic():
        person = _lock_active(person)
        _void(person)
        AddressChange.objects.create(person=person, old=person.email, new=new)
        api.cancel(person, "address_confirm")
        api.post("address_confirm", user=person, address=new, asker=asker, anew=True)
        activity.record(person, Tag.ADDRESS_REQUESTED, where, by)
    log.info("asked for another address: %s", person.pk)


def cancel_address(person: User) -> None:
    with transaction.atomic():
        _void(_lock_active(person))
        api.cancel(person, "address_confirm")


def confirm_address(person: User, where: Where = NOWHERE) -> User:
    """For somebody who has proven the new mailbox, and whose account it is.

    The old one is notified, and may take the account back. Raises LinkSpent if the change is void
    by now (`_void` is part of whatever makes it so), or if the address belongs to another.
    """
    change, now = person.pending_change, timezone.now()
    if change is None:
        raise LinkSpent
    try:
        with transaction.atomic():
            found = _lock_active(person)
            pending = AddressChange.objects.pending().filter(pk=change.pk)
            if not pending.update(confirmed_at=now, secured_at=found.secured_at):
                raise LinkSpent
            back = _return_to(found, change.new, now)
            secured_at = back.secured_at if back else found.secured_at
            User.objects.filter(pk=found.pk).update(email=change.new, secured_at=secured_at)
            _refuse_if_held(change.new, found)
            if not back:
                api.post("address_changed", user=found, address=change.old, anew=True)
            activity.record(found, Tag.ADDRESS_CHANGED, where)
    except IntegrityError as error:  # another account proved this address first
        raise LinkSpent from error
    log.info("changed the address of %s", person.pk)
    found.email, found.secured_at = change.new, secured_at
    return found


def take_back(person: User, where: Where = NOWHERE) -> None:
    """ "This wasn't me", says the reader of the mailbox `person.email`: the present address, or one
    that was changed a few days ago (`person` is one of `User.selves`).

    They get the account back, and nobody else keeps anything: no session, no password, no link, no
    browser that is known, no address that is pending or came since. Only the mailbox leads in.
    """
    now = timezone.now()
    try:
        with transaction.atomic():
            found = _lock_active(person)
            # As the link was checked: a second press finds another `secured_at`.
            selves = found.selves()
            if (person.email, person.secured_at) not in [
                (it.email, it.secured_at) for it in selves
            ]:
                raise LinkSpent
            for it in selves:
                guard.forget_devices(it)
            _void(found)
            if _return_to(found, person.email, now):
                activity.record(found, Tag.ADDRESS_UNDONE, where)
            found.email, found.secured_at, found.deletion_asked_at = person.email, now, None
            found.session_epoch += 1
            found.set_unusable_password()
            found.save(update_fields=[
                "email", "secured_at", "deletion_asked_at", "session_epoch", "password",
            ])  # fmt: skip
            found.sessions.all().delete()
            api.post("take_back", user=found, anew=True)
            activity.record(found, Tag.TAKEN_BACK, where)
    except IntegrityError as error:  # somebody has the address: `_refuse_if_held` was not asked
        raise LinkSpent from error
    log.warning("taken back: %s", person.pk)


def _lock_active(person: User) -> User:
    found = User.objects.select_for_update().filter(pk=person.pk, is_active=True).first()
    if found is None:
        raise LinkSpent
    return found


def _void(person: User) -> None:
    """The change of address that is pending, if there is one."""
    AddressChange.objects.pending().filter(person=person).update(undone_at=timezone.now())


def _return_to(person: User, address: str, now: datetime) -> AddressChange | None:
    """The change that left this address is undone, with all after it; None if there is none.

    However one returns: an address that came since keeps no right to take the account back.
    """
    changes = list(person.address_changes.undoable())
    for number, change in enumerate(changes):
        if change.old.lower() == address.lower():
            since = [one.pk for one in changes[number:]]
            AddressChange.objects.filter(pk__in=since).update(undone_at=now)
            return change
    return None


# Passwords


def request_reset(address: str, language: str, asker: str = "") -> None:
    """Queues a row for any address; only the letter checks whether there is an account."""
    api.post("password_reset", address=address, language=language, asker=asker)


def choose_password(
    user: User, new_password: str, where: Where = NOWHERE, *, by_mailbox: bool = False
) -> User:
    """Sets a new password, for somebody who has proven the mailbox or given the current one.

    Ends every session and invalidates every link; by the mailbox, also those of "this wasn't me"
    (to it alone: see `User.secured_at`). Raises LinkSpent if the password has changed meanwhile.
    """
    old_hash = user.password
    changes: dict[str, Any] = {"secured_at": timezone.now(), "made_by": ""} if by_mailbox else {}
    with hashing.room(hashing.PATIENCE_OF_THE_PROVEN):
        user.set_password(new_password)
    with transaction.atomic():
        # Filters by the old hash: of two uses of one link, one wins.
        unchanged = User.objects.filter(pk=user.pk, is_active=True, password=old_hash)
        if by_mailbox:  # a mailbox that has just lost the account proves nothing any more
            unchanged = unchanged.filter(email=user.email)
        if not unchanged.update(password=user.password, **changes):
            raise LinkSpent
        _void(user)
        user.sessions.all().delete()  # dead by their hash; no list shows them
        tag = Tag.PASSWORD_RESET if by_mailbox else Tag.PASSWORD_CHANGED
        activity.record(user, tag, where)
        api.post("password_change", user=user)
    log.info("new password for %s", user.pk)
    return user


def renew_hash(user: User, password: str) -> None:
    """After a sign-in: replaces a hash from before the present hasher.

    It is part of the hash of a session, so the other browsers of this person are signed out, once.
    """
    old_hash = user.password
    if hashing.is_current(old_hash):
        return
    with hashing.room(hashing.PATIENCE_OF_THE_PROVEN):
        user.set_password(password)
    # Not where it has changed meanwhile: the old password must not come back.
    if not User.objects.filter(pk=user.pk, password=old_hash).update(password=user.password):
        user.password = old_hash


# Sessions


def report_new_device(person: User, where: Where) -> None:
    """To the person: somebody has signed in with a browser that was not used for this account."""
    with transaction.atomic():
        activity.record(person, Tag.NEW_BROWSER, where)
        api.post("new_device", user=person)


def end_session(person: User, public_id: UUID, where: Where = NOWHERE) -> bool:
    """At once. Nothing happens if it is not theirs, or has ended."""
    ended, _ = person.sessions.filter(public_id=public_id).delete()
    if ended:
        activity.record(person, Tag.SESSION_ENDED, where)
        log.info("ended a session of %s", person.pk)
    return bool(ended)


def end_sessions(
    person: User, *, but: str | None = None, where: Where = NOWHERE, by: User | None = None
) -> int:
    """All of them, but the one with this key; how many there were. `by`: of staff."""
    ended, _ = person.sessions.exclude(pk=but or "").delete()
    if ended:
        activity.record(person, Tag.SESSIONS_ENDED, where, by)
        log.info("ended %s sessions of %s", ended, person.pk)
    return ended


# The end of an account


def request_deletion(person: User, where: Where = NOWHERE) -> None:
    """The account is deleted after DELETED_AFTER; until then its owner may change their mind. All
    sessions end. Not for staff, whose accounts nothing deletes by itself: raises LinkSpent."""
    now = timezone.now()
    with transaction.atomic():
        found = _lock_active(person)
        if found.is_staff or found.is_superuser or found.deletion_asked_at:
            raise LinkSpent
        _void(found)
        found.deletion_asked_at, found.session_epoch = now, found.session_epoch + 1
        found.save(update_fields=["deletion_asked_at", "session_epoch"])
        found.sessions.all().delete()
        api.post("deletion", user=found, anew=True)
        activity.record(found, Tag.DELETION_ASKED, where)
    log.info("to be deleted: %s", person.pk)


def keep(person: User, where: Where = NOWHERE, by: User | None = None) -> None:
    """The deletion that was asked for is undone. Raises LinkSpent if there is none."""
    with transaction.atomic():
        leaving = User.objects.filter(pk=person.pk, deletion_asked_at__isnull=False)
        if not leaving.update(deletion_asked_at=None):
            raise LinkSpent
        activity.record(person, Tag.DELETION_UNDONE, where, by)
    log.info("not to be deleted: %s", person.pk)


def leaving(before: datetime) -> UserQuerySet:
    """Who has asked before then. Active people, and never staff."""
    asked = User.objects.filter(ACTIVE, deletion_asked_at__lt=before)
    return asked.filter(is_staff=False, is_superuser=False)


def prune_leaving(before: datetime, at_most: int) -> int:
    """Deletes accounts whose time is over, with all that hangs on them, and returns how many. What
    stays of their messages is when, which, and what became of it."""
    pks = list(leaving(before).values_list("pk", flat=True)[:at_most])
    for pk in pks:
        with transaction.atomic():  # one at a time, so that nobody waits for all of them
            # Asked again with the lock: who keeps the account at this moment keeps it.
            if _lock(leaving(before).filter(pk=pk)):
                person = User.objects.get(pk=pk)
                forget(person)
                person.delete()
    return len(pks)


def forget(person: User) -> None:
    """What does not go with the row of a person who is deleted, and names them."""
    changes = person.address_changes.all()
    addresses = {person.email, *(it.old for it in changes), *(it.new for it in changes)}
    api.forget(person, [person.user_id, *addresses])
    FailedSignIn.objects.filter(name__in=guard.names_of(person)).delete()
    about = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(User))
    about.filter(object_id=str(person.pk)).update(object_repr="-")


# By staff


def disable(user: User, by: User | None = None) -> State:
    """Ends every session, and refuses sign-ins and links. A waiting claim is cancelled instead.

    Returns the previous state.
    """
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user.pk)
        was = user.state
        if was == State.WAITING:
            cancel(user)
        else:
            _void(user)
            # Not to be deleted, either, at the moment when they are let in again.
            user.is_active, user.deletion_asked_at = False, None
            user.session_epoch += 1
            user.save(update_fields=["is_active", "deletion_asked_at", "session_epoch"])
            user.sessions.all().delete()
            activity.record(user, Tag.DISABLED, by=by)
            log.info("disabled %s", user.pk)
    return was


def activate_by_staff(user: User, by: User | None = None) -> None:
    """Activates a waiting account without its link, or re-enables a disabled one."""
    if user.state == State.WAITING:
        activate(user)
    elif not User.objects.filter(pk=user.pk, is_active=False).update(is_active=True):
        raise LinkSpent
    activity.record(user, Tag.ENABLED, by=by)
    log.info("activated %s by staff", user.pk)


def send_reset(user: User, by: User | None = None) -> None:
    """Staff starts a reset; only the holder of the mailbox chooses the password.

    This letter has a limit of its own, so strangers who request resets cannot use it up.
    """
    api.post("password_reset_by_staff", address=user.email, language=user.language)
    activity.record(user, Tag.RESET_SENT, by=by)


# What the owner wants


def stop_notices(owner: User) -> None:
    """No more notices to the owner that somebody has registered with their address."""
    User.objects.filter(pk=owner.pk).update(taken_notices=False)
    log.info("no more notices to %s", owner.pk)


def change_profile(user: User, name: str, language: str, where: Where = NOWHERE) -> None:
    """What nobody has to prove."""
    user.name, user.language = identity.clean_name(name), language
    with transaction.atomic():
        User.objects.filter(pk=user.pk).update(name=user.name, language=user.language)
        activity.record(user, Tag.PROFILE_CHANGED, where)
    log.info("changed the profile of %s", user.pk)


def choose_language(user: User, language: str) -> None:
    User.objects.filter(pk=user.pk).update(language=language)
