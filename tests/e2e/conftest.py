"""The stage of the end-to-end tests: real processes, real mail services, a real browser."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.moto_api._internal import moto_api_backend
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from moto.ses.models import ses_backends
from playwright.sync_api import Browser, sync_playwright

from tests.e2e.browser import CHROMIUM_ARGS, Reader
from tests.e2e.mailservers import Ses, SmtpServer
from tests.e2e.sites import Checkout, Site, requires

SES_REGION = "ap-northeast-2"
AWS_KEYS = {"AWS_ACCESS_KEY_ID": "AKIATESTING", "AWS_SECRET_ACCESS_KEY": "testing"}

_running: list[Site] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """A failure is shown with what the servers said."""
    report = yield
    if report.failed:
        for site in _running:
            report.sections.append((f"log of {site.url}", site.log_tail()))
    return report


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="module")
def new_site(
    checkout: Checkout, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Site]]:
    """Makes sites with a database of their own, not yet started; kills them in the end."""
    ours: list[Site] = []

    def make(server: tuple[str, ...] | None = None, **settings: Any) -> Site:
        folder = tmp_path_factory.mktemp("site")
        site = Site(checkout, folder, *([server] if server else []), **settings)
        ours.append(site)
        _running.append(site)
        return site

    try:
        yield make
    finally:
        for site in ours:
            site.kill()
            _running.remove(site)


@pytest.fixture
def smtp() -> Iterator[SmtpServer]:
    """A plain SMTP server, not yet up."""
    server = SmtpServer()
    try:
        yield server
    finally:
        server.down()


@pytest.fixture
def new_smtp_site(new_site: Callable[..., Site], smtp: SmtpServer) -> Callable[..., Site]:
    """Makes a site that sends by `smtp`."""

    def make(server: tuple[str, ...] | None = None, **settings: Any) -> Site:
        mail = {"EMAIL_HOST": "127.0.0.1", "EMAIL_PORT": smtp.port, "EMAIL_USE_TLS": "false"}
        return new_site(server, EMAIL_SERVICE="smtp", **mail, **settings)

    return make


@pytest.fixture
def ses() -> Iterator[Ses]:
    """Amazon SES as moto speaks it, with the site's sender verified."""
    moto_api_backend.reset()  # what another test has left outlives its server
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        client = boto3.client(
            "ses",
            region_name=SES_REGION,
            endpoint_url=url,
            aws_access_key_id=AWS_KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=AWS_KEYS["AWS_SECRET_ACCESS_KEY"],
        )
        client.verify_email_identity(EmailAddress="noreply@cs.example.ac.kr")
        client.close()
        yield Ses(url, ses_backends[DEFAULT_ACCOUNT_ID][SES_REGION])
    finally:
        server.stop()


# Of a module, not of the session: while Playwright runs it has an event loop in this thread, and
# Django then refuses the database to the unit tests that come after.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = shutil.which("chromium")
    requires("chromium", program)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM_ARGS)
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture
def new_reader(chromium: Browser) -> Iterator[Callable[..., Reader]]:
    """Opens browser profiles. None of their pages may complain, or ask another host."""
    readers: list[Reader] = []

    def make(site: Site, language: str = "en", **options: Any) -> Reader:
        readers.append(Reader(chromium, site, language, **options))
        return readers[-1]

    try:
        yield make
    finally:
        for reader in readers:
            reader.context.close()
    assert [problem for reader in readers for problem in reader.problems] == []


@pytest.fixture
def pictures() -> Path | None:
    """Where to put screenshots, if somebody wants to look at the pages: E2E_PICTURES=folder."""
    folder = os.environ.get("E2E_PICTURES")
    return Path(folder) if folder else None
