"""manage.py mail: everything an operator does about mail, each as a sub-command."""

import sys
from argparse import SUPPRESS, ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from mail.desk.terminal import Terminal
from mail.desk.verbs import GOOD, TROUBLE, Run, changing, looking, trying


class Command(BaseCommand):
    help = "Tries the mail service, and looks after the mail that waits."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="command", required=True, metavar="SUBCOMMAND")

        def add(run: Run, help: str, more: str) -> ArgumentParser:
            name = run.__name__.rstrip("_")
            added = verbs.add_parser(name, help=help, description=f"{help}. {more}")
            added.set_defaults(run=run)
            # Django takes it before the verb only, where nobody writes it.
            added.add_argument("--no-color", action="store_true", default=SUPPRESS, help=SUPPRESS)
            return added

        for some in (trying, looking, changing):
            some.add_to(add)

    def handle(self, *args: Any, **options: Any) -> None:
        terminal = Terminal(self, force_color=options["force_color"])
        if options["run"](options, terminal) != GOOD:
            sys.exit(TROUBLE)
