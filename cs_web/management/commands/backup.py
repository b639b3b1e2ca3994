"""manage.py backup FILE: the database in one file, while the site runs."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from cs_web import backups
from cs_web.databases import ENDLESS, waiting


class Command(BaseCommand):
    help = "Writes the database (SQLite) into one file, while the site runs. Replaces no file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path)

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        with waiting(ENDLESS):
            backups.make(file)
        self.stdout.write(f"{file}: {file.stat().st_size} bytes. Whoever has it has everything.")
