"""What a newcomer sees of `make run`: where to look, and what is wrong, as the last words."""

import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

from tests.elsewhere import DEVELOPMENT, Site, requires
from tests.servers import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
WRONG = ["make", "run", "PORT=99999", f"PYTHON={sys.executable}"]


@pytest.fixture(autouse=True)
def make() -> None:
    requires("make", shutil.which("make"))


def read(descriptor: int) -> str:
    said = b""
    try:
        while part := os.read(descriptor, 10_000):
            said += part
    except OSError:  # how a terminal says that nobody writes any more
        pass
    os.close(descriptor)
    return said.decode()


def test_at_a_terminal_a_friendly_error_is_the_last_word() -> None:
    ours, its = os.openpty()
    # As from a shell, also where a make runs the tests.
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    with subprocess.Popen(
        WRONG, cwd=ROOT, env=environment, stdout=its, stderr=its, stdin=its
    ) as make:
        os.close(its)
        said = read(ours).split()
    assert " ".join(said) == "PORT must be a number from 1 to 65535, not '99999'."
    assert make.returncode != 0


def test_elsewhere_make_ends_as_it_always_does() -> None:
    done = subprocess.run(WRONG, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "PORT must be a number" in done.stderr


def test_a_script_leaves_alone_whoever_is_not_make() -> None:
    """Its parent here is a shell; the number that it is given is this process's."""
    ours, its = os.openpty()
    command = f"{sys.executable} scripts/run.py 99999; echo alive"
    environment = {**os.environ, "MAKE_PID": str(os.getpid())}
    shell = subprocess.Popen(
        ["sh", "-c", command], cwd=ROOT, env=environment, stdout=its, stderr=its, stdin=its
    )
    os.close(its)
    assert read(ours).split()[-1] == "alive"
    assert shell.wait() == 0


def test_the_last_words_of_the_server_say_where_to_look(tmp_path: Path) -> None:
    site, port = Site(tmp_path, **DEVELOPMENT).migrate(), free_port()
    command = [sys.executable, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"]
    with subprocess.Popen(
        command,
        cwd=site.folder,
        env=site.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout
        silent_too_long = threading.Timer(60, server.kill)  # which ends the reading below
        silent_too_long.start()
        said = ""
        while "To stop" not in said and (line := server.stdout.readline()):
            said += line
        silent_too_long.cancel()
        assert "To stop" in said
        for path in ("", "mailbox/", "admin/"):
            assert f" http://127.0.0.1:{port}/{path}" in said
        # And it answers then, with a style sheet too, which WhiteNoise serves.
        page = got(f"http://127.0.0.1:{port}/")
        style = re.findall(r'href="(/static/[^"]+\.css)"', page)[0]
        assert "{" in got(f"http://127.0.0.1:{port}{style}")
        server.terminate()
        assert not server.stdout.read().strip()


def got(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        assert answer.status == 200
        return str(answer.read().decode())
