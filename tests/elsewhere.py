"""The site in a process of its own: a copy of its code with its own var/, and no secrets.json."""

import functools
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
CODE = ["cs_web", "users", "mail", "templates", "static", "locale"]
FILES = ["manage.py", "gunicorn.conf.py"]
SECONDS = 180  # a story that needs longer has hung
# Where a run may take its time, and nothing may be left out. At home half will do of what is the
# same in other clothes: of a crowd, of brokers, of the unit tests once more on PostgreSQL.
IN_CI = os.environ.get("CI") == "true"

DEVELOPMENT = {"DEBUG": "true", "EMAIL_SERVICE": "file"}
PRODUCTION = {
    "SITE_URL": "https://cs.example.ac.kr",
    "EMAIL_SERVICE": "ses",
    "DEFAULT_FROM_EMAIL": "noreply@cs.example.ac.kr",
}


def requires(package: str, found: Any) -> None:
    """Skips the test if what the Debian package brings is not here; with CI=true, fails it."""
    if not found:
        missing = pytest.fail if IN_CI else pytest.skip
        missing(f"needs the Debian package {package}: sudo apt install {package}")


class Site:
    """Reads only the environment that it is given; of ours it gets the PATH."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder / "site"
        self.environment = {
            "PATH": os.environ["PATH"],
            "SECRET_KEY": secrets.token_urlsafe(50),
            **environment,
        }
        for name in CODE:
            shutil.copytree(ROOT / name, self.folder / name)
        for name in FILES:
            shutil.copy2(ROOT / name, self.folder)

    def python(
        self, *arguments: str, cwd: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd or self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            # A service of its own: workers of a server know each other by their process group.
            start_new_session=True,
        )

    def manage(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.python("manage.py", *arguments, **environment)

    def story(self, script: str) -> str:
        """What a script prints in which Django is set up; a failure in it is a failure here."""
        setup = "import os, django\nos.environ['DJANGO_SETTINGS_MODULE'] = 'cs_web.settings'\n"
        done = self.python("-W", "error", "-c", f"{setup}{script}")
        assert done.returncode == 0, done.stderr
        return done.stdout

    def migrate(self) -> "Site":
        database = self.folder / "var" / "db.sqlite3"
        database.parent.mkdir(exist_ok=True)
        database.write_bytes(_migrated_database())
        return self


@functools.cache
def _migrated_database() -> bytes:
    """Made once: migrating takes longer than all that is done with it."""
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder), **DEVELOPMENT)
        done = site.manage("migrate", "--verbosity", "0")
        assert done.returncode == 0, done.stderr
        return (site.folder / "var" / "db.sqlite3").read_bytes()
