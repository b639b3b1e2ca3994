#!/usr/bin/env python
"""Django's command line for cs_web."""

import os
import sys

from django.core.management import execute_from_command_line

from cs_web import servers


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cs_web.settings")
    if parent := os.environ.pop("RUN_PARENT", ""):  # of scripts/run.py
        servers.end_with(int(parent))
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
