"""While much mail waits, a sender takes several at once. Nobody but the database must notice."""

import contextlib
import smtplib
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.core import mail as django_mail
from django.core.mail import EmailMultiAlternatives
from django.utils import timezone

from mail import alarms, connections, delivery, outbox
from mail.engines import threads
from mail.engines.threads import Pool
from mail.models import LEASE, Mail, Priority, State
from mail.registry import Letter, letters
from tests.conftest import take
from users import accounts
from users.models import User

DAY = timedelta(days=1)


@pytest.fixture
def write(db: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Mail]]:
    """Posts so many notes, each to somebody else."""

    def post(count: int, priority: Priority = Priority.NOTICE, **how: Any) -> list[Mail]:
        note = Letter("note", writer, priority, DAY, **how)
        monkeypatch.setitem(letters, "note", note)
        return [outbox.post("note", address=f"{n}@example.com", args={}) for n in range(count)]

    def writer(mail: Mail) -> EmailMultiAlternatives:
        return EmailMultiAlternatives("note", "a note", to=[mail.address])

    return post


@pytest.fixture
def sending(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What happens when a mail to such an address is sent."""
    real = connections.send

    def on(address: str, do: Callable[[], Any]) -> None:
        def send(message: Any) -> bool:
            if message.to == [address]:
                do()
            return real(message)

        monkeypatch.setattr(connections, "send", send)

    return on


def fail(error: BaseException) -> Callable[[], None]:
    def do() -> None:
        raise error

    return do


def pks(mails: list[Mail]) -> list[Any]:
    return [mail.pk for mail in mails]


def states() -> dict[str, str]:
    return dict(Mail.objects.values_list("address", "state"))


def deliver(mails: list[Mail]) -> list[Mail]:
    return list(delivery.deliver_batch(pks(mails)))


# What is sent


def test_a_batch_is_what_can_be_had_and_no_more(write: Any) -> None:
    mails = write(5)
    assert take(mails[0].pk)
    Mail.objects.filter(pk=mails[1].pk).update(state=State.CANCELLED)
    Mail.objects.filter(pk=mails[2].pk).update(due=timezone.now() + DAY)
    assert pks(deliver(mails)) == pks(mails[3:])
    assert deliver(mails) == []


def test_the_urgent_of_a_batch_goes_first_and_then_the_older(write: Any) -> None:
    mails = write(3)
    Mail.objects.filter(pk=mails[2].pk).update(priority=Priority.WAITED_FOR)
    assert pks(deliver(mails[::-1])) == pks([mails[2], mails[0], mails[1]])


@pytest.mark.parametrize("count", [1, 2, 15])
def test_the_database_is_asked_as_often_for_many_as_for_one(
    db: None, count: int, django_assert_num_queries: Any
) -> None:
    for n in range(count):
        accounts.register(
            user_id=f"person{n}",
            email=f"{n}@example.com",
            name="P",
            password="!",
            language="en",
        )
    mails = list(Mail.objects.all())
    alarms._remember(False)  # asked once in ten seconds, whoever sends
    # The rows, suppressed addresses, owners, others of their kind; and each is claimed and noted.
    with django_assert_num_queries(4 + 2 * count):
        deliver(mails)
    assert len(django_mail.outbox) == count


def test_one_that_fails_is_no_trouble_of_the_others(write: Any, sending: Any) -> None:
    mails = write(3)
    sending("1@example.com", fail(smtplib.SMTPDataError(451, b"later")))
    assert pks(deliver(mails)) == pks(mails)
    assert list(states().values()) == ["sent", "pending", "sent"]


def test_a_look_up_that_fails_is_told_by_every_row(write: Any) -> None:
    mails = write(2, look_up=lambda mails: 1 / 0)
    deliver(mails)
    for mail in mails:
        mail.refresh_from_db()
        assert mail.error == "ZeroDivisionError: division by zero"
        assert (mail.state, mail.taken, mail.faults) == (State.PENDING, False, 1)


def test_what_is_known_of_one_address_is_not_taken_for_another(
    cast: Callable[..., User],
) -> None:
    """A batch of one letter to an owner, a claim, a disabled account and nobody."""
    cast("alice")
    cast("bob", "waiting")
    cast("dora", "disabled")
    Mail.objects.all().delete()
    for address in ("ALICE@example.com", "bob@example.com", "dora@example.com", "no@example.com"):
        accounts.request_reset(address, "en")
    deliver(list(Mail.objects.all()))
    assert {letter.to[0]: str(letter.subject) for letter in django_mail.outbox} == {
        "alice@example.com": "alice, choose a new password",
        "bob@example.com": "bob, please confirm your registration",
    }
    assert states() == {
        "ALICE@example.com": "sent",
        "bob@example.com": "sent",
        "dora@example.com": "dropped",
        "no@example.com": "dropped",
    }


# Each for itself: what was read of it once is no claim to it


def test_only_the_one_in_hand_is_held(write: Any, sending: Any) -> None:
    """So a slow one keeps no other waiting, and a crash touches no other."""
    mails, seen = write(3), []
    sending("1@example.com", lambda: seen.extend(Mail.objects.order_by("created_at").values()))
    deliver(mails)
    assert [(row["state"], row["taken"], row["attempts"]) for row in seen] == [
        ("sent", False, 1),
        ("pending", True, 1),
        ("pending", False, 0),
    ]


def test_whoever_asks_for_no_more_leaves_the_rest_as_it_was(write: Any) -> None:
    mails = write(3)
    assert next(delivery.deliver_batch(pks(mails))).pk == mails[0].pk
    assert sorted(pk for pk, _ in delivery.overdue()) == sorted(pks(mails[1:]))
    assert set(Mail.objects.filter(pk__in=pks(mails[1:])).values_list("attempts", "faults")) == {
        (0, 0)
    }


@pytest.mark.parametrize(
    "happen",
    [
        lambda row: take(row.get().pk),
        lambda row: row.cancel(),
        lambda row: row.update(due=timezone.now() + timedelta(seconds=1)),  # asked for again
        lambda row: row.delete(),
    ],
    ids=["claimed", "cancelled", "asked for again", "deleted"],
)
def test_what_happens_to_a_row_after_it_was_read_counts(
    write: Any, sending: Any, happen: Callable[[Any], Any]
) -> None:
    mails = write(3)
    last = Mail.objects.filter(pk=mails[2].pk)
    sending("0@example.com", lambda: happen(last))
    assert pks(deliver(mails)) == pks(mails[:2])
    assert len(django_mail.outbox) == 2


@pytest.mark.parametrize(
    ("args", "state", "why"),
    [
        ({}, State.DROPPED, "the same has left since"),
        ({"of": "its own"}, State.PENDING, "a minute later"),
    ],
)
def test_two_letters_to_one_address_in_a_batch_are_still_one_a_minute(
    bob: User, args: Any, state: State, why: str
) -> None:
    mails = letters_to_bob(bob, 2)
    Mail.objects.filter(pk=mails[1].pk).update(args=args)
    deliver(mails)
    assert len(django_mail.outbox) == 1
    for mail in mails:
        mail.refresh_from_db()
    assert [mail.state for mail in mails] == [State.SENT, state]
    assert why in mails[1].error


def test_letters_that_did_not_leave_are_not_counted(bob: User) -> None:
    """Whoever registers eight times in a row gets the last letter, and at once."""
    gone = letters_to_bob(None, 7)
    [last] = letters_to_bob(bob, 1)
    deliver([*gone, last])
    assert Mail.objects.filter(state=State.DROPPED, error="no longer needed").count() == 7
    last.refresh_from_db()
    assert last.state == State.SENT


def letters_to_bob(claim: User | None, number: int) -> list[Mail]:
    now = timezone.now()
    return [
        Mail.objects.create(
            letter="register",
            user=claim,
            address="bob@example.com",
            language="en",
            created_at=now + timedelta(milliseconds=n),
        )
        for n in range(number)
    ]


def test_a_mail_that_kills_its_sender_takes_nobody_along(
    write: Any, sending: Any, clock: Any
) -> None:
    mails = write(4)
    sending("1@example.com", fail(KeyboardInterrupt()))  # what nothing catches, as a kill
    for _ in range(7):
        with contextlib.suppress(KeyboardInterrupt):
            deliver(mails)
        clock(timezone.now() + timedelta(hours=1))
    assert list(states().values()) == ["sent", "failed", "sent", "sent"]
    assert len(django_mail.outbox) == 3


def test_what_died_together_does_not_come_back_together(write: Any, clock: Any) -> None:
    """Else the killer would meet the same ones again, and count them out with it."""
    mails = write(20)
    clock(timezone.now() + timedelta(seconds=1))
    for mail in Mail.objects.read(pks(mails)):
        assert mail.claim()
    assert set(Mail.objects.values_list("due", flat=True)) == {timezone.now() + LEASE}
    clock(timezone.now() + LEASE)
    for mail in Mail.objects.read(pks(mails)):
        assert mail.claim()
    dues = set(Mail.objects.values_list("due", flat=True))
    assert len(dues) == 20
    assert max(dues) - min(dues) > LEASE / 4


# What a sender takes


def batch_of(waiting: int, senders: int, pace: float) -> int:
    """How many a sender takes when so many wait for so many senders, who took so long for one."""
    pool = Pool()
    pool.threads, pool.pace = [threading.current_thread()] * senders, pace
    for number in range(waiting):
        pool.queue(number)
    taken = pool._next()
    assert taken == [(number, 0) for number in range(len(taken))], "the first that came"
    return len(taken)


@pytest.mark.parametrize(
    ("waiting", "senders", "pace", "batch"),
    [
        (4, 4, 0.001, 1),  # one for everybody
        (40, 4, 0.001, 10),  # a share for everybody
        (400, 4, 0.001, 20),
        (400, 4, 0.0, 20),
        (400, 4, 0.1, 5),  # as many as leave in half a second
        (400, 4, 30.0, 1),
        (3, 0, 0.001, 3),
    ],
)
def test_a_sender_takes_more_at_once_while_more_waits_than_there_are_senders(
    waiting: int, senders: int, pace: float, batch: int
) -> None:
    assert batch_of(waiting, senders, pace) == batch


def test_the_first_mail_of_a_server_that_nobody_knows_yet_goes_alone() -> None:
    assert batch_of(waiting=400, senders=4, pace=Pool().pace) == 1


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Pool:
    """With three mails, numbered, to take at once: the second is somebody else's."""

    def deliver_batch(numbers: list[int]) -> Iterator[Any]:
        yield from (SimpleNamespace(pk=number) for number in numbers if number != 2)

    monkeypatch.setattr(delivery, "deliver_batch", deliver_batch)
    pool = Pool()
    pool.pace = 0.001
    for number in (1, 2, 3):
        pool.queue(number, urgency=number)
    return pool


def times(monkeypatch: pytest.MonkeyPatch, *moments: float) -> None:
    clock = iter(moments)
    monkeypatch.setattr(threads, "time", SimpleNamespace(monotonic=lambda: next(clock)))


def test_all_of_a_batch_is_done_with(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    times(monkeypatch, 100.0, 100.1, 100.4)
    assert pool.send_step()
    assert pool.pace == pytest.approx(0.2), "of those that were sent"
    assert (pool.jobs.qsize(), pool.jobs.unfinished_tasks) == (0, 0)


def test_when_a_server_becomes_slow_the_rest_goes_back_to_its_place(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    times(monkeypatch, 100.0, 107.0)
    assert pool.send_step()
    assert pool.pace == pytest.approx(7)
    assert pool.jobs.unfinished_tasks == 2, "drain() waits for these"
    pool.pace = 0.001
    assert pool._next() == [(2, 2), (3, 3)]


def test_after_the_order_to_stop_no_other_mail_of_the_batch_is_begun(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []

    def deliver_batch(numbers: list[int]) -> Iterator[Any]:
        for number in numbers:
            begun.append(number)
            pool.stopping.set()
            yield SimpleNamespace(pk=number)

    monkeypatch.setattr(delivery, "deliver_batch", deliver_batch)
    assert pool.send_step()
    assert begun == [1]
