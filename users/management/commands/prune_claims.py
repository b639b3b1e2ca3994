"""manage.py prune_claims: deletes registrations that were not activated in time."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from users import accounts
from users.chores import CLAIMS_KEPT_FOR

BATCH_SIZE = 500
KEPT = CLAIMS_KEPT_FOR.days


class Command(BaseCommand):
    help = (
        "Deletes expired claims (registrations that were never activated). Without --delete it "
        "only counts them. It never deletes an account, active or disabled, or a member of staff."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--days", type=int, default=KEPT, help=f"expired for longer than this; default: {KEPT}"
        )
        parser.add_argument("--delete", action="store_true", help="delete them")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["days"] < 0:
            raise CommandError("--days must be 0 or more: a claim whose link still works is kept.")
        before = timezone.now() - timedelta(days=options["days"])
        total = accounts.expired_claims(before).count()
        self.stdout.write(f"Claims expired for more than {options['days']} days: {total}")
        if not options["delete"]:
            self.stdout.write("Nothing was deleted. Add --delete to delete them.")
            return
        deleted = 0
        while batch := accounts.prune_claims(before, BATCH_SIZE):
            deleted += batch
            self.stdout.write(f"  deleted {deleted} of {total}")
            self.stdout.flush()
        self.stdout.write(f"Deleted {deleted} claims.")
