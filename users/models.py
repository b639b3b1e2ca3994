"""The user model. `users.accounts` writes it; staff may also edit the descriptive fields."""

import copy
import uuid
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.contrib.auth import hashers
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import connection, models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.functional import cached_property
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _

from users import identity, passwords

Row = TypeVar("Row", bound=models.Model)


def rows_of(model: type[Row], sql: str, *values: Any) -> list[Row]:
    """For the few statements of every page of whoever is signed in: Django composes its own anew
    each time, which took a quarter of such a page."""
    return list(model._default_manager.raw(sql, [stored(value) for value in values]))


def stored(value: Any) -> Any:
    """For SQL of ours: as the database has it."""
    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    if isinstance(value, uuid.UUID):
        return models.UUIDField().get_db_prep_value(value, connection)
    return value


class State(models.TextChoices):
    WAITING = "waiting", _("waiting for activation")
    ACTIVE = "active", _("active")
    DISABLED = "disabled", _("disabled")


class Level(models.TextChoices):
    DEVELOPER = "0", _("developer")
    MANAGER = "1", _("manager")
    MEMBER = "2", _("member")
    GUEST = "3", _("guest")


# The three states, as query conditions. `activated_at` never goes back to null.
WAITING = Q(is_active=False, activated_at__isnull=True)
ACTIVE = Q(is_active=True, activated_at__isnull=False)
DISABLED = Q(is_active=False, activated_at__isnull=False)
# Who has asked for the deletion of their account; so long, they may change their mind.
DELETED_AFTER = timedelta(days=14)
LEAVING = Q(deletion_asked_at__isnull=False)
# Hashes from before Argon2 (`users.hashing.PBKDF2`): their names come after its in the alphabet.
OLD_HASH = Q(password__gt="p")


class UserQuerySet(models.QuerySet["User"]):
    def waiting(self) -> "UserQuerySet":
        """Claims, including expired ones, which exist until somebody wants their user_id."""
        return self.filter(WAITING)

    def owner_of(self, address: str) -> "User | None":
        """The account that has proven this address, active or disabled."""
        owned = self.alias(address_key=Lower("email")).filter(activated_at__isnull=False)
        return owned.filter(address_key=address.lower()).first()

    def holder_of(self, address: str) -> "User | None":
        """The same; or whoever has just given it up, as they were: for some days it is theirs."""
        made = AddressChange.objects.filter(MADE, confirmed_at__gt=timezone.now() - UNDO_FOR)
        held = made.alias(old_key=Lower("old")).filter(old_key=address.lower())
        past = held.select_related("person").first()
        owned = self.alias(address_key=Lower("email")).filter(activated_at__isnull=False)
        owner = owned.filter(address_key=address.lower()).first()
        return owner or (past.past_self(past.person) if past else None)

    def is_free(self, address: str) -> bool:
        """Whether nobody is `holder_of` it, by one statement."""
        owner = self.alias(address_key=Lower("email")).filter(activated_at__isnull=False)
        of_owner = owner.filter(address_key=address.lower()).values("pk")
        return not of_owner.union(AddressChange.objects.holding(address).values("person")).exists()

    def at_address(self, address: str) -> "UserQuerySet":
        """Accounts and claims. Stored addresses are ASCII, so LOWER means the same everywhere."""
        return self.alias(address_key=Lower("email")).filter(address_key=address.lower())

    def found_by(self, text: str, at_most: int) -> set[uuid.UUID]:
        """The keys of those whose address it is, or whose ID or name it begins. One query a way:
        of all ways in one, a planner might read everybody instead."""
        begins = [self.filter(_begins(name, text)) for name in ("user_id", "name")]
        ways: list[UserQuerySet] = [self.named(text), self.at_address(text), *begins]
        return {pk for way in ways for pk in way.values_list("pk", flat=True)[:at_most]}

    def named(self, user_id: str) -> "UserQuerySet":
        return self.alias(user_id_key=Lower("user_id")).filter(user_id_key=user_id.lower())


def _begins(field: str, text: str) -> Q:
    """By an index: SQLite has none for LIKE, and PostgreSQL's order is that of a language."""
    if connection.vendor == "sqlite":
        return Q(**{f"{field}__gte": text, f"{field}__lt": f"{text}\U0010ffff"})
    return Q(**{f"{field}__startswith": text})


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> "User":
        return UserQuerySet(self.model).named(identity.find_user_id(username or "")).get()

    def create_superuser(
        self, user_id: str, email: str, password: str | None = None, **fields: Any
    ) -> "User":
        """The first administrator, from the command line: active at once."""
        fields = {"level": Level.DEVELOPER, "name": user_id, **fields}
        user = self.model(
            user_id=identity.clean_user_id(user_id, allow_reserved=True),
            email=identity.clean_address(email),
            is_staff=True,
            is_superuser=True,
            is_active=True,
            activated_at=timezone.now(),
            **fields,
        )
        user.set_password(password)
        user.full_clean()  # reports a taken user_id or address in words, not as an IntegrityError
        user.save(using=self._db)
        return user


def claim_end() -> datetime:
    """When a claim made now expires."""
    return timezone.now() + timedelta(seconds=settings.ACTIVATION_TIMEOUT)


def site_language() -> str:
    return settings.LANGUAGE_CODE


class User(AbstractBaseUser, PermissionsMixin):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user_id = models.CharField(
        _("ID"),
        max_length=identity.USER_ID_MAX_LENGTH,
        unique=True,
        error_messages={"unique": _("This ID is taken. Please choose another.")},
    )
    email = models.EmailField(_("e-mail address"), max_length=identity.ADDRESS_MAX_LENGTH)
    name = models.CharField(_("name"), max_length=identity.NAME_MAX_LENGTH)
    department = models.CharField(_("department"), max_length=50, default="컴퓨터공학부")
    level = models.CharField(_("level"), max_length=1, choices=Level.choices, default=Level.MEMBER)
    language = models.CharField(
        _("language"), max_length=10, choices=settings.LANGUAGES, default=site_language
    )
    is_active = models.BooleanField(_("active"), default=False, editable=False)
    is_staff = models.BooleanField(_("staff"), default=False)
    activated_at = models.DateTimeField(_("activated"), null=True, editable=False)
    created_at = models.DateTimeField(_("registered"), default=timezone.now, editable=False)
    # A claim reserves its user_id until then. Meaningless once the account is activated.
    claim_expires_at = models.DateTimeField(_("claim expires"), default=claim_end, editable=False)
    # Off by a link in the notice itself (`letters.register`).
    taken_notices = models.BooleanField(
        _("hears of registrations with their address"), default=True
    )
    # To the terms and the privacy policy of this version (settings.CONSENT_VERSION).
    consented_at = models.DateTimeField(_("consented"), null=True, editable=False)
    consent_version = models.CharField(
        _("consented to the version of"),
        max_length=20,
        blank=True,
        default="",
        db_default="",  # for processes that still run the code from before
        editable=False,
    )
    # A keyed hash of the form that made it: the same form once more is a second click.
    made_by = models.CharField(max_length=32, blank=True, default="", db_default="", editable=False)
    # Part of the hash of every session and reset link: incrementing it ends them all.
    session_epoch = models.PositiveIntegerField(default=0, editable=False)
    # When the reader of the present address last used a link that only they have: a reset, or "this
    # wasn't me". Part of the hash of the latter, so that one from before can throw nobody out.
    secured_at = models.DateTimeField(null=True, editable=False)
    deletion_asked_at = models.DateTimeField(_("deletion asked for"), null=True, editable=False)

    # Of a past self (`AddressChange.past_self`): when the account went to another address.
    left_at: datetime | None = None
    # Of whoever has just given their password: whether they have signed in here before.
    is_known_here = False

    objects = UserManager.from_queryset(UserQuerySet)()

    USERNAME_FIELD = "user_id"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS = ["email"]

    class Meta:
        verbose_name = _("person")
        verbose_name_plural = _("people")
        constraints = [
            models.CheckConstraint(
                name="user_active_means_activated",
                condition=Q(is_active=False) | Q(activated_at__isnull=False),
            ),
            models.CheckConstraint(name="user_level_known", condition=Q(level__in=Level.values)),
            models.UniqueConstraint(
                Lower("user_id"),
                name="user_id_unique_ignoring_case",
                violation_error_message=_("This ID is taken. Please choose another."),
            ),
            models.UniqueConstraint(
                Lower("email"),
                name="user_address_unique_among_activated",
                condition=Q(activated_at__isnull=False),
                violation_error_message=_("An account with this address exists already."),
            ),
        ]
        indexes = [
            models.Index(Lower("email"), name="user_address_ignoring_case"),
            # The rest is for lists, and for what tidies up.
            models.Index("created_at", name="user_by_age"),
            models.Index("created_at", name="user_active_by_age", condition=ACTIVE),
            models.Index("created_at", name="user_waiting_by_age", condition=WAITING),
            models.Index("claim_expires_at", name="user_waiting_by_end", condition=WAITING),
            models.Index("created_at", name="user_disabled_by_age", condition=DISABLED),
            models.Index("created_at", name="user_staff_by_age", condition=Q(is_staff=True)),
            models.Index("level", "created_at", name="user_by_level"),
            models.Index(fields=["name"], name="user_by_name", opclasses=["varchar_pattern_ops"]),
            # Whether anybody has one, every sign-in asks (`users.backends`).
            models.Index("user_id", name="user_with_old_hash", condition=OLD_HASH),
            models.Index("deletion_asked_at", name="user_leaving", condition=LEAVING),
        ]

    def __str__(self) -> str:
        return self.user_id

    @property
    def state(self) -> State:
        if self.is_active:
            return State.ACTIVE
        return State.DISABLED if self.activated_at else State.WAITING

    @property
    def is_waiting(self) -> bool:
        return not self.is_active and self.activated_at is None

    @property
    def claim_is_expired(self) -> bool:
        return self.is_waiting and self.claim_expires_at <= timezone.now()

    @property
    def leaves_at(self) -> datetime | None:
        """When the account is deleted, if its owner has asked for that."""
        return self.deletion_asked_at and self.deletion_asked_at + DELETED_AFTER

    @cached_property
    def pending_change(self) -> "AddressChange | None":
        return next(iter(rows_of(AddressChange, PENDING_OF, self.pk)), None)

    def selves(self) -> list["User"]:
        """As they are, and as they were at each address that may still take the account back."""
        return [self, *(change.past_self(self) for change in self.address_changes.undoable())]

    def get_full_name(self) -> str:
        return self.name

    def get_short_name(self) -> str:
        return self.name

    def set_password(self, raw_password: str | None) -> None:
        super().set_password(None if raw_password is None else passwords.normalized(raw_password))

    def check_password(self, raw_password: str | None) -> bool:
        """Writes nothing, unlike Django's: an old hash is renewed by `accounts.renew_hash`."""
        return raw_password is not None and hashers.check_password(
            passwords.normalized(raw_password), self.password
        )

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """Django's, plus the epoch, so that disabling an account ends its sessions for good."""
        return salted_hmac(
            "users.models.User.session",
            f"{self.password}{self.session_epoch}",
            secret=secret,
            algorithm="sha256",
        ).hexdigest()


# Where somebody is signed in: see `users.sessions`


class Session(AbstractBaseSession):
    """Django's, which knows whose it is: for the list of a person, who can end each."""

    public_id = models.UUIDField(default=uuid.uuid4, editable=False)  # the key is a secret
    # Without a constraint: if they are deleted at this moment, no request of theirs fails.
    person = models.ForeignKey(
        User, models.CASCADE, null=True, related_name="sessions", db_constraint=False
    )
    device = models.CharField(max_length=40, blank=True)
    network = models.CharField(max_length=43, blank=True)
    started_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return str(self.public_id)

    @classmethod
    def get_session_store_class(cls) -> Any:
        return import_string(f"{settings.SESSION_ENGINE}.SessionStore")


# Changes of address: see `accounts.request_address`

# For so long the address before may take the account back, and nobody else gets it.
UNDO_FOR = timedelta(days=7)
PENDING = Q(confirmed_at__isnull=True, undone_at__isnull=True)
PENDING_OF = """SELECT * FROM users_addresschange
WHERE person_id = %s AND confirmed_at IS NULL AND undone_at IS NULL
"""
MADE = Q(confirmed_at__isnull=False, undone_at__isnull=True)


class AddressChangeQuerySet(models.QuerySet["AddressChange"]):
    def pending(self) -> "AddressChangeQuerySet":
        return self.filter(PENDING)

    def undoable(self) -> "AddressChangeQuerySet":
        """The oldest first: whose `old` is before that of the others."""
        made = self.filter(MADE, confirmed_at__gt=timezone.now() - UNDO_FOR)
        return made.order_by("confirmed_at", "pk")

    def holding(self, address: str) -> "AddressChangeQuerySet":
        """Those that may still give this address back."""
        made = self.filter(MADE, confirmed_at__gt=timezone.now() - UNDO_FOR)
        return made.alias(old_key=Lower("old")).filter(old_key=address.lower())


class AddressChange(models.Model):
    """One that was asked for, and what became of it: confirmed by the new mailbox, or not; undone,
    or void before that."""

    person = models.ForeignKey(
        User, models.CASCADE, related_name="address_changes", verbose_name=_("person")
    )
    old = models.EmailField(_("old address"), max_length=identity.ADDRESS_MAX_LENGTH)
    new = models.EmailField(_("new address"), max_length=identity.ADDRESS_MAX_LENGTH)
    asked_at = models.DateTimeField(_("asked for"), default=timezone.now)
    confirmed_at = models.DateTimeField(_("confirmed"), null=True)
    undone_at = models.DateTimeField(_("undone"), null=True)
    # `User.secured_at` as it was with the old address, which nobody at the new one can touch.
    secured_at = models.DateTimeField(null=True)

    objects = AddressChangeQuerySet.as_manager()

    class Meta:
        verbose_name = _("change of address")
        verbose_name_plural = _("changes of address")
        constraints = [
            models.UniqueConstraint(
                fields=["person"], condition=PENDING, name="address_change_pending_once"
            ),
        ]
        indexes = [
            models.Index(Lower("old"), name="address_change_held", condition=MADE),
            models.Index("asked_at", name="address_change_by_age"),
        ]

    def __str__(self) -> str:
        return f"change of address {self.pk}"

    def past_self(self, person: User) -> User:
        """Never to be saved: what the links to the old mailbox are made from."""
        past = copy.copy(person)
        past.email, past.secured_at, past.left_at = self.old, self.secured_at, self.confirmed_at
        return past


# Guesses at passwords: see `users.guard`


class Tally(models.Model):
    """How many guesses a name, a network or a browser has made since its hour began."""

    key = models.CharField(max_length=100, primary_key=True)
    times = models.PositiveIntegerField(default=0)
    ends_at = models.DateTimeField(db_index=True)
    free_at = models.DateTimeField()  # no guess before

    def __str__(self) -> str:
        return self.key


class FailedSignIn(models.Model):
    """Wrong passwords for a name in a day: in all, and from each network.

    By a keyed hash of the name, so that a name which nobody has leaves the same row, and a
    password that was typed into the wrong field is not kept.
    """

    name = models.CharField(max_length=32)
    network = models.CharField(max_length=43, blank=True)  # empty: in all
    day = models.DateField()
    times = models.PositiveIntegerField(default=1)
    last_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["name", "day", "network"], name="failed_sign_in_once")
        ]
        indexes = [
            models.Index(fields=["network", "day"], name="failed_sign_in_by_network"),
            models.Index(fields=["day"], name="failed_sign_in_by_day"),
        ]

    def __str__(self) -> str:
        return f"{self.times} on {self.day} from {self.network or 'everywhere'}"


# What has happened to an account: see `users.activity`


class Tag(models.TextChoices):
    SIGNED_IN = "signed_in", _("Signed in")
    NEW_BROWSER = "new_browser", _("E-mail about a new browser sent")
    SIGN_IN_FAILED = "sign_in_failed", _("Wrong password")
    SIGNED_OUT = "signed_out", _("Signed out")
    PASSWORD_CHANGED = "password_changed", _("Password changed")
    PASSWORD_RESET = "password_reset", _("New password chosen by a link")
    RESET_SENT = "reset_sent", _("Link for a new password sent")
    ADDRESS_REQUESTED = "address_requested", _("Change of address requested")
    ADDRESS_CHANGED = "address_changed", _("Address changed")
    ADDRESS_UNDONE = "address_undone", _("Change of address undone")
    SESSION_ENDED = "session_ended", _("A device signed out")
    SESSIONS_ENDED = "sessions_ended", _("Several devices signed out")
    TAKEN_BACK = "taken_back", _("Account taken back: “This wasn't me”")
    DELETION_ASKED = "deletion_asked", _("Deletion of the account requested")
    DELETION_UNDONE = "deletion_undone", _("Deletion of the account undone")
    EXPORTED = "exported", _("Data exported")
    PROFILE_CHANGED = "profile_changed", _("Profile changed")
    DISABLED = "disabled", _("Account disabled")
    ENABLED = "enabled", _("Account enabled")
    BY_STAFF = "by_staff", _("Changed by staff")

    @classmethod
    def label_of(cls, tag: str) -> str:
        try:
            return str(cls(tag).label)
        except ValueError:  # of another release
            return tag


class Event(models.Model):
    """Something that happened to an account. Never a token, and nothing that somebody typed."""

    person = models.ForeignKey(User, models.CASCADE, related_name="events", db_index=False)
    at = models.DateTimeField(default=timezone.now)
    tag = models.CharField(
        max_length=20
    )  # a Tag; without choices, so that a new one is no migration
    device = models.CharField(max_length=40, blank=True)  # a label of ours
    network = models.CharField(max_length=43, blank=True)
    by = models.ForeignKey(  # of staff; null: the person
        User, models.SET_NULL, null=True, related_name="+", db_index=False
    )

    class Meta:
        indexes = [
            models.Index(fields=["person", "-at"], name="event_by_person"),
            models.Index("at", name="event_by_age"),
            models.Index("by", name="event_by_staff", condition=Q(by__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.tag} at {self.at}"

    @property
    def what(self) -> str:
        return Tag.label_of(self.tag)
