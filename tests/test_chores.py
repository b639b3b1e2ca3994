"""What strangers make us store goes by itself, a batch at a time. Nobody's account ever does."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from mail.models import Mail, State, Suppression
from mail.queue import chores
from mail.queue.engines import threads
from tests.conftest import registration, sign_in
from tests.servers import wait_for
from users.management.commands import chores as command
from users.models import Session, User

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> list[chores.Chore]:
    """No chores but those of a test."""
    monkeypatch.setattr(chores, "chores", [])
    return chores.chores


def a_round() -> None:
    """As the sweeper does it, until the round has ended."""
    steps = chores.Round()
    steps.step()
    while steps.left:
        steps.step()


def test_what_has_expired_goes_and_nobody_else(
    alice: User, dora: User, cast: Callable[..., User]
) -> None:
    root = User.objects.create_superuser("root-of-cs", "root@example.com", "correct-horse-battery")
    cast("late", "waiting")
    User.objects.update(
        claim_expires_at=timezone.now() - 8 * DAY, created_at=timezone.now() - 8 * DAY
    )
    cast("just", "waiting")
    User.objects.filter(user_id="just").update(
        claim_expires_at=timezone.now() - 6 * DAY, created_at=timezone.now() - 6 * DAY
    )
    young = cast("young", "waiting")
    a_round()
    just = User.objects.get(user_id="just")
    assert set(User.objects.all()) == {alice, dora, root, just, young}


def test_a_claim_of_staff_is_not_taken(bob: User) -> None:
    User.objects.update(
        claim_expires_at=timezone.now() - 8 * DAY,
        created_at=timezone.now() - 8 * DAY,
        is_staff=True,
    )
    a_round()
    assert User.objects.exists()


def test_sessions_that_have_ended_go(alice: User, browser: Client, other_browser: Client) -> None:
    sign_in(browser, "alice")
    other_browser.post("/users/register/", registration())
    Session.objects.filter(pk=other_browser.session.session_key).update(
        expire_date=timezone.now() - timedelta(seconds=1)
    )
    a_round()
    assert [row.pk for row in Session.objects.all()] == [browser.session.session_key]


def test_a_timer_does_all_of_them_at_once(
    alice: User, browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "BATCH_SIZE", 2)
    for _ in range(5):
        sign_in(Client(), "alice")
    sign_in(browser, "alice")
    Session.objects.exclude(pk=browser.session.session_key).update(
        expire_date=timezone.now() - timedelta(seconds=1)
    )
    said = StringIO()
    call_command("chores", stdout=said)
    assert "prune_sessions: 5\n" in said.getvalue()
    assert len(said.getvalue().splitlines()) == len(chores.chores)
    assert Session.objects.count() == 1


def test_old_mail_and_suppressions_that_have_ended_go() -> None:
    now = timezone.now()
    ages = {"new": timedelta(hours=1), "unknown": 2 * DAY, "old": 31 * DAY}
    for address, age in ages.items():
        state = State.DROPPED if address == "unknown" else State.SENT
        Mail.objects.create(
            letter="register", address=address, language="ko", state=state, sent_at=now - age,
            created_at=now - age,
        )  # fmt: skip
    Mail.objects.create(
        letter="register", address="waits", language="ko", created_at=now - 31 * DAY
    )
    for address, until in (("ended", now - DAY), ("lasts", now + DAY), ("forever", None)):
        Suppression.objects.create(address=address, reason="bounced", until=until)
    a_round()
    assert set(Mail.objects.values_list("address", flat=True)) == {"new", "waits"}
    assert set(Suppression.objects.values_list("address", flat=True)) == {"lasts", "forever"}


def test_a_batch_a_step_so_that_no_mail_waits(ours: list[Any]) -> None:
    left = [chores.AT_MOST * 2 + 1]

    def many(at_most: int) -> int:
        done = min(at_most, left[0])
        left[0] -= done
        return done

    chores.chore(many)
    steps = chores.Round()
    seen = []
    for _ in range(4):
        steps.step()
        seen.append(left[0])
    assert seen == [chores.AT_MOST + 1, 1, 0, 0]


def test_a_chore_that_fails_keeps_none_from_its_turn(
    ours: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    done = []

    @chores.chore
    def broken(at_most: int) -> int:
        raise RuntimeError("the disk is full")

    @chores.chore
    def sound(at_most: int) -> int:
        done.append(at_most)
        return 0

    a_round()
    assert done == [chores.AT_MOST]
    assert "a chore has failed: broken" in caplog.text


def test_the_next_round_comes_after_a_while(ours: list[Any]) -> None:
    done, now = [], [1000.0]
    chores.chore(lambda at_most: done.append(at_most) or 0)
    steps = chores.Round(lambda: now[0])
    for _ in range(3):
        steps.step()
    assert len(done) == 1
    now[0] += chores.EVERY
    steps.step()
    assert len(done) == 2


@pytest.fixture
def pool() -> Iterator[threads.Pool]:
    pool = threads.Pool(sweep_every=0.01)
    yield pool
    pool.stop()


@pytest.mark.django_db(transaction=True)
def test_the_sweeper_does_them(ours: list[Any], pool: threads.Pool) -> None:
    done = []
    chores.chore(lambda at_most: done.append(at_most) or 0)
    pool.start(1)
    wait_for(lambda: done, "the round of chores")


# Growth


@pytest.fixture
def steps() -> Iterator[Callable[[Callable[[], Any]], int]]:
    """How much SQLite has to do for something: the instructions of its machine, in thousands."""
    if connection.vendor != "sqlite":
        pytest.skip("counts what SQLite does")
    connection.ensure_connection()
    counted = []

    def count(do: Callable[[], Any]) -> int:
        counted.clear()
        do()
        return len(counted)

    connection.connection.set_progress_handler(lambda: counted.append(1), 1000)
    yield count
    connection.connection.set_progress_handler(None, 0)


def test_what_is_kept_for_a_while_costs_a_chore_nothing(steps: Any) -> None:
    [prune] = [do for do in chores.chores if do.__name__ == "prune_suppressions"]
    ended = timezone.now() - DAY
    Suppression.objects.bulk_create(
        Suppression(address=f"gone{n}@example.com", reason="refused", until=ended, times=1)
        for n in range(1000)
    )
    assert steps(lambda: prune(200)) == 0
    assert steps(lambda: list(Suppression.objects.filter(times=2))) > 0, "a walk is noticed"


def test_claims_that_are_still_kept_cost_a_chore_nothing(steps: Any) -> None:
    [prune] = [do for do in chores.chores if do.__name__ == "prune_claims"]
    made, expires = timezone.now() - 8 * DAY, timezone.now() - 6 * DAY
    User.objects.bulk_create(
        User(
            user_id=f"late{n}",
            email=f"late{n}@example.com",
            created_at=made,
            claim_expires_at=expires,
        )
        for n in range(1000)
    )
    assert steps(lambda: prune(200)) == 0
