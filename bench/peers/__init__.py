"""The others, which the bench compares the site with; in a virtualenv of their own."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "var" / "bench"  # which git ignores
PYTHON = FOLDER / "bin" / "python"


def install() -> None:
    """Once, and again when bench/requirements.txt has changed."""
    wanted = ROOT / "bench" / "requirements.txt"
    installed = FOLDER / "requirements.txt"
    if installed.exists() and installed.read_text() == wanted.read_text():
        return
    if not PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", str(FOLDER)], check=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--requirement", str(wanted)], check=True)
    installed.write_text(wanted.read_text())
