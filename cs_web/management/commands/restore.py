"""manage.py restore FILE: a back-up put back, so that nothing of its time is sent again."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cs_web import backups
from cs_web.databases import ENDLESS, waiting


class Command(BaseCommand):
    help = (
        "Puts a back-up (SQLite) back, while the site and all senders are stopped. What waited in "
        "it is cancelled, and everybody signs in again. The database that it replaces is kept."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path, nargs="?")
        parser.add_argument(
            "--already-loaded",
            action="store_true",
            help="the database has been put back by pg_restore, say: only cancel and sign out",
        )

    def handle(self, *args: Any, file: Path | None, **options: Any) -> None:
        if (file is None) != options["already_loaded"]:
            raise CommandError("Name the file, or say --already-loaded.")
        with waiting(ENDLESS):
            if file is None:
                cancelled, aside = backups.leave_the_past(), None
            else:
                cancelled, aside = backups.put_back(file)
        self.stdout.write(
            f"Cancelled {cancelled} messages that waited when the back-up was made; `mail retry "
            "--all` queues those again that are still of use. Everybody has to sign in again."
        )
        if aside:
            self.stdout.write(f"The database before is {aside}. Delete it when all is well.")
