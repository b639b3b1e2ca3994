"""manage.py prune_claims: registrations that nobody confirmed in time."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from users import accounts

CLAIMS_A_BATCH = 500


class Command(BaseCommand):
    help = (
        "Deletes claims (registrations that were never activated) whose time is over. Without "
        "--delete it only tells how many. It cannot delete an account, active or disabled, nor "
        "anybody of the staff."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--days", type=int, default=7, help="expired for longer than this; default: 7"
        )
        parser.add_argument("--delete", action="store_true", help="do it")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["days"] < 0:
            raise CommandError("--days is 0 or more: a claim whose link still works is kept.")
        before = timezone.now() - timedelta(days=options["days"])
        total = accounts.expired_claims(before).count()
        self.stdout.write(f"Claims expired for more than {options['days']} days: {total}")
        if not options["delete"]:
            self.stdout.write("Nothing was deleted: say --delete to do it.")
            return
        deleted = 0
        while batch := accounts.prune_claims(before, CLAIMS_A_BATCH):
            deleted += batch
            self.stdout.write(f"  deleted {deleted} of {total}")
            self.stdout.flush()
        self.stdout.write(f"Deleted {deleted} claims.")
