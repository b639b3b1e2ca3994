"""The tokens in our links: one of Django's generators for each purpose. Nothing is stored.

A token is invalid once it has been used: its hash covers the password and the address, and the
state of the account decides whether it is accepted at all (`views.pages`).
"""

from datetime import timedelta

from django.conf import settings
from django.contrib.auth.tokens import PasswordResetTokenGenerator, default_token_generator
from django.utils.crypto import constant_time_compare
from django.utils.http import base36_to_int

from users.models import DELETED_AFTER, UNDO_FOR, User

# "This wasn't me", of a letter to the present address; to one before, UNDO_FOR.
TAKE_BACK_FOR = timedelta(hours=72)

# Activation links use Django's own generator, whose lifetime is PASSWORD_RESET_TIMEOUT.
activation = default_token_generator


class ResetTokenGenerator(PasswordResetTokenGenerator):
    """For one password reset: its own salt, a shorter lifetime, invalid once sessions are ended."""

    key_salt = "users.tokens.reset"

    def check_token(self, user: User | None, token: str | None) -> bool:
        age = _age(self, token)
        fresh = age is not None and age <= timedelta(seconds=settings.RESET_TIMEOUT)
        return fresh and super().check_token(user, token)

    def _make_hash_value(self, user: User, timestamp: int) -> str:
        """Unlike Django's without the last sign-in: whoever knows the old password could sign in,
        and so end the link with which its owner locks them out."""
        return f"{user.pk} {user.password} {user.session_epoch} {timestamp} {user.email}"


reset = ResetTokenGenerator()


class NoticesTokenGenerator(PasswordResetTokenGenerator):
    """To stop notices about an address that is taken. It lasts until it has been used."""

    key_salt = "users.tokens.notices"

    def _make_hash_value(self, user: User, timestamp: int) -> str:
        return f"{user.pk}{user.email}{user.taken_notices}{timestamp}"


notices = NoticesTokenGenerator()


class AddressTokenGenerator(PasswordResetTokenGenerator):
    """To confirm the change of address that is pending, and no other: with the session or the
    password. It dies with either of them, and with the address that the change began from."""

    key_salt = "users.tokens.address"

    def _make_hash_value(self, user: User, timestamp: int) -> str:
        change = user.pending_change
        where = f"{change.pk} {change.new}" if change else ""
        return f"{user.pk} {user.password} {user.session_epoch} {user.email} {where} {timestamp}"


address = AddressTokenGenerator()


class TakeBackTokenGenerator(PasswordResetTokenGenerator):
    """ "This wasn't me". It covers the person and the mailbox that it was sent to, and nothing that
    a thief of the account could change: not the password, the sessions or the present address.

    `secured_at` is what a use of the mailbox changes (`models.User`), so a link dies with the use
    of another to the same mailbox. Whoever reads the present address cannot touch that of an
    earlier one: it is kept with the change.
    """

    key_salt = "users.tokens.take_back"

    def check_token(self, user: User | None, token: str | None) -> bool:
        age = _age(self, token)
        lives = UNDO_FOR if user and user.left_at else TAKE_BACK_FOR
        return age is not None and age <= lives and is_genuine(self, user, token)

    def _make_hash_value(self, user: User, timestamp: int) -> str:
        secured = user.secured_at.timestamp() if user.secured_at else ""
        return f"{user.pk} {user.email} {secured} {timestamp}"


take_back = TakeBackTokenGenerator()


class DeletionTokenGenerator(PasswordResetTokenGenerator):
    """To keep an account that is to be deleted: for as long as it is."""

    key_salt = "users.tokens.deletion"

    def check_token(self, user: User | None, token: str | None) -> bool:
        age = _age(self, token)
        return age is not None and age <= DELETED_AFTER and is_genuine(self, user, token)

    def _make_hash_value(self, user: User, timestamp: int) -> str:
        asked = user.deletion_asked_at.timestamp() if user.deletion_asked_at else ""
        return f"{user.pk} {user.email} {asked} {timestamp}"


deletion = DeletionTokenGenerator()


def is_genuine(
    generator: PasswordResetTokenGenerator, user: User | None, token: str | None
) -> bool:
    """Whether we made this token for this account in its present state, however long ago."""
    if user is None or not token or _age(generator, token) is None:
        return False
    made = base36_to_int(token.split("-")[0])
    # Django has no public API for this: its check_token() cannot tell "expired" from "forged".
    make = generator._make_token_with_timestamp
    return any(
        constant_time_compare(make(user, made, secret), token)
        for secret in [generator.secret, *generator.secret_fallbacks]
    )


def _age(generator: PasswordResetTokenGenerator, token: str | None) -> timedelta | None:
    """How long ago the token claims to have been made; None if it is not a token."""
    stamp, dash, _ = (token or "").partition("-")
    if not dash:
        return None
    try:
        made = base36_to_int(stamp)
        return timedelta(seconds=generator._num_seconds(generator._now()) - made)
    except (ValueError, OverflowError):  # not a number, or a date out of range
        return None
