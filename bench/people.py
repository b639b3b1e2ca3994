"""Rows for the benchmark, made in bulk: what the site's own door makes one at a time.

python -m bench.people COUNT
"""

import sys
from typing import TYPE_CHECKING

import django

if TYPE_CHECKING:
    from mail.models import Mail
    from users.models import User


def claims(count: int, stem: str) -> "list[User]":
    """People who wait for their activation letter, each at an address of their own."""
    from users.models import User

    return User.objects.bulk_create(
        User(
            user_id=f"{stem}{number}",
            email=f"{stem}{number}@mailbox.example",
            name="김철수",
            password="!",
            language="ko",
        )
        for number in range(count)
    )


def queue(count: int, stem: str) -> "list[Mail]":
    """As many activation letters, due now."""
    from mail.models import Mail, mailbox_of
    from mail.queue.letters import letters

    return Mail.objects.bulk_create(
        Mail(
            letter="register",
            user=claim,
            address=claim.email,
            mailbox=mailbox_of(claim.email),
            language=claim.language,
            priority=letters["register"].priority,
        )
        for claim in claims(count, stem)
    )


if __name__ == "__main__":
    django.setup()
    queue(int(sys.argv[1]), f"queued{sys.argv[1]}x")
