"""The same site and the same unit tests on PostgreSQL, for when the department grows."""

import json
from collections.abc import Callable

from tests.e2e.postgresql import Database
from tests.e2e.sites import ROOT, Site, environment, run
from tests.e2e.visitor import NEW_PASSWORD, Visitor
from tests.servers import SmtpServer, wait_for

UNIT_TESTS = ("-m", "pytest", "tests", "--ignore=tests/e2e", "-q", "-p", "no:cacheprovider")
UNIT_TESTS += ("-p", "tests.e2e.with_database", "--numprocesses=2", "--dist=worksteal")
UNIT_TESTS_WITHIN = 1800  # seconds; then they hang


def test_the_unit_tests_pass_on_postgresql(database: Database) -> None:
    env = environment(DATABASE_URL=database.url, MACHINE_EXAMPLES=2)
    print(run(*UNIT_TESTS, cwd=ROOT, env=env, within=UNIT_TESTS_WITHIN))


def test_the_journey_on_postgresql(
    database: Database, new_smtp_site: Callable[..., Site], smtp: SmtpServer
) -> None:
    smtp.up()
    site = new_smtp_site(DATABASE_URL=database.url).start()
    alice = Visitor(site)
    assert alice.register("alice").path == "/users/register/success/"
    assert alice.post(smtp.wait("alice@example.com").link).path == "/"
    assert "Alice" in alice.get("/").text

    visitor = Visitor(site)
    visitor.post("/users/password/reset/", email="ALICE@example.com")
    passwords = {"new_password": NEW_PASSWORD}
    link = smtp.wait("alice@example.com", 2).link
    assert visitor.post(link, **passwords).path == "/users/password/reset/done/"
    assert visitor.sign_in("alice", NEW_PASSWORD).path == "/"

    sent = "SELECT count(*) FROM mail_mail WHERE state = 'sent'"
    wait_for(lambda: database.rows(sent) == [(3,)], "three letters are sent")


def test_two_at_once_never_end_in_an_error_of_the_database(database: Database) -> None:
    """Deadlocks and broken keys: SQLite, where writers queue up, cannot show them."""
    env = environment(DATABASE_URL=database.url, DJANGO_SETTINGS_MODULE="tests.settings")
    out = json.loads(run("-m", "tests.e2e.races", cwd=ROOT, env=env).splitlines()[-1])
    assert out == {
        "twins": {"LinkSpent+ok": 25},
        "resend_and_cancel": {"ok+ok": 25},
        "names": {"UserIdTaken+ok": 25},
        "suppressions": {"ok+ok, 1 row": 25},
        "guesses": {"ok+ok, 2 counted, [2, 2] kept": 25},
        "prune": {"ok+ok+ok, 1 left": 25},
        "moves_away": {"LinkSpent+ok, waiting claim": 25},
        "taken_back": {"LinkSpent+ok, the owner has it": 25},
    }
