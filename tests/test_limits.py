"""Never a weapon: how much may leave, and how much one network may ask for."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client, RequestFactory, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail import api
from mail.causes import Cause
from mail.models import Draft, Mail, Priority, State, Suppression
from mail.queue import delivering, limits, posting
from mail.queue.letters import letters
from tests.conftest import database, deliver_all, registration, take
from users import accounts, visitors
from users.models import AddressChange, User


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


# One address


def test_the_second_within_a_minute_waits_for_its_minute(bob: User) -> None:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        accounts.resend_activation(bob)
        assert len(deliver_all()) == 1
        accounts.resend_activation(bob)
        assert deliver_all() == []
        waiting = Mail.objects.get(state=State.PENDING)
        assert waiting.cause == Cause.TURN
        assert waiting.due == timezone.now() + minutes(1)
        assert waiting.attempts == 0, "waiting for one's turn costs no attempt"
        clock.shift(minutes(1))
        assert len(deliver_all()) == 1


def test_the_seventh_of_a_day_is_never_sent_and_the_next_day_is(bob: User) -> None:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for _ in range(6):
            accounts.resend_activation(bob)
            assert len(deliver_all()) == 1
            clock.shift(minutes(2))
        accounts.resend_activation(bob)
        assert deliver_all() == []
        assert Mail.objects.get(state=State.DROPPED).cause == Cause.LIMIT
        clock.shift(timedelta(hours=24))
        accounts.resend_activation(bob)
        assert len(deliver_all()) == 1


def test_a_resend_that_the_limit_drops_does_not_extend_the_claim(bob: User) -> None:
    """Or a stranger who asks often enough keeps the name of somebody else's claim for ever."""
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for _ in range(6):
            clock.shift(minutes(2))
            accounts.request_activation(bob.email, "en")
            assert len(deliver_all()) == 1
        bob.refresh_from_db()
        end = bob.claim_expires_at
        clock.shift(timedelta(hours=1))
        accounts.request_activation(bob.email, "en")
        assert deliver_all() == []
        assert Mail.objects.get(state=State.DROPPED).cause == Cause.LIMIT
    bob.refresh_from_db()
    assert bob.claim_expires_at == end


def test_claims_of_strangers_do_not_use_up_the_reset_of_the_owner(
    alice: User, cast: Callable[..., User]
) -> None:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for number in range(8):
            mallory = cast(f"mallory{number}", "waiting", email="ALICE@example.com")
            accounts.resend_activation(mallory)
            deliver_all()
            clock.shift(minutes(2))
        assert Mail.objects.filter(state=State.SENT).count() == 1, "one notice a day"
        accounts.request_reset("alice@example.com", "en")
        [letter] = deliver_all()
        assert "password" in letter.subject


def test_an_unknown_address_costs_a_row_and_nothing_else(db: None) -> None:
    accounts.request_reset("nobody@example.com", "en")
    assert deliver_all() == []
    mail = Mail.objects.get()
    assert (mail.state, mail.cause) == (State.DROPPED, Cause.NOT_NEEDED)


def test_of_two_in_flight_the_older_goes_first(bob: User) -> None:
    older, newer = (
        Mail.objects.create(
            letter="register", user=bob, address=bob.email, language="en", priority=0
        )
        for _ in range(2)
    )
    claimed = [take(older.pk), take(newer.pk)]
    assert claimed[0]
    assert claimed[1]
    assert limits.of_the_address(claimed[0], letters["register"]) is None
    outcome = limits.of_the_address(claimed[1], letters["register"])
    assert outcome
    assert (outcome.state, outcome.cause) == (State.PENDING, Cause.TURN)
    assert delivering.deliver(older.pk) is None, "both are claimed"


# The service


@override_settings(EMAIL_DAILY_LIMIT=10)
def test_the_budget_makes_messages_wait_and_notices_wait_first(
    cast: Callable[..., User], bob: User
) -> None:
    now = timezone.now()
    with time_machine.travel(now, tick=False) as clock:
        for number in range(8):
            Mail.objects.create(
                letter="register",
                address=f"{number}@example.com",
                language="en",
                state=State.SENT,
                sent_at=now - timedelta(hours=number),
            )
        alice = cast("alice")
        notice = posting.post("password_change", user=alice)
        accounts.resend_activation(bob)
        accounts.request_reset("alice@example.com", "en")
        [letter] = deliver_all()
        assert "password" in letter.subject, "what an owner waits for"
        notice.refresh_from_db()
        assert (notice.state, notice.cause) == (State.PENDING, Cause.BUDGET)
        assert "budget" in notice.error
        clock.shift(timedelta(hours=19))
        assert {letter.to[0] for letter in deliver_all()} == {bob.email, alice.email}


@override_settings(EMAIL_DAILY_LIMIT=2)
@pytest.mark.parametrize(("room_in", "look_in"), [(1, 10), (9, 10), (11, 11), (600, 600)])
def test_while_the_budget_is_used_up_a_message_looks_again_when_there_is_room_but_not_too_soon(
    alice: User, room_in: int, look_in: int
) -> None:
    """What waits would else return one by one, in the second in which each has room."""
    with time_machine.travel(timezone.now(), tick=False):
        now = timezone.now()
        for sent_at in (now - timedelta(hours=24) + minutes(room_in), now):
            Mail.objects.create(
                letter="register",
                address="a@example.com",
                language="en",
                state=State.SENT,
                sent_at=sent_at,
            )
        accounts.request_reset(alice.email, "en")
        assert deliver_all() == []
        waiting = Mail.objects.get(state=State.PENDING)
        assert waiting.cause == Cause.BUDGET
        assert waiting.due == now + minutes(look_in)
        assert waiting.attempts == 0


def test_what_somebody_waits_for_goes_before_notices(db: None) -> None:
    for priority in (Priority.NOTICE, Priority.WAITED_FOR, Priority.NOTICE):
        Mail.objects.create(letter=priority.name, language="en", priority=priority)
    assert [mail.priority for mail in Mail.objects.overdue()] == [0, 1, 1]


# One network


@override_settings(FORMS_PER_NETWORK_LIMIT=3)
def test_a_flooding_network_gets_429_and_when_to_come_back(browser: Client) -> None:
    for number in range(3):
        form = {"email": f"nobody{number}@example.com"}
        assert browser.post("/users/password/reset/", form).status_code == 302
    page = browser.post("/users/register/", registration())
    assert page.status_code == 429
    assert 0 < int(page.headers["Retry-After"]) <= 3600
    assert "Too many at once" in page.text
    assert not User.objects.exists()
    assert browser.get("/users/register/").status_code == 200, "reading is free"
    elsewhere = browser.post("/users/register/", registration(), REMOTE_ADDR="198.51.100.7")
    assert elsewhere.status_code == 302


@override_settings(FORMS_PER_NETWORK_LIMIT=3)
def test_a_customer_with_many_networks_is_counted_as_one(browser: Client) -> None:
    """A /48 has 65,536 networks: each would be free to make us store as much as another's one."""

    def ask(number: int, network: str) -> int:
        form = {"email": f"nobody{number}@example.com"}
        return browser.post("/users/password/reset/", form, REMOTE_ADDR=network).status_code

    of_a_56 = [ask(number, f"2001:db8:1:{number}::1") for number in range(10)]
    assert of_a_56.count(302) == 6, "twice as many as a /64"
    of_a_48 = [ask(number, f"2001:db8:1:{number:x}00::1") for number in range(10, 30)]
    assert of_a_56.count(302) + of_a_48.count(302) == 12, "four times as many"
    assert ask(30, "2001:db8:2::1") == 302


@override_settings(FORMS_PER_NETWORK_LIMIT=1)
def test_the_next_hour_is_a_new_one(browser: Client) -> None:
    with time_machine.travel("2026-11-20T10:59:50Z", tick=False) as clock:
        form = {"email": "nobody@example.com"}
        assert browser.post("/users/password/reset/", form).status_code == 302
        page = browser.post("/users/password/reset/", form)
        assert (page.status_code, page.headers["Retry-After"]) == (429, "10")
        clock.shift(10)
        assert browser.post("/users/password/reset/", form).status_code == 302


@pytest.mark.parametrize(
    ("proxies", "forwarded", "remote", "network"),
    [
        (0, "", "203.0.113.9", "203.0.113.9"),
        (0, "198.51.100.1", "203.0.113.9", "203.0.113.9"),  # nobody is believed
        (1, "198.51.100.1", "10.0.0.1", "198.51.100.1"),
        (1, "6.6.6.6, 198.51.100.1", "10.0.0.1", "198.51.100.1"),  # the left one is a lie
        (2, "6.6.6.6, 198.51.100.1, 10.0.0.2", "10.0.0.1", "198.51.100.1"),
        (2, "198.51.100.1", "10.0.0.1", "10.0.0.1"),  # fewer than there should be
        (1, "", "10.0.0.1", "10.0.0.1"),
        (1, ", 198.51.100.1", "127.0.0.1", "198.51.100.1"),  # an empty header, and a proxy's word
        (1, "<script>", "10.0.0.1", "unknown"),
        (0, "", "", "unknown"),
        (0, "", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        (0, "", "::ffff:203.0.113.9", "203.0.113.9"),
    ],
)
def test_who_counts_as_one_network(proxies: int, forwarded: str, remote: str, network: str) -> None:
    headers: dict[str, Any] = {"REMOTE_ADDR": remote}
    if forwarded:
        headers["HTTP_X_FORWARDED_FOR"] = forwarded
    with override_settings(TRUSTED_PROXIES=proxies):
        assert visitors.network(RequestFactory().get("/", **headers)) == network


# Two at once


def test_what_is_in_flight_is_not_taken_back_and_counts(bob: User) -> None:
    """Or one that leaves in this moment would be forgotten, and the next one would be free."""
    accounts.resend_activation(bob)
    claimed = take(Mail.objects.get().pk)
    assert claimed
    accounts.correct_address(bob, "robert@example.com")
    claimed.refresh_from_db()
    assert claimed.state == State.PENDING
    assert claimed.mark_sent()
    assert Mail.objects.filter(state=State.SENT, address="bob@example.com").count() == 1


def test_a_letter_for_the_old_address_is_not_sent_to_the_corrected_one(bob: User) -> None:
    accounts.resend_activation(bob)
    old = Mail.objects.get()
    claimed = take(old.pk)
    assert claimed
    accounts.correct_address(bob, "robert@example.com")
    claimed.retry(Cause.DISCONNECTED, "the mail server hung up")
    Mail.objects.update(due=timezone.now())
    assert [letter.to for letter in deliver_all()] == [["robert@example.com"]]
    old.refresh_from_db()
    assert (old.state, old.cause) == (State.DROPPED, Cause.NOT_NEEDED)


def test_a_letter_asked_for_again_is_useful_from_then_on(alice: User) -> None:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        accounts.request_reset(alice.email, "en")
        clock.shift(minutes(25))
        accounts.request_reset(alice.email, "en")
        clock.shift(minutes(25))
        assert len(deliver_all()) == 1


def test_two_rows_of_one_click_are_one_letter(alice: User) -> None:
    """Two processes on PostgreSQL may both post; the later row has nothing new to say."""
    now = timezone.now()
    for _ in range(2):
        Mail.objects.create(
            letter="password_reset", address=alice.email, language="en", created_at=now, priority=0
        )
    assert len(deliver_all()) == 1
    assert Mail.objects.get(state=State.DROPPED).cause == Cause.DUPLICATE


def test_of_two_in_flight_the_limit_ends_one_and_not_both(bob: User) -> None:
    now = timezone.now()
    for hour in range(2, 7):
        Mail.objects.create(
            letter="register",
            address=bob.email,
            language="en",
            state=State.SENT,
            sent_at=now - timedelta(hours=hour),
        )
    mails = [
        Mail.objects.create(letter="register", user=bob, address=bob.email, language="en")
        for _ in range(2)
    ]
    older, newer = (take(mail.pk) for mail in mails)
    assert older
    assert newer
    assert limits.of_the_address(older, letters["register"]) is None
    outcome = limits.of_the_address(newer, letters["register"])
    assert outcome
    assert (outcome.state, outcome.cause, outcome.due) == (State.DROPPED, Cause.LIMIT, None)


# Deciding


def decide(mail: Mail) -> Any:
    """The decision about a claimed row; it has only read."""
    with CaptureQueriesContext(connection) as captured:
        decision = delivering.decide(mail)
    written = [q["sql"] for q in captured if not q["sql"].lstrip("(").startswith("SELECT ")]
    assert not written, mail.letter
    return decision


def give_cause(name: str, person: User) -> None:
    """What a letter is about that not everybody gets; this one has been posted already."""
    new, people = f"new-{person.email}", User.objects.filter(pk=person.pk)
    if name == "address_confirm":
        AddressChange.objects.create(person=person, old="x@example.com", new=person.email)
    elif name == "address_changed":
        done = {"old": person.email, "new": new, "confirmed_at": timezone.now()}
        AddressChange.objects.create(person=person, **done)
        people.update(email=new)
    elif name == "deletion":
        people.update(deletion_asked_at=timezone.now())


@pytest.mark.parametrize("name", sorted(letters))
def test_to_decide_changes_nothing(name: str, alice: User, bob: User, settings: Any) -> None:
    """Only a writer does, and a message that is on hold or over the limit has none."""
    settings.EMAIL_PER_ADDRESS_LIMIT = 1
    letter = letters[name]
    wanted = []
    with time_machine.travel(
        timezone.now() + minutes(20), tick=False
    ):  # a new link extends bob's claim
        for person in (alice, bob):
            mail = posting.post(name, user=person)
            Draft.objects.create(mail=mail, subject="s", body="b")
            give_cause(name, person)
            claimed = take(mail.pk)
            assert claimed
            before = database()
            wanted.append(callable(decide(claimed)))
            earlier = claimed.created_at - minutes(2)
            to = {"address": person.email, "user": claimed.user, "language": "en"}
            sent = Mail.objects.create(letter=name, **to, state=State.SENT, sent_at=earlier)
            with override_settings(EMAIL_DAILY_LIMIT=1):
                assert decide(claimed).cause == Cause.BUDGET, "whatever becomes of it then"
            outcomes = set()
            if letter.limited:
                outcomes.add(decide(claimed).cause)
                with override_settings(EMAIL_PER_ADDRESS_LIMIT=2):
                    Mail.objects.filter(pk=sent.pk).update(sent_at=claimed.created_at)
                    outcomes.add(decide(claimed).cause)
            if wanted[-1]:
                assert outcomes <= {Cause.LIMIT, Cause.TURN}
            api.suppress(person.email, Suppression.Reason.BOUNCED)
            decide(claimed)
            sent.delete()
            Suppression.objects.all().delete()
            assert database() == before
            claimed.crashes = 6
            assert decide(claimed).cause == Cause.CRASHED
            claimed.crashes, claimed.created_at = 1, claimed.created_at - timedelta(days=30)
            assert decide(claimed).cause == Cause.TOO_LATE
    assert any(wanted), "for one of the two there is something to say"
