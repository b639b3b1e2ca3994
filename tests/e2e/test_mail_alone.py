"""The app `mail` alone, in another project: a copy of its folder, and ten lines of settings."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import PATIENCE, SmtpServer

ROOT = Path(__file__).resolve().parents[2]

# Nothing of ours: no SITE_URL, no MAIL_ENGINE, no EMAIL_SERVICE, no user model.
SETTINGS = """
SECRET_KEY = "x" * 50
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "mail"]
USE_TZ = True
DEFAULT_FROM_EMAIL = "office@example.com"
EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
EMAIL_HOST = "127.0.0.1"
EMAIL_TIMEOUT = 60
EMAIL_PORT = {port}
"""
SEND = """
import sys
import django
django.setup()
from mail import send_mail
from mail.api import Mail, drain
print(send_mail("Hello", ["kim@example.com"], "text"))
assert drain(180), "it has left"
print(Mail.objects.get().state)
print(sorted({name.split(".")[0] for name in sys.modules}))
"""
NOT_NEEDED = ("botocore", "boto3", "django_ses", "celery", "django_tasks", "users", "cs_web")


class Project:
    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        leave_out = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "mail", folder / "mail", ignore=leave_out)
        (folder / "alone.py").write_text(SETTINGS.replace("{port}", str(port)))

    def configure(self, **more: str) -> None:
        with (self.folder / "alone.py").open("a") as file:
            file.writelines(f"{name} = {value!r}\n" for name, value in more.items())

    def python(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "error", *arguments],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "alone"},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def manage(self, *arguments: str) -> str:
        return self.python("-m", "django", *arguments)


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    server = SmtpServer().up()
    yield server
    server.down()


@pytest.fixture
def project(tmp_path: Path, server: SmtpServer) -> Project:
    return Project(tmp_path, server.port)


def test_it_migrates_and_sends_by_a_real_server(project: Project, server: SmtpServer) -> None:
    project.manage("migrate", "--verbosity", "0")
    queued, state, modules = project.python("-c", SEND).splitlines()
    assert (queued, state) == ("1", "sent")
    [letter] = server.letters
    assert (letter.to, letter.subject) == ("kim@example.com", "Hello")
    assert letter.message["From"] == "office@example.com"
    assert letter.text.strip() == "text"
    assert not [name for name in NOT_NEEDED if f"'{name}'" in modules]


def test_its_checks_find_nothing_wrong_and_its_migrations_are_whole(project: Project) -> None:
    assert "no issues" in project.manage("check")
    project.manage("makemigrations", "--check", "--dry-run")


def test_its_command_works_there(project: Project, server: SmtpServer) -> None:
    project.manage("migrate", "--verbosity", "0")
    assert "250 accepted" in project.manage("mail", "test", "kim@example.com")
    assert len(server.letters) == 1
    assert "Alarm          none" in project.manage("mail", "status", "--check")


def test_the_shell_is_djangos_own(project: Project) -> None:
    script = "import django; django.setup(); from django.core.management import get_commands; "
    assert project.python("-c", f"{script}print(get_commands()['shell'])") == "django.core\n"


@pytest.mark.parametrize("service", ["ses", "smtp"])
def test_botocore_is_imported_only_for_amazon_ses(project: Project, service: str) -> None:
    backend = {
        "ses": "django_ses.SESBackend",
        "smtp": "mail.transport.smtp.EmailBackend",
    }[service]
    keys = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s"}
    project.configure(
        EMAIL_SERVICE=service,
        EMAIL_BACKEND=backend,
        SITE_URL="https://cs.example.ac.kr",
        AWS_SES_REGION_NAME="ap-northeast-2",
        **keys,
    )
    opened = project.python(
        "-c",
        "import sys, django; django.setup()\n"
        "from django.core.management import call_command\n"
        "call_command('check', fail_level='WARNING')\n"
        "before = 'botocore' in sys.modules\n"
        "from mail.desk.trial import Trial\n"
        "Trial().connect()\n"
        "print(before, 'botocore' in sys.modules)",
    )
    assert opened.splitlines()[-1] == f"False {service == 'ses'}"
