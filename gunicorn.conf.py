"""What gunicorn reads by itself when it is started in this folder."""

import subprocess
import sys
from pathlib import Path
from typing import Any


def on_starting(server: Any) -> None:
    """A wrong configuration ends gunicorn here: with one message, and before the port is open.

    In a process of its own, because workers inherit all that is imported here: after an update a
    reload would give them the new files beside the old `cs_web.config`.
    """
    command = [sys.executable, "-c", "import cs_web.settings"]
    code = subprocess.call(command, cwd=Path(__file__).parent)
    if code:
        sys.exit(code)
