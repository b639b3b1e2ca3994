"""How servers load the site: a wrong configuration ends them, a strange Content-Type does not."""

import re
import subprocess
import sys
import threading
import urllib.request
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest
from django.test import RequestFactory

from cs_web import asgi, wsgi
from tests.elsewhere import DEVELOPMENT, SECONDS, Site

GUNICORN = ("-m", "gunicorn", "cs_web.wsgi", "--no-control-socket", "--bind", "127.0.0.1:0")
CELERY = {"MAIL_ENGINE": "celery", "CELERY_BROKER_URL": "redis://127.0.0.1:1/0"}
WRONG = {"SECRET_KEY": "", "EMAIL_SERVICE": ""}

# A wrong configuration


def assert_ended_with_words_only(done: subprocess.CompletedProcess[str]) -> None:
    said = done.stdout + done.stderr
    assert done.returncode > 0, said
    for name in WRONG:
        assert said.count(f"\n  {name}: is missing") == 1, said
    assert "Traceback" not in said


@pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["", "preload"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_wrong_configuration_ends_gunicorn(
    workers: str, preload: list[str], tmp_path: Path
) -> None:
    done = Site(tmp_path).python(*GUNICORN, "--workers", workers, *preload, **WRONG)
    assert_ended_with_words_only(done)
    assert "Listening at" not in done.stderr, "visitors would wait at a port where nobody answers"


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("by", ["chdir", "environment"])
def test_a_wrong_configuration_ends_gunicorn_started_in_another_folder(
    by: str, workers: str, tmp_path: Path
) -> None:
    """There it does not read our gunicorn.conf.py."""
    site = Site(tmp_path)
    arguments = ["--chdir", str(site.folder)] if by == "chdir" else []
    variables = {"PYTHONPATH": str(site.folder)} if by == "environment" else {}
    command = [*GUNICORN, "--workers", workers, *arguments]
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


# A Content-Type with an encoding, by the servers' own way in: Django's test clients have another

ENCODINGS = [
    "charset=rot13",
    "charset=utf-7",
    "charset=nonsense",
    'Charset = "rot13"',
    "charset*=utf-8''rot13",
    "charset*0=rot; charset*1=13",
    "name*=nonsense''x",
]


def wsgi_environ(content_type: str) -> dict[str, Any]:
    environ = RequestFactory().post("/users/login/?next=/").environ
    return {**environ, "wsgi.input": BytesIO(b"--x--"), "CONTENT_TYPE": content_type}


def asgi_scope(content_type: str) -> dict[str, Any]:
    headers = [(b"host", b"testserver"), (b"content-type", content_type.encode("latin-1"))]
    where = {"path": "/users/login/", "query_string": b"next=/"}
    return {"type": "http", "method": "POST", "headers": headers, **where}


def read_by_wsgi(content_type: str) -> HttpRequest:
    with mock.patch.object(wsgi, "site") as site:
        wsgi.application(wsgi_environ(content_type), None)
    return WSGIRequest(site.call_args.args[0])


@async_to_sync
async def read_by_asgi(content_type: str) -> HttpRequest:
    with mock.patch.object(asgi, "site", mock.AsyncMock()) as site:
        await asgi.application(asgi_scope(content_type), None, None)
    return ASGIRequest(site.call_args.args[0], BytesIO())


def status_by_wsgi(content_type: str) -> int:
    answers: list[str] = []
    wsgi.application(wsgi_environ(content_type), lambda status, *_: answers.append(status))
    return int(answers[0].split()[0])


@async_to_sync
async def status_by_asgi(content_type: str) -> int:
    server = ApplicationCommunicator(asgi.application, asgi_scope(content_type))
    await server.send_input({"type": "http.request", "body": b"--x--"})
    start = await server.receive_output(SECONDS)
    await server.wait(SECONDS)
    return start["status"]


@pytest.mark.parametrize("read", [read_by_wsgi, read_by_asgi], ids=["wsgi", "asgi"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_request_chooses_no_encoding(encoding: str, read: Any) -> None:
    request = read(f"multipart/form-data; {encoding}; boundary=x")
    assert request.content_type == "multipart/form-data"
    assert request.content_params == {"boundary": "x"}
    assert request.encoding is None


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "text/plain"])
@pytest.mark.parametrize(
    ("status", "encoding"),
    [
        (status_by_wsgi, "charset=rot13"),
        (status_by_wsgi, "name*=nonsense''x"),
        (status_by_asgi, "name*=nonsense''x"),
    ],
)
def test_a_form_in_no_real_encoding_is_answered(
    db: None, status: Any, encoding: str, kind: str
) -> None:
    assert status(f"{kind}; {encoding}") == 403, "the missing CSRF token is all that is wrong"
