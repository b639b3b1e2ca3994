"""Authentication: one account and one password check, whatever was typed."""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.db.models import F
from django.http import HttpRequest

from users import identity
from users.models import User


class UserIdOrAddressBackend(ModelBackend):
    """Authenticates by user_id or by address.

    A *waiting* person with the right password is returned too, so that the login form can say what
    is missing; every form refuses to sign them in (`AuthenticationForm.confirm_login_allowed`), and
    `get_user` accepts no session of theirs. A disabled person never authenticates.
    """

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        username = username or kwargs.get(User.USERNAME_FIELD)
        if not username or password is None:
            return None
        user = find(username)
        if user is None:
            User().set_password(password)  # as slow as a check, so the timing reveals nothing
            return None
        correct = user.check_password(password)
        return user if correct and self.user_can_authenticate(user) else None

    def user_can_authenticate(self, user: Any) -> bool:
        return bool(user.is_active or user.is_waiting)

    def get_user(self, user_id: Any) -> User | None:
        user = super().get_user(user_id)
        return user if isinstance(user, User) and user.is_active else None


def find(typed: str) -> User | None:
    """The account that is meant. An address means its owner, else the newest claim to it."""
    if "@" not in typed:
        return User.objects.named(identity.find_user_id(typed)).first()
    owner_first = F("activated_at").asc(nulls_last=True)
    people = User.objects.at_address(identity.find_address(typed))
    return people.order_by(owner_first, "-created_at").first()
