"""A database that is locked, frozen or deaf: visitors are told so while it lasts, and not after."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.brokers import Redis
from tests.e2e.postgresql import Database, PostgreSQL
from tests.e2e.sites import Checkout, Site
from tests.e2e.visitor import Visitor, address_of
from tests.servers import DeafProxy, SmtpServer, wait_for

NewSite = Callable[..., Site]
ADMIN = "kim@example.com"
TROUBLE = "the database is in trouble"
PROCESSES = 3  # two workers and the senders
LIMITS = {"FORMS_PER_NETWORK_LIMIT": 1000, "EMAIL_PER_NETWORK_LIMIT": 1000}


def refused(site: Site, number: int) -> None:
    """So many visitors get an answer, and it is a page about the trouble."""
    for _ in range(number):
        answer = Visitor(site, "ko").register("carol")
        assert answer.status == 503
        assert "잠시 후 다시 시도해 주세요" in answer.text


def recovers(site: Site, smtp: SmtpServer) -> None:
    """A visitor who tries again gets through, and their mail leaves once."""
    wait_for(lambda: Visitor(site).register("dave").status == 200, "it is back")
    smtp.wait(address_of("dave"))
    assert len(smtp.to(address_of("dave"))) == 1


def is_quiet(site: Site) -> None:
    log = site.log.read_text(errors="replace")
    assert "Traceback" not in log
    assert 1 <= log.count(TROUBLE) <= 2 * PROCESSES, "a line a minute; the minute may turn"


def test_a_locked_database_is_a_page_and_a_message(
    new_smtp_site: NewSite, smtp: SmtpServer
) -> None:
    smtp.up()
    site = new_smtp_site(ADMINS=ADMIN, **LIMITS).start()
    with contextlib.closing(sqlite3.connect(site.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        refused(site, 2)
        assert "in trouble" in smtp.wait(ADMIN).subject, "while nothing can be queued"
        assert Visitor(site).get("/").status == 200
    recovers(site, smtp)
    assert len(smtp.to(ADMIN)) == 1, "all processes together"
    is_quiet(site)


@pytest.fixture
def own_postgresql(checkout: Checkout) -> Iterator[PostgreSQL]:
    """One that may be frozen: others ask the session's."""
    server = PostgreSQL(checkout)
    try:
        yield server
    finally:
        server.thaw()
        server.remove()


def test_a_frozen_postgresql(
    own_postgresql: PostgreSQL, new_smtp_site: NewSite, smtp: SmtpServer
) -> None:
    smtp.up()
    site = new_smtp_site(DATABASE_URL=own_postgresql.new_database().url, **LIMITS).start()
    Visitor(site).register("alice")
    smtp.wait(address_of("alice"))
    own_postgresql.freeze()
    refused(site, 5)
    assert Visitor(site).get("/").status == 200
    own_postgresql.thaw()
    recovers(site, smtp)
    is_quiet(site)


def test_a_postgresql_behind_a_proxy_that_is_deaf(
    database: Database, postgresql: PostgreSQL, new_smtp_site: NewSite, smtp: SmtpServer
) -> None:
    smtp.up()
    with contextlib.closing(DeafProxy(postgresql.port)) as proxy:
        url = database.url.replace(str(postgresql.port), str(proxy.port))
        site = new_smtp_site(DATABASE_URL=url, **LIMITS).start()
        Visitor(site).register("alice")
        smtp.wait(address_of("alice"))
        proxy.hears.clear()
        refused(site, 5)
        proxy.hears.set()
        recovers(site, smtp)
        site.kill()
    is_quiet(site)


def test_a_frozen_redis_is_nobody_s_concern(new_smtp_site: NewSite, smtp: SmtpServer) -> None:
    smtp.up()
    cache = Redis()
    try:
        cache.up()
        site = new_smtp_site(CACHE_URL=cache.url, **LIMITS).start()
        Visitor(site).register("alice")
        cache.freeze()
        for user_id in ("bob", "carol", "dave"):
            assert Visitor(site).register(user_id).path == "/users/register/success/"
        cache.thaw()
        assert "Traceback" not in site.log.read_text()
        assert "the cache does not answer" in site.log.read_text()
    finally:
        cache.thaw()
        cache.remove()
