"""The forms. They validate what was typed and never write: `accounts` does."""

from typing import Any

from django import forms
from django.contrib.auth import authenticate
from django.contrib.auth import forms as auth_forms
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.urls import reverse, reverse_lazy
from django.utils.functional import lazy
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from users import identity, passwords, texts
from users.models import User


class UserIdField(forms.CharField):
    def __init__(self) -> None:
        super().__init__(
            label=_("ID"),
            max_length=identity.USER_ID_MAX_LENGTH,
            help_text=_(
                "3 to 30 Latin letters, digits, “-” or “_”, such as hong-gildong or 20231234. "
                "You sign in with it."
            ),
            widget=forms.TextInput(
                {
                    "autocomplete": "username",
                    "autocapitalize": "none",
                    "spellcheck": "false",
                    "data-check": reverse_lazy("users:register_id"),
                }
            ),
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
        typed = super().clean(value)
        return identity.clean_address(typed, outside=self.outside) if typed else ""


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
            strip=False,
            **{
                "label": _("Password"),
                "widget": forms.PasswordInput({"autocomplete": "current-password"}),
                **kwargs,
            },
        )
        passwords.add_limits(self)


class NewPasswordField(PasswordField):
    """One field, which its button shows; typed twice unseen, it is only pasted twice."""

    def __init__(self, label: Any) -> None:
        super().__init__(
            label=label,
            help_text=_(
                "At least 8 characters, better 15 or more: three or four words together make a "
                "strong one."
            ),
            widget=forms.PasswordInput({"autocomplete": "new-password", "data-meter": ""}),
        )


@sensitive_variables()
def check_new_password(form: forms.Form, name: str, user: User) -> None:
    # Checked as it will be stored: a decomposed 한 is three characters, and no harder to guess.
    if typed := form.cleaned_data.get(name):
        form.cleaned_data[name] = passwords.normalized(typed)
        try:
            validate_password(form.cleaned_data[name], user)
        except ValidationError as error:
            form.add_error(name, error)


class ConsentField(forms.BooleanField):
    """A box for each document, as the law on personal data wants it."""

    def __init__(self, text: Any, page: str) -> None:
        super().__init__(
            label=lazy(lambda: format_html(text, reverse(page)), SafeString)(),
            error_messages={"required": _("Without it we cannot make an account for you.")},
        )


class RegistrationForm(forms.Form):
    user_id = UserIdField()
    name = NameField()
    email = AddressField(outside=True, help_text=_("The activation link goes here."))
    password = NewPasswordField(_("Password"))
    terms = ConsentField(
        _('I agree to the <a href="{}" target="_blank">terms of use</a> (required).'), "terms"
    )
    privacy = ConsentField(
        _(
            "I agree that my ID, name and e-mail address are kept as the "
            '<a href="{}" target="_blank">privacy policy</a> says (required).'
        ),
        "privacy",
    )

    @sensitive_variables()
    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        names = ("user_id", "name", "email", "language")
        person = User(**{name: cleaned.get(name, "") for name in names})
        check_new_password(self, "password", person)
        return cleaned


class AddressForm(forms.Form):
    """An address: to request a link."""

    email = AddressField()


class CorrectionForm(forms.Form):
    """Another address for a claim."""

    email = AddressField(outside=True)


class ProfileForm(forms.Form):
    name = NameField()
    language = forms.ChoiceField(
        label=_("Language"),
        help_text=_("Of these pages, and of our e-mails."),
        choices=list(texts.LANGUAGES.items()),
    )


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
    remember = forms.BooleanField(
        label=_("Keep me signed in"),
        help_text=_("Untick it on a computer that others use."),
        required=False,
        initial=True,
    )

    # Set when the password was right but the account still waits for activation.
    waiting: User | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Django limits the input to the length of a user_id; an address is longer.
        attributes = self.fields["username"].widget.attrs
        attributes["maxlength"] = str(identity.ADDRESS_MAX_LENGTH)
        if self.is_bound:  # the focus is on what is wrong
            del attributes["autofocus"]

    def confirm_login_allowed(self, user: Any) -> None:
        if user.is_waiting:
            self.waiting = user
            raise ValidationError(texts.LOGIN_WAITING, code="waiting")
        super().confirm_login_allowed(user)


class PasswordForm(forms.Form):
    """For whoever has a link of an account: the password shows that it is theirs, too."""

    password = PasswordField()

    def __init__(
        self, user: User, *args: Any, request: HttpRequest | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.user, self.request = user, request

    @sensitive_variables()
    def clean_password(self) -> str:
        return checked(self.cleaned_data["password"], self.user, self.request)


class NewPasswordForm(forms.Form):
    """The mailbox is proven; a new password replaces the old one."""

    new_password = NewPasswordField(_("New password"))

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        check_new_password(self, "new_password", self.user)
        return cleaned


class AddressChangeForm(forms.Form):
    """Typed once: nothing changes before the new mailbox has been read, so a mistyped address costs
    a letter, and the page after it proposes what was meant."""

    email = AddressField(outside=True)

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.fields["email"].label = _("New e-mail address")

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"]
        if email == self.user.email:
            raise ValidationError(texts.ADDRESS_SAME, code="address_same")
        return email


class ChangeForm(NewPasswordForm):
    old_password = PasswordField()
    field_order = ("old_password", "new_password")

    def __init__(self, *args: Any, request: HttpRequest | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request
        self.fields["old_password"].label = _("Current password")

    @sensitive_variables()
    def clean_old_password(self) -> str:
        return checked(self.cleaned_data["old_password"], self.user, self.request)


class ProofForm(forms.Form):
    """Whoever is signed in shows again that they know the password."""

    proof = PasswordField()

    def __init__(self, *args: Any, user: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user, self.request = user, request
        if not self.is_bound:  # else the summary of what is wrong has it
            self.fields["proof"].widget.attrs["autofocus"] = True

    @sensitive_variables()
    def clean_proof(self) -> str:
        return checked(self.cleaned_data["proof"], self.user, self.request)


@sensitive_variables()
def checked(password: str, user: User, request: HttpRequest | None) -> str:
    """Asked of whoever has a session or a link of this person: under the guard of the sign-in."""
    by = {"username": user.user_id, "password": password, "proven": True}
    if authenticate(request, **by) != user:
        raise ValidationError(texts.PASSWORD_WRONG, code="password_wrong")
    return password
