"""manage.py chores: deletes what is over, at once; for a site whose senders do not."""

from typing import Any

from django.core.management.base import BaseCommand

from mail import api

BATCH_SIZE = 500


class Command(BaseCommand):
    help = (
        "Does all of what the senders of mail do every ten minutes: deletes expired claims, ended "
        "sessions, old events and mail, and the accounts whose owners asked for it in time."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        for chore in api.chores:
            done = some = chore(BATCH_SIZE)
            while some == BATCH_SIZE:
                some = chore(BATCH_SIZE)
                done += some
            self.stdout.write(f"{chore.__name__}: {done}")
