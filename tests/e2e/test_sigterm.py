"""A stop by SIGTERM, with messages in flight: whoever serves, nobody gets two, and none is lost."""

import importlib.util
import re
import signal
from collections import Counter
from collections.abc import Callable

import pytest

from tests.e2e.sites import GUNICORN, Site, on_linux
from tests.e2e.visitor import Visitor, address_of
from tests.servers import PATIENCE, SmtpServer, wait_for

pytestmark = on_linux

UVICORN = ("-m", "uvicorn", "cs_web.asgi:application")
UVICORN_WORKER = (
    *("-m", "gunicorn", "cs_web.asgi", "-k", "uvicorn_worker.UvicornWorker"),
    *("--no-control-socket", "--workers", "2"),
)
SERVERS = {"gunicorn": GUNICORN, "uvicorn": UVICORN, "uvicorn_worker": UVICORN_WORKER}
PEOPLE = [f"person-{number}" for number in range(6)]
PENDING = "SELECT 1 FROM mail_mail WHERE state = 'pending'"
HEARD = re.compile("Handling signal: term|Shutting down")
SENT = "SELECT 1 FROM mail_mail WHERE state = 'sent'"


@pytest.mark.parametrize("engine", ["threads", "work"])
@pytest.mark.parametrize("server", SERVERS)
def test_what_is_in_flight_is_finished(
    server: str, engine: str, new_smtp_site: Callable[..., Site], smtp: SmtpServer
) -> None:
    if importlib.util.find_spec(server) is None:
        pytest.skip(f"needs the package {server}: make dev")
    smtp.up().accepts = 0
    site = new_smtp_site(
        SERVERS[server], MAIL_ENGINE=engine, MAIL_THREADS=2, EMAIL_TIMEOUT=120
    ).start()
    for user_id in PEOPLE:
        assert Visitor(site).register(user_id).path == "/users/register/success/"
    wait_for(lambda: smtp.receiving >= 2, "messages are in flight")
    in_flight = smtp.receiving
    site.terminate()
    wait_for(lambda: HEARD.search(site.log.read_text()), "it has heard")
    smtp.accepts = len(PEOPLE)
    assert site.process
    assert site.process.wait(PATIENCE) in (0, -signal.SIGTERM), site.log_tail()
    assert "SIGKILL" not in site.log.read_text()
    assert len(smtp.letters) == len(site.rows(SENT)) >= in_flight, "what was begun is noted"

    site.start()  # and without a visitor
    wait_for(lambda: not site.rows(PENDING), "the rest is sent")
    assert Counter(letter.to for letter in smtp.letters) == dict.fromkeys(
        map(address_of, PEOPLE), 1
    )
