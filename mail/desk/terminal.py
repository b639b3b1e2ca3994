"""What the commands print: with colour and ✓/✗ to a person at a terminal, else as bare lines."""

import os
import re
import unicodedata
from collections.abc import Callable, Sequence

from django.core.management.base import BaseCommand
from django.core.management.color import no_style

# A mail server's answer is a stranger's text, and must not steer the terminal it is shown on.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Terminal:
    def __init__(self, command: BaseCommand, *, force_color: bool = False) -> None:
        self.out = command.stdout
        self.is_one = self.out.isatty()
        # Django knows --no-color, but neither NO_COLOR nor that its output was sent elsewhere.
        colour = force_color or (self.is_one and not os.environ.get("NO_COLOR"))
        self.style = command.style if colour else no_style()

    def say(self, line: str = "") -> None:
        self._write(line)

    def good(self, line: str) -> None:
        self._write(line, "✓ ", self.style.SUCCESS)

    def bad(self, line: str) -> None:
        self._write(line, "✗ ", self.style.ERROR)

    def plain(self, line: str) -> None:
        """Below or above good ones and bad ones."""
        self._write(line, "  ")

    def _write(self, line: str, mark: str = "", paint: Callable[[str], str] = str) -> None:
        self.out.write(paint((mark if self.is_one else "") + CONTROL.sub("�", line)))
        self.out.flush()  # people watch this, also through a pipe


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """A line for each row, with its cells one below the other."""
    widths = [max(_width(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def _width(text: str) -> int:
    """In columns of the terminal: Korean and Chinese letters take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
