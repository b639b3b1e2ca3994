"""Proxies: what a header says counts only from those that we trust, and a forgotten one shows."""

import logging
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from cs_web.proxies import watch
from tests.elsewhere import DEVELOPMENT, Site
from tests.servers import PATIENCE, free_port, wait_for

FORWARDED = {"x-forwarded-for": "203.0.113.7"}


@pytest.fixture(autouse=True)
def _nothing_seen() -> Iterator[None]:
    watch.trouble = ""
    yield
    watch.trouble = ""


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "cs_web.proxies"]


def health(browser: Client) -> Any:
    return browser.get("/healthz", headers={"accept": "application/json"}).json()


@pytest.mark.parametrize("headers", [FORWARDED, {"x-forwarded-proto": "https"}])
def test_a_forgotten_proxy_is_reported_once(
    browser: Client, caplog: pytest.LogCaptureFixture, headers: dict[str, str]
) -> None:
    assert "proxies" not in health(browser)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            browser.get("/", headers=headers)
    [warning] = warnings(caplog)
    assert "TRUSTED_PROXIES is 0" in warning
    assert "TRUSTED_PROXIES is 0" in health(browser)["proxies"]


def test_it_is_reported_although_https_redirects_for_ever(browser: Client, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    browser = Client()  # reads the settings when it starts
    assert browser.get("/", headers=FORWARDED).status_code == 301
    assert watch.trouble


def test_fewer_hops_than_proxies_are_reported(browser: Client, settings: Any) -> None:
    settings.TRUSTED_PROXIES = 2
    browser.get("/", headers=FORWARDED)
    assert "names 1 in X-Forwarded-For, and TRUSTED_PROXIES is 2" in watch.trouble


@pytest.mark.parametrize("hops", ["203.0.113.7", "6.6.6.6, 203.0.113.7"])
def test_a_proxy_that_is_trusted_is_no_news(browser: Client, settings: Any, hops: str) -> None:
    settings.TRUSTED_PROXIES = 1
    browser.get("/", headers={"x-forwarded-for": hops, "x-forwarded-proto": "https"})
    assert not watch.trouble


def test_a_stranger_from_far_away_makes_no_trouble(browser: Client) -> None:
    browser.get("/", headers=FORWARDED, REMOTE_ADDR="8.8.8.8")
    assert not watch.trouble
    browser.get("/", headers=FORWARDED, REMOTE_ADDR="")
    assert watch.trouble, "a Unix socket is always a proxy"


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
