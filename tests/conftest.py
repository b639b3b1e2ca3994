"""The cast and the stage. Alice is active, Bob is waiting, Dora is disabled, Mallory attacks."""

import gc
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.core import mail as django_mail
from django.core.cache import cache
from django.core.mail import EmailMultiAlternatives
from django.db import connection as database_connection
from django.test import Client
from django.utils import timezone
from django.utils.http import urlsafe_base64_encode

from cs_web.proxies import watch
from mail.models import Mail, Suppression
from mail.queue import delivering
from mail.queue.alarms import alarms
from mail.queue.refusals import refusals
from mail.transport import connection
from tests import plans
from users import accounts, tokens
from users.models import User

PASSWORD = "correct-horse-battery"  # everybody's, so that no story has to say it
NEW_PASSWORD = "staple-horse-correct"
LINK = re.compile(r"http://127\.0\.0\.1:8000(/users/\S+)")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Any:
    """In the end every statement that the tests have caused is explained: see `tests.plans`."""
    statements = plans.Statements()
    database_connection.execute_wrappers.append(statements)
    yield
    if database_connection.vendor != "sqlite":
        return  # it chooses by statistics, which would need many more rows: see test_plans.py
    with django_db_blocker.unblock():
        problems = statements.problems()
    assert not problems, "\n".join([f"{len(problems)} read all of what grows:", *problems])


def pytest_collection_finish() -> None:
    """What is imported by now stays: the garbage collector need not look at it again and again. Nor
    at the rest so often: a test leaves little, and this is a twentieth of their time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


@pytest.fixture(autouse=True)
def _no_kept_connection() -> Any:
    """No kept connection, no count and no belief (alarm, proxy) reaches the next test."""
    yield
    connection.close()
    alarms.forget()
    refusals.forget()
    cache.clear()
    watch.trouble = ""


@pytest.fixture(autouse=True)
def _slots_of_its_own(settings: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests that run side by side do not wait for each other's sign-ins."""
    settings.VAR_DIR = tmp_path_factory.getbasetemp()


class Clock:
    """One that nobody sets, in seconds; a test moves it on."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def cast(db: None) -> Callable[..., User]:
    """Makes a person by the door that every person comes through."""

    def make(user_id: str, state: str = "active", **fields: Any) -> User:
        fields = {
            "email": f"{user_id}@example.com",
            "name": user_id.capitalize(),
            "password": PASSWORD,
            "language": "en",
            **fields,
        }
        person = accounts.register(user_id=user_id, **fields)
        Mail.objects.filter(user=person).delete()
        if state in ("active", "disabled"):
            person = accounts.activate(person)
        if state == "disabled":
            accounts.disable(person)
            person.refresh_from_db()
        return person

    return make


@pytest.fixture
def alice(cast: Callable[..., User]) -> User:
    return cast("alice")


@pytest.fixture
def bob(cast: Callable[..., User]) -> User:
    return cast("bob", "waiting")


@pytest.fixture
def dora(cast: Callable[..., User]) -> User:
    return cast("dora", "disabled")


@pytest.fixture
def browser(db: None) -> Client:
    """A visitor who reads English."""
    return Client(headers={"accept-language": "en"})


@pytest.fixture
def other_browser(db: None) -> Client:
    return Client(headers={"accept-language": "en"})


@pytest.fixture
def hers(browser: Client, alice: User) -> Client:
    """The browser in which Alice is signed in."""
    sign_in(browser, "alice")
    return browser


@pytest.fixture
def clock(time_machine: Any) -> Callable[[datetime], None]:
    """Stops the clock at a moment: `clock(timezone.now() + timedelta(hours=25))`."""

    def stop_at(moment: datetime) -> None:
        # In the site's own zone, because time_machine makes the moment's zone that of the process,
        # and Django's tokens count in the process's.
        time_machine.move_to(timezone.localtime(moment), tick=False)

    return stop_at


@pytest.fixture
def still(clock: Callable[[datetime], None]) -> None:
    """The clock stands: a page that names the minute is compared with another."""
    clock(timezone.now())


def deliver_all() -> list[EmailMultiAlternatives]:
    """One step of the senders: whatever is due goes out. The letters of this step."""
    before = len(django_mail.outbox)
    for pk, _ in delivering.overdue():
        delivering.deliver(pk)
    return django_mail.outbox[before:]  # type: ignore[return-value]


def take(pk: Any) -> Mail | None:
    """Claims a row as a sender does; None if it is not due, done, or claimed by another."""
    mail = Mail.objects.due().filter(pk=pk).select_related("user").first()
    return mail if mail and mail.claim() else None


def link_in(letter: EmailMultiAlternatives) -> str:
    """The path of the first link in the text part."""
    found = LINK.search(str(letter.body))
    assert found, f"no link in {letter.body}"
    return found[1]


def registration(**changes: str) -> dict[str, str]:
    return {
        "user_id": "carol",
        "name": "Carol",
        "email": "carol@example.com",
        "password": PASSWORD,
        "terms": "on",
        "privacy": "on",
        **changes,
    }


def fresh(person: User) -> User:
    """As the database has them now."""
    return User.objects.get(pk=person.pk)


def uid(person: User) -> str:
    return urlsafe_base64_encode(person.pk.bytes)


def activation_link(claim: User) -> str:
    """What a letter to this person would hold now, whatever state the account is in."""
    return f"/users/activate/{uid(claim)}/{tokens.activation.make_token(claim)}/"


def reset_link(person: User) -> str:
    return f"/users/password/reset/{uid(person)}/{tokens.reset.make_token(person)}/"


def open_link(browser: Client, link: str) -> str:
    """Follows a link as a mail program does; the clean address of the page it leads to."""
    response = browser.get(link)
    assert response.status_code == 302, response.text
    return str(response["Location"])


@pytest.fixture
def activation_page(bob: User, browser: Client) -> str:
    """Bob has opened his link in a browser that did not register. The address of the page."""
    return open_link(browser, activation_link(bob))


@pytest.fixture
def reset_page(alice: User, browser: Client) -> str:
    """Alice has opened her link. The address of the page."""
    return open_link(browser, reset_link(alice))


def database() -> list[tuple[Any, ...]]:
    """Every column of every person, mail and suppression, to compare before and after."""
    tables = [User.objects, Mail.objects, Suppression.objects]
    return [row for table in tables for row in table.order_by("pk").values_list()]


def sign_in(browser: Client, username: str, password: str = PASSWORD) -> Any:
    return browser.post("/users/login/", {"username": username, "password": password})


def is_signed_in(browser: Client) -> bool:
    return bool(browser.get("/").wsgi_request.user.is_authenticated)


def page_text(response: Any) -> str:
    """A page without what differs each time: the CSRF tokens."""
    return re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", response.text)


def queries_of(captured: Any) -> list[str]:
    """The kind of each query: its SQL without the values."""
    values = re.compile(r"'(?:[^']|'')*'|\b\d+\b|\bs\d+_x\d+\b")  # or a savepoint's name
    return [values.sub("?", query["sql"]) for query in captured.captured_queries]
