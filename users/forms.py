"""The forms. They validate what was typed and never write: `accounts` does."""

from typing import Any

from django import forms
from django.contrib.auth import authenticate
from django.contrib.auth import forms as auth_forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from users import identity, passwords, texts
from users.models import User


class UserIdField(forms.CharField):
    def __init__(self) -> None:
        super().__init__(
            label=_("ID"),
            max_length=identity.USER_ID_MAX_LENGTH,
            help_text=_("3 to 30 Latin letters, digits, “-” or “_”. You sign in with it."),
            widget=forms.TextInput({"autocomplete": "username", "autocapitalize": "none"}),
        )

    def clean(self, value: Any) -> str:
        return identity.clean_user_id(super().clean(value))


class AddressField(forms.CharField):
    """`outside`: for a claim, which somebody outside must be able to prove."""

    def __init__(self, *, outside: bool = False, **kwargs: Any) -> None:
        self.outside = outside
        super().__init__(
            label=_("E-mail address"),
            max_length=identity.ADDRESS_MAX_LENGTH,
            widget=forms.EmailInput({"autocomplete": "email", "placeholder": "name@example.com"}),
            **kwargs,
        )

    def clean(self, value: Any) -> str:
        return identity.clean_address(super().clean(value), outside=self.outside)


class NameField(forms.CharField):
    def __init__(self) -> None:
        super().__init__(
            label=_("Name"),
            max_length=identity.NAME_MAX_LENGTH,
            widget=forms.TextInput({"autocomplete": "name"}),
        )

    def clean(self, value: Any) -> str:
        return identity.clean_name(super().clean(value))


class PasswordField(forms.CharField):
    """The password of an existing account: as typed, within limits."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            label=_("Password"),
            strip=False,
            widget=forms.PasswordInput({"autocomplete": "current-password"}),
            **kwargs,
        )
        passwords.add_limits(self)


class NewPasswordMixin(auth_forms.SetPasswordMixin):
    """Adds our limits to Django's pairs of new-password fields."""

    pair: tuple[str, str]
    fields: dict[str, forms.Field]
    cleaned_data: dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in self.pair:
            passwords.add_limits(self.fields[name])

    def validate_password_for_user(self, user: User, password_field_name: str = "") -> None:
        # Checked as it will be stored: a decomposed 한 is three characters, and no harder to guess.
        typed = self.cleaned_data.get(password_field_name)
        if typed:
            self.cleaned_data[password_field_name] = passwords.normalized(typed)
        super().validate_password_for_user(user, password_field_name)


class RegistrationForm(NewPasswordMixin, forms.Form):
    pair = ("password1", "password2")

    user_id = UserIdField()
    name = NameField()
    email = AddressField(outside=True, help_text=_("The activation link goes here."))
    password1, password2 = auth_forms.SetPasswordMixin.create_password_fields()

    field_order = ("user_id", "name", "email", "password1", "password2")

    @sensitive_variables()
    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        self.validate_passwords()
        person = User(**{name: cleaned.get(name, "") for name in ("user_id", "name", "email")})
        self.validate_password_for_user(person, password_field_name="password1")
        return cleaned


class AddressForm(forms.Form):
    """An address: to request a link."""

    email = AddressField()


class CorrectionForm(forms.Form):
    """Another address for a claim."""

    email = AddressField(outside=True)


class LoginForm(auth_forms.AuthenticationForm):
    error_messages = {"invalid_login": texts.LOGIN_FAILED, "inactive": texts.LOGIN_FAILED}
    username = auth_forms.UsernameField(
        label=_("ID or e-mail address"),
        max_length=identity.ADDRESS_MAX_LENGTH,
        widget=forms.TextInput(
            {"autocomplete": "username", "autocapitalize": "none", "autofocus": True}
        ),
    )
    password = PasswordField()

    # Set when the password was right but the account still waits for activation.
    waiting: User | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Django limits the input to the length of a user_id; an address is longer.
        self.fields["username"].widget.attrs["maxlength"] = str(identity.ADDRESS_MAX_LENGTH)

    def confirm_login_allowed(self, user: Any) -> None:
        if user.is_waiting:
            self.waiting = user
            raise ValidationError(texts.LOGIN_WAITING, code="waiting")
        super().confirm_login_allowed(user)


class ActivationForm(forms.Form):
    """For a browser that did not register: the password shows that the registration is yours."""

    password = PasswordField()

    def __init__(
        self, claim: User, *args: Any, request: HttpRequest | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.claim, self.request = claim, request

    @sensitive_variables()
    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        if not is_password_of(self.claim, password, self.request):
            raise ValidationError(texts.PASSWORD_WRONG, code="password_wrong")
        return password


class NewPasswordForm(NewPasswordMixin, auth_forms.SetPasswordForm):
    """The mailbox is proven; a new password replaces the old one."""

    pair = ("new_password1", "new_password2")


class ChangeForm(NewPasswordMixin, auth_forms.PasswordChangeForm):
    pair = ("new_password1", "new_password2")

    def __init__(self, *args: Any, request: HttpRequest | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request
        passwords.add_limits(self.fields["old_password"])

    @sensitive_variables()
    def clean_old_password(self) -> str:
        password: str = self.cleaned_data["old_password"]
        if not is_password_of(self.user, password, self.request):
            message = self.error_messages["password_incorrect"]
            raise ValidationError(message, code="password_incorrect")
        return password


def is_password_of(user: User, password: str, request: HttpRequest | None) -> bool:
    """Asked of whoever has a session or a link of this person: under the guard of the sign-in."""
    by = {"username": user.user_id, "password": password, "proven": True}
    return authenticate(request, **by) == user
