"""manage.py breached_passwords: builds the filter of passwords that nobody may choose."""

import gzip
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from users import passwords


class Command(BaseCommand):
    help = (
        "Builds users/common.bloom from lists of passwords: text, one a line, the file may be "
        "gzipped. What is shorter than 8 characters is left out, because it is refused as it is."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("lists", nargs="+", type=Path, metavar="LIST")
        parser.add_argument("--output", type=Path, default=passwords.COMMON)
        parser.add_argument(
            "--one-in",
            type=int,
            default=10_000,
            help="how many good passwords for one that is refused by mistake; default: 10,000",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["one_in"] < 2:
            raise CommandError("--one-in must be 2 or more.")
        words = (word for path in options["lists"] for word in _lines(path))
        data = passwords.build(words, 1 / options["one_in"])
        output: Path = options["output"]
        part = output.with_name(f"{output.name}.part")
        part.write_bytes(data)
        part.replace(output)  # never in place: running sites have it mapped into memory
        self.stdout.write(f"{output}: {len(data):,} bytes")


def _lines(path: Path) -> Iterator[str]:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8", errors="ignore") as file:
            for line in file:
                yield line.rstrip("\r\n")
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from error
