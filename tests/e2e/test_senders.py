"""Senders beside the web server, as one command starts both."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.sites import GUNICORN, Site, on_linux
from tests.e2e.visitor import Visitor, address_of
from tests.servers import SmtpServer, wait_for

pytestmark = on_linux

PENDING = "SELECT 1 FROM mail_mail WHERE state = 'pending'"
TRIED = f"{PENDING} AND NOT claimed AND id IN (SELECT mail_id FROM mail_attempt)"
A_MINUTE_PASSES = "UPDATE mail_pulse SET at = datetime(at, '-60 seconds')"


@pytest.fixture
def site(new_smtp_site: Callable[..., Site], smtp: SmtpServer) -> Site:
    smtp.up()
    return new_smtp_site(GUNICORN)


def only_senders(site: Site) -> int:
    [pid] = wait_for(site.senders, "senders")
    return pid


def test_mail_leaves_by_a_process_of_its_own(site: Site, smtp: SmtpServer) -> None:
    site.start()
    Visitor(site).register("carol")
    smtp.wait(address_of("carol"))
    senders = only_senders(site)
    assert senders not in site.workers()
    assert len(site.workers()) == 2


def test_what_waits_at_the_start_leaves_without_a_visitor(site: Site, smtp: SmtpServer) -> None:
    site.start()
    smtp.down()
    Visitor(site).register("carol")
    wait_for(lambda: site.rows(TRIED), "it was tried, and nobody holds it")
    site.kill()
    smtp.up()
    site.start()
    smtp.wait(address_of("carol"))


def test_senders_that_are_killed_are_started_again(site: Site, smtp: SmtpServer) -> None:
    site.start()
    first = only_senders(site)
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: site.senders() not in ([], [first]), "others")
    Visitor(site).register("carol")
    smtp.wait(address_of("carol"))
    assert len(site.workers()) == 2, "the site has not noticed"


def test_they_end_with_the_site(site: Site) -> None:
    senders = only_senders(site.start())
    site.terminate()
    assert site.has_ended()
    with pytest.raises(ProcessLookupError):
        os.kill(senders, 0)


def test_a_reload_brings_new_senders(site: Site, smtp: SmtpServer) -> None:
    first = only_senders(site.start())
    assert site.process
    site.process.send_signal(signal.SIGHUP)
    wait_for(lambda: site.senders() not in ([], [first]), "others")
    Visitor(site).register("carol")
    smtp.wait(address_of("carol"))


def test_a_site_whose_senders_cannot_start_serves_and_says_so(site: Site, smtp: SmtpServer) -> None:
    site.start()

    def health() -> Any:
        return Visitor(site).get("/healthz").text

    wait_for(lambda: '"engine": "work"' in health(), "they work")
    manage = site.checkout.path / "manage.py"
    aside = manage.rename(site.checkout.path / "away.py")
    try:
        os.kill(only_senders(site), signal.SIGKILL)
        site.rows(A_MINUTE_PASSES)
        wait_for(lambda: "no `mail work` is running" in health(), "the trouble is reported")
        assert Visitor(site).register("carol").path == "/users/register/success/"
    finally:
        aside.rename(manage)
    smtp.wait(address_of("carol"))


def test_senders_that_run_elsewhere_are_not_started_here(
    new_smtp_site: Callable[..., Site], smtp: SmtpServer
) -> None:
    site = new_smtp_site(MAIL_BESIDE="false").start()
    Visitor(site).register("carol")
    assert site.senders() == []
    assert site.rows(PENDING)
