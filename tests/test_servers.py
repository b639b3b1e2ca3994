"""How servers hand a request over: a strange Content-Type is no error."""

from io import BytesIO
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
from mail import api
from tests.elsewhere import SECONDS

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


# The life of a server for ASGI


@pytest.mark.parametrize(
    ("engine", "beside", "software", "started"),
    [
        ("threads", True, "", ["wake", "stop"]),
        ("work", True, "", ["wake", "beside", "stop", "beside stops"]),
        ("work", False, "", ["wake", "stop"]),
        ("work", True, "gunicorn/27", ["wake", "stop"]),  # its master starts them
    ],
)
def test_the_senders_live_as_long_as_the_server(
    engine: str, beside: bool, software: str, started: list[str], settings: Any, monkeypatch: Any
) -> None:
    done: list[str] = []

    class Beside:
        def start(self) -> None:
            done.append("beside")

        def stop(self) -> None:
            done.append("beside stops")

    settings.MAIL_ENGINE, settings.MAIL_BESIDE = engine, beside
    monkeypatch.setenv("SERVER_SOFTWARE", software)
    monkeypatch.setattr(asgi, "Senders", Beside)
    monkeypatch.setattr(api, "wake", lambda: done.append("wake"))
    monkeypatch.setattr(api, "stop", lambda: done.append("stop"))

    @async_to_sync
    async def live() -> None:
        server = ApplicationCommunicator(asgi.application, {"type": "lifespan"})
        await server.send_input({"type": "lifespan.startup"})
        assert await server.receive_output(SECONDS) == {"type": "lifespan.startup.complete"}
        assert "stop" not in done
        await server.send_input({"type": "lifespan.shutdown"})
        assert await server.receive_output(SECONDS) == {"type": "lifespan.shutdown.complete"}
        await server.wait(SECONDS)

    live()
    assert done == started
