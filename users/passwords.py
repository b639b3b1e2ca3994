"""Passwords: verified as typed, apart from Unicode normalization."""

import unicodedata
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator
from django.utils.translation import gettext_lazy as _

MAX_LENGTH = 256  # characters; more than password managers generate, and fast to hash

# Words that an attacker would try here first.
CONTEXT_WORDS = ("컴퓨터공학", "computerscience", "cs_web", "csweb")


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
    """Rejects a password that is little more than the name of this site or department."""

    def validate(self, password: str, user: Any = None) -> None:
        rest = normalized(password).lower().replace(" ", "")
        for word in CONTEXT_WORDS:
            if word in rest and len(rest) - len(word) < 6:
                raise ValidationError(
                    _("The password is too close to the name of this site."),
                    code="password_context_word",
                )

    def get_help_text(self) -> Any:
        return _("Your password can't be the site's name, with or without a number.")


def add_limits(field: forms.Field) -> None:
    """Adds the limits of this module to a password field."""
    # Not `+=`: Django's forms share the list between all their instances.
    field.validators = [*field.validators, MaxLengthValidator(MAX_LENGTH), check_characters]
    field.widget.attrs["maxlength"] = str(MAX_LENGTH)
