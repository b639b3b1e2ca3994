"""Authentication: whatever was typed and whoever has it, as many hashes for everybody."""

from itertools import chain
from typing import Any

from django.contrib.auth import hashers
from django.contrib.auth.backends import ModelBackend
from django.db.models import Q
from django.http import HttpRequest

from users import guard, identity, passwords, visitors
from users.models import OLD_HASH, User, rows_of

# How many are tried for an address: its owner, the claim of this browser, and of the other claims
# the two oldest and the two newest in turn, as far as there is room. A stranger who wants to crowd
# somebody out must have been there before and come after, and even then the ID works. Every try is
# a hash, and everybody who types an address pays for all four.
TRIED_AT_AN_ADDRESS = 4
BY_KEY = "SELECT * FROM users_user WHERE id = %s"


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
        proven: bool = False,
        **kwargs: Any,
    ) -> User | None:
        """`proven`: the caller has shown in another way whose account it is (see `users.guard`)."""
        username = username or kwargs.get(User.USERNAME_FIELD)
        if not username or password is None:
            return None
        with guard.guess(request, username, proven=proven) as guess:
            people, tries = find(username, request)
            right = _check(people, password, tries)
            user = next((one for one in right if self.user_can_authenticate(one)), None)
            guess.right = user is not None
            if user:
                user.is_known_here = guess.is_known(user)
        return user

    def user_can_authenticate(self, user: Any) -> bool:
        return bool(user.is_active or user.is_waiting)

    def get_user(self, user_id: Any) -> User | None:
        user = next(iter(rows_of(User, BY_KEY, user_id)), None)
        return user if user and user.is_active else None


def find(typed: str, request: HttpRequest | None = None) -> tuple[list[User], int]:
    """Who may be meant, and how many hashes an answer takes."""
    if "@" not in typed:
        return list(User.objects.named(identity.find_user_id(typed))[:1]), 1
    here = User.objects.at_address(identity.find_address(typed))
    own = request.session.get(visitors.CLAIM) if request else None
    oldest, newest = (here.waiting().order_by(age)[:2] for age in ("created_at", "-created_at"))
    chosen = Q(activated_at__isnull=False) | Q(pk__in=[own] if own else [])
    chosen |= Q(pk__in=oldest.values("pk")) | Q(pk__in=newest.values("pk"))
    found = here.filter(chosen).order_by("created_at")
    owner = [person for person in found if not person.is_waiting]
    claims = [person for person in found if person.is_waiting]
    ours = [claim for claim in claims if str(claim.pk) == own]
    others = chain.from_iterable(zip(reversed(claims), claims, strict=True))
    return list(dict.fromkeys([*owner, *ours, *others]))[:TRIED_AT_AN_ADDRESS], TRIED_AT_AN_ADDRESS


def _check(people: list[User], password: str, tries: int) -> list[User]:
    """Those whose password it is, after as many hashes of each hasher for everybody.

    As long as somebody's hash is from an older and slower hasher, everybody pays for one of these.
    """
    right = [person for person in people if person.check_password(password)]
    older = {f"{hasher.algorithm}$": hasher for hasher in hashers.get_hashers()[1:]}
    old = [mark for mark in older for person in people if person.password.startswith(mark)]
    for _ in range(tries - len(people) + len(old)):
        User().set_password(password)
    for mark, hasher in older.items():
        here = User.objects.filter(OLD_HASH, password__startswith=mark)
        if mark not in old and here.exists():
            hasher.encode(passwords.normalized(password), hasher.salt())
    return right
