"""The stage of the end-to-end tests: real processes, real mail services, a real browser."""

import fcntl
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

from tests.e2e.browser import CHROMIUM_ARGS, PROGRAMS, Reader, program
from tests.e2e.postgresql import Database, PostgreSQL
from tests.e2e.ses import Ses
from tests.e2e.sites import Checkout, Site
from tests.elsewhere import requires
from tests.servers import SmtpServer

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


# Who begins with what, where workers share the tests (see scripts/test.py). The longest comes
# first, or all would wait for it in the end; what has the same servers stays together.
HANDS = [
    ["test_chaos"],
    ["test_growing_up"],
    ["test_crash", "test_senders", "test_beside", "test_sigterm", "test_backup"],
    ["test_servers", "test_journey"],
    ["test_postgresql", "test_rubbish", "test_outage", "test_register_status", "test_pages"],
    ["test_gallery"],
]
LONGEST = "test_the_unit_tests_pass_on_postgresql"  # of its module
HERE = Path(__file__).parent


@pytest.hookimpl(trylast=True)  # after pytest-randomly, whose order stays as it is within a module
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deals these tests out to the workers, each of which begins with its part of the list."""
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    hands: list[list[pytest.Item]] = [[] for _ in range(workers)]
    for number, modules in enumerate(HANDS):
        for module in modules:
            ours = [item for item in items if item.path == HERE / f"{module}.py"]
            hands[number % workers] += sorted(ours, key=lambda item: item.name != LONGEST)
    dealt = {item for hand in hands for item in hand}
    rest = [item for item in items if item not in dealt]
    left = len(items)
    items.clear()
    for number, hand in enumerate(hands):
        share = left // (workers - number)  # as xdist splits it
        some = max(0, share - len(hand))
        items += [*hand, *rest[:some]]
        left -= len(hand) + len(rest[:some])
        del rest[:some]
    items += rest


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Made by the first worker that needs one; each has a copy of its own."""
    ours = tmp_path_factory.mktemp("checkout")
    base = tmp_path_factory.getbasetemp()
    everybodys = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "checkout"
    everybodys.mkdir(exist_ok=True)
    with (everybodys / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        Checkout(everybodys)
    shutil.copytree(everybodys, ours, dirs_exist_ok=True)
    return Checkout(ours)


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


@pytest.fixture(scope="session")
def postgresql(checkout: Checkout) -> Iterator[PostgreSQL]:
    server = PostgreSQL(checkout)
    try:
        yield server
    finally:
        server.remove()


@pytest.fixture
def database(postgresql: PostgreSQL) -> Database:
    return postgresql.new_database()


# Of a module, not of the session: while Playwright runs it has an event loop in this thread, and
# Django then refuses the database to the unit tests that come after.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    requires(PROGRAMS[0], program())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(), args=CHROMIUM_ARGS)
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
