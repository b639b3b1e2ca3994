"""Passwords: verified as typed, apart from Unicode normalization."""

import functools
import hashlib
import math
import mmap
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from users import breached

MAX_LENGTH = 256  # characters; more than password managers generate, and fast to hash

# Words that an attacker would try here first, with the name and the host of the site.
CONTEXT_WORDS = ("컴퓨터공학", "computerscience", "cs_web", "csweb")
MORE_THAN_A_WORD = 6  # characters
LONG_ENOUGH = 4  # bytes: two letters of Korean; shorter ones are in too many good passwords


def normalized(password: str) -> str:
    """The same form for 한 and ㅎㅏㄴ: keyboards differ in what they send."""
    return unicodedata.normalize("NFC", password)


def check_characters(password: str) -> None:
    """Rejects what cannot be stored or typed again: half a surrogate pair, NUL."""
    if any(unicodedata.category(char) == "Cs" or char == "\0" for char in password):
        raise ValidationError(
            _("The password has a character that cannot be typed again."), code="password_character"
        )


class ContextWordValidator:
    """Rejects a password that is little more than a name: of this site, or of the person."""

    def validate(self, password: str, user: Any = None) -> None:
        rest = normalized(password).lower().replace(" ", "")
        host = urlsplit(settings.SITE_URL).hostname or ""
        of_site = [*CONTEXT_WORDS, *settings.SITE_NAME.values(), *host.split(".")]
        of_person = [user.user_id, user.name, *re.split(r"\W", user.email)] if user else []
        for words, why in ((of_site, SITE_WORD), (of_person, PERSONAL_WORD)):
            for word in (one.lower().replace(" ", "") for one in words):
                enough = len(word.encode()) >= LONG_ENOUGH
                if enough and word in rest and len(rest) - len(word) < MORE_THAN_A_WORD:
                    raise ValidationError(why, code="password_context_word")

    def get_help_text(self) -> Any:
        return _("Your password can't be the site's name, with or without a number.")


SITE_WORD = _("The password is too close to the name of this site.")
PERSONAL_WORD = _("The password is too close to your ID, name or address.")


# The most used passwords, and those from breaches: a Bloom filter in a file, which all processes
# share in memory. `manage.py breached_passwords` builds it.

COMMON = Path(__file__).with_name("common.bloom")
MAGIC = b"bloom 1\n"
HEADER = len(MAGIC) + 8  # bytes: then the number of hashes (1), and of bits (7)
SHORTEST = 8  # characters; what is shorter is refused as it is


def build(words: Iterable[str], false_positives: float) -> bytes:
    """A filter of all of these that could be a password here."""
    long = {word.strip().lower() for word in words if len(word.strip()) >= SHORTEST}
    bits = max(64, math.ceil(-len(long) * math.log(false_positives) / math.log(2) ** 2))
    hashes = max(1, round(bits / max(1, len(long)) * math.log(2)))
    data = bytearray((bits + 7) // 8)
    for word in long:
        for bit in _bits(word, hashes, bits):
            data[bit >> 3] |= 1 << (bit & 7)
    return MAGIC + bytes([hashes]) + bits.to_bytes(7, "big") + bytes(data)


def _bits(word: str, hashes: int, bits: int) -> list[int]:
    """Two hashes make all of them (Kirsch and Mitzenmacher, 2006)."""
    # Nobody is safer with "Password1" where "password1" is known.
    key = unicodedata.normalize("NFC", word).strip().lower()
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    one, other = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big") | 1
    return [(one + number * other) % bits for number in range(hashes)]


@functools.cache
def _filter(path: Path) -> tuple[int, int, mmap.mmap]:
    """How many hashes and bits, and the file. One mapping serves a process for ever."""
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if data[: len(MAGIC)] != MAGIC:
        raise ValueError(f"{path} is no filter of passwords: run manage.py breached_passwords")
    return data[len(MAGIC)], int.from_bytes(data[len(MAGIC) + 1 : HEADER], "big"), data


class BreachedPasswordValidator:
    """Never wrong about one that is on the lists; of the others 1 in 10,000 is taken for one."""

    def __init__(self, path: Path = COMMON) -> None:
        self.path = path

    @sensitive_variables()
    def validate(self, password: str, user: Any = None) -> None:
        hashes, bits, data = _filter(self.path)
        places = _bits(password, hashes, bits)
        known = all(data[HEADER + (bit >> 3)] >> (bit & 7) & 1 for bit in places)
        url = settings.BREACHED_PASSWORDS_URL
        if known or (url and breached.is_known(password, url)):
            raise ValidationError(
                _("This password is too common: it is on the lists that attackers try first."),
                code="password_breached",
            )

    def get_help_text(self) -> Any:
        return _("Your password can't be one that is known from a data breach.")


def add_limits(field: forms.Field) -> None:
    """Adds the limits of this module to a password field."""
    # Not `+=`: Django's forms share the list between all their instances.
    field.validators = [*field.validators, MaxLengthValidator(MAX_LENGTH), check_characters]
    field.widget.attrs["maxlength"] = str(MAX_LENGTH)
