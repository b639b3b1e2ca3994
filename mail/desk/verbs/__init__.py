"""What follows `manage.py mail`: the verbs of a file, their arguments, and what they print."""

from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any, Protocol

from mail.desk.terminal import Terminal

GOOD, TROUBLE = 0, 1  # exit codes

Run = Callable[[dict[str, Any], Terminal], int]


class Add(Protocol):
    """Adds a verb; its name is the function's."""

    def __call__(self, run: Run, help: str, more: str) -> ArgumentParser: ...
