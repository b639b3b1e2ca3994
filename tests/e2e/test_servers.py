"""Servers load the site: a wrong configuration ends them, and a header is only a header."""

import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.elsewhere import DEVELOPMENT, SECONDS, Site
from tests.servers import PATIENCE, free_port, wait_for

GUNICORN = ("-m", "gunicorn", "cs_web.wsgi", "--no-control-socket", "--bind", "127.0.0.1:0")


CELERY = {"MAIL_ENGINE": "celery", "CELERY_BROKER_URL": "redis://127.0.0.1:1/0"}


WRONG = {"SECRET_KEY": "", "EMAIL_SERVICE": ""}


def assert_ended_with_words_only(done: subprocess.CompletedProcess[str]) -> None:
    said = done.stdout + done.stderr
    assert done.returncode > 0, said
    for name in WRONG:
        assert said.count(f"\n  {name}: is missing") == 1, said
    assert "Traceback" not in said


@pytest.mark.parametrize("how", [["--workers=1"], ["--workers=2"], ["--workers=2", "--preload"]])
def test_a_wrong_configuration_ends_gunicorn(how: list[str], tmp_path: Path) -> None:
    done = Site(tmp_path).python(*GUNICORN, *how, **WRONG)
    assert_ended_with_words_only(done)
    assert "Listening at" not in done.stderr, "visitors would wait at a port where nobody answers"


@pytest.mark.parametrize(("by", "workers"), [("chdir", 1), ("chdir", 2), ("environment", 2)])
def test_a_wrong_configuration_ends_gunicorn_started_in_another_folder(
    by: str, workers: int, tmp_path: Path
) -> None:
    """There it does not read our gunicorn.conf.py."""
    site = Site(tmp_path)
    arguments = ["--chdir", str(site.folder)] if by == "chdir" else []
    variables = {"PYTHONPATH": str(site.folder)} if by == "environment" else {}
    command = [*GUNICORN, f"--workers={workers}", *arguments]
    done = site.python(*command, cwd=tmp_path, **variables, **WRONG)
    assert_ended_with_words_only(done)


# As `uvicorn --workers 2` starts its workers. It stops when one of them ends with 3, and only then.
SPAWN = """
import importlib, multiprocessing

spawn = multiprocessing.get_context("spawn")
workers = [spawn.Process(target=importlib.import_module, args=["cs_web.asgi"]) for _ in range(2)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
print(sorted(worker.exitcode for worker in workers))
raise SystemExit(3)
"""


def test_a_wrong_configuration_ends_workers_of_asgi(tmp_path: Path) -> None:
    done = Site(tmp_path).python("-c", SPAWN, **WRONG)
    assert_ended_with_words_only(done)
    assert done.stdout == "[1, 3]\n"


@pytest.mark.parametrize("what", ["worker", "beat"])
def test_a_wrong_configuration_ends_celery(what: str, tmp_path: Path) -> None:
    done = Site(tmp_path, **CELERY).python("-m", "celery", "-A", "cs_web", what, **WRONG)
    assert_ended_with_words_only(done)


def test_with_a_right_configuration_gunicorn_serves(tmp_path: Path) -> None:
    site = Site(tmp_path, **DEVELOPMENT).migrate()
    server = subprocess.Popen(
        [sys.executable, *GUNICORN, "--workers", "2"],
        cwd=site.folder,
        env=site.environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr
    too_late = threading.Timer(SECONDS, server.kill)
    too_late.start()
    with server:
        try:
            log = server.stderr.readline()
            while not (listening := re.search(r"Listening at: (http://\S+)", log)):
                log += (line := server.stderr.readline())
                assert line, f"the server did not start:\n{log}"
            with urllib.request.urlopen(f"{listening[1]}/users/login/") as page:
                assert page.status == 200
        finally:
            server.terminate()
            log += server.stderr.read()
            too_late.cancel()
    assert server.returncode == 0, log


# gunicorn, with the file that it finds in the site's folder


class Gunicorn:
    def __init__(self, site: Site) -> None:
        self.port, self.log = free_port(), site.folder / "log"
        command = ["-m", "gunicorn", "cs_web.wsgi", "--bind", f"127.0.0.1:{self.port}"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command, "--no-control-socket", "--access-logfile", "-"],
                cwd=site.folder,
                env=site.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_for(lambda: self._is_open() or self.process.poll() is not None, "gunicorn is open")

    def _is_open(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def send(self, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def get(self, path: str, *headers: str) -> bytes:
        lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *headers, "", ""]
        return self.send("\r\n".join(lines).encode())

    def stop(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
        return self.log.read_text()


@pytest.fixture
def gunicorn(tmp_path: Path) -> Iterator[Gunicorn]:
    server = Gunicorn(Site(tmp_path, **DEVELOPMENT, MAIL_ENGINE="work").migrate())
    yield server
    server.process.kill()
    server.process.wait()


def test_no_header_moves_the_site_or_makes_it_believe_in_https(gunicorn: Gunicorn) -> None:
    """A proxy that lets /admin/ be seen from the office only would let this pass."""
    assert b"200 OK" in gunicorn.get("/users/login/")
    for headers in (
        ["SCRIPT_NAME: /x"],
        ["Script_Name: /users"],
        ["PATH_INFO: /users/login/"],
        ["SCRIPT_NAME: /x", "PATH_INFO: /users/login/"],
    ):
        assert b" 404 " in gunicorn.get("/nothing/", *headers).splitlines()[0]
        page = gunicorn.get("/x/users/login/", *headers)
        assert b" 404 " in page.splitlines()[0]
        assert b'href="/x/' not in page
    assert b"200 OK" in gunicorn.get("/users/login/", "X-Forwarded-Proto: https")


def test_the_servers_own_log_holds_no_token_and_no_forged_line(gunicorn: Gunicorn) -> None:
    token = "dicv5b-0123456789abcdef0123456789abcdef"
    for path in (f"/users/activate/MTIz/{token}/", f"//Users//password/reset/MTIz/{token}"):
        gunicorn.get(path, f"Referer: http://127.0.0.1{path}", "User-Agent: x")
        gunicorn.get(path, "User-Agent: x\x1b[31m")
    gunicorn.send(f"GET /users/activate/MTIz/{token}/ HTTP/9.9\r\n\r\n".encode())
    gunicorn.send(b"GET / HTTP/1.1\r\nHost: x\r\nBad\x1b[31m Header: x\r\n\r\n")
    written = gunicorn.stop()
    assert "GET /users/activate/MTIz/[token]/ HTTP/1.1" in written
    assert token[-32:] not in written
    assert "\x1b" not in written
