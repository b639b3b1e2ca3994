"""Owners of accounts for a site of the others: python -m bench.peers.people COUNT."""

import sys

import django


def main(count: int) -> None:
    django.setup()
    from django.conf import settings
    from django.contrib.auth.hashers import make_password
    from django.contrib.auth.models import User
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    password = make_password("correct-horse-battery")
    owners = [
        User(username=f"owner{number}", email=f"owner{number}@mailbox.example", password=password)
        for number in range(count)
    ]
    User.objects.bulk_create(owners)
    if settings.WAY == "allauth":
        from allauth.account.models import EmailAddress

        EmailAddress.objects.bulk_create(
            EmailAddress(user=user, email=user.email, verified=True, primary=True)
            for user in User.objects.all()
        )


if __name__ == "__main__":
    main(int(sys.argv[1]))
