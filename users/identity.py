"""User IDs, names and addresses: what is valid, and in which form it is stored.

All Unicode is handled here. Each function takes what somebody typed and returns what is stored, or
raises a ValidationError. They are idempotent, so the forms and `accounts` can both use them.
"""

import re
import unicodedata
from email.utils import parseaddr

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from django.utils.encoding import punycode
from django.utils.translation import gettext_lazy as _

from mail import api

USER_ID_MAX_LENGTH = 30
NAME_MAX_LENGTH = 50
ADDRESS_MAX_LENGTH = 254  # RFC 5321, a path without its angle brackets

# No dot and no "@": a mail program turns what looks like a host into a link, and a stranger can
# have a letter with this user_id sent to anybody.
# Nor what looks like a telephone number: one begins with 0, or is digits with hyphens.
USER_ID = re.compile(r"(?!0)(?![0-9]+-[0-9-]*$)[A-Za-z0-9][A-Za-z0-9_-]{2,29}")
# RFC 5321 without quoted local parts, which are legal, unused and a source of bugs.
LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}")

RESERVED_USER_IDS = frozenset(
    """
    abuse account accounts activate admin administrator anonymous api assistant bot contact cs
    csweb cs_web cs-web daemon department developer dev everyone guest guestbook help helpdesk
    hostmaster info login logout mail mailbox mailer-daemon manager me member moderator news
    nobody no-reply noreply null office operator owner postmaster professor register registration
    root security service signin signup site staff static student superuser support sysadmin
    system team test undefined user username users webmaster www
    """.split()
)

# A single label, a literal, numbers, and top-level domains that no public name has.
INSIDE = re.compile(
    r"@([^.]+|\[.*\]|[\d.]+|.*\.(internal|invalid|lan|local|localdomain|localhost))$"
)

_address_is_valid = EmailValidator(_("Enter a valid e-mail address, such as name@example.com."))


def clean_user_id(typed: str, *, allow_reserved: bool = False) -> str:
    """The login name: Latin letters, digits, `-` and `_`; full-width forms are converted."""
    user_id = unicodedata.normalize("NFKC", typed).strip()
    if not USER_ID.fullmatch(user_id):
        raise ValidationError(
            _(
                "Use 3 to 30 Latin letters, digits, “-” or “_”, such as hong-gildong or 20231234. "
                "It may not begin with 0, nor look like a telephone number."
            ),
            code="user_id_invalid",
        )
    if not allow_reserved and user_id.lower() in RESERVED_USER_IDS:
        raise ValidationError(
            _("This ID is kept for the site itself. Please choose another."),
            code="user_id_reserved",
        )
    return user_id


def clean_address(typed: str, *, outside: bool = False) -> str:
    """A mailbox, in ASCII: the domain in lower case and punycode, the local part unchanged.

    `outside`: one that no outside mailbox has is refused, and so is our own sender.
    """
    address = unicodedata.normalize("NFKC", typed).strip()
    local, at, domain = address.rpartition("@")
    try:
        address = f"{local}{at}{punycode(domain.lower())}"
    except UnicodeError:
        address = ""
    # The validator ignores case as Unicode does: to it, "ı" is an "I". LOCAL_PART is stricter.
    _address_is_valid(address)
    own = api.mailbox_of(parseaddr(settings.DEFAULT_FROM_EMAIL)[1])
    inside = INSIDE.search(address) or api.mailbox_of(address) == own
    if (
        len(address) > ADDRESS_MAX_LENGTH
        or not LOCAL_PART.fullmatch(local)
        or (outside and inside and not settings.DEBUG)
    ):
        raise ValidationError(_address_is_valid.message, code=_address_is_valid.code)
    return address


def clean_name(typed: str) -> str:
    """A person's name in any script, on one line."""
    name = " ".join(unicodedata.normalize("NFC", typed).split())
    if not name or any(unicodedata.category(char) in FORBIDDEN_IN_NAMES for char in name):
        raise ValidationError(
            _("Enter your name as it should be shown, without special characters."),
            code="name_invalid",
        )
    if len(name) > NAME_MAX_LENGTH:
        raise ValidationError(_("Use at most 50 characters."), code="name_too_long")
    return name


# Control and format characters (which can reverse text), surrogates, private use, unassigned.
FORBIDDEN_IN_NAMES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})


def find_user_id(typed: str) -> str:
    """A typed user_id in the form to look up; empty if it cannot be one."""
    user_id = unicodedata.normalize("NFKC", typed).strip()
    return user_id if USER_ID.fullmatch(user_id) else ""


def find_address(typed: str) -> str:
    """A typed address in the form to look up; empty if it cannot be one."""
    try:
        return clean_address(typed)
    except ValidationError:
        return ""
