"""While much mail waits, a sender takes several at once. Nobody but the database must notice."""

import smtplib
import threading
from collections.abc import Callable
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
from mail.models import Mail, Priority, State
from mail.registry import Letter, letters
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


# The claim


def test_a_batch_is_what_can_be_had_and_no_more(write: Any) -> None:
    mails = write(5)
    assert Mail.objects.claim(mails[0].pk)
    Mail.objects.filter(pk=mails[1].pk).update(state=State.CANCELLED)
    Mail.objects.filter(pk=mails[2].pk).update(due=timezone.now() + DAY)
    got = Mail.objects.claim_batch(pks(mails))
    assert pks(got) == pks(mails[3:])
    for mail in got:
        row = Mail.objects.get(pk=mail.pk)
        assert (row.attempts, row.faults, row.taken, row.due) == (1, 1, True, mail.due)
    assert Mail.objects.claim_batch(pks(mails)) == []


def test_two_senders_who_claim_in_one_moment_get_nothing_twice(write: Any, clock: Any) -> None:
    """The clock stands still: by their time alone the two could not be told apart."""
    mails = write(6)
    clock(timezone.now() + timedelta(seconds=1))
    first = Mail.objects.claim_batch(pks(mails[:4]))
    second = Mail.objects.claim_batch(pks(mails))
    assert (pks(first), pks(second)) == (pks(mails[:4]), pks(mails[4:]))


def test_the_urgent_of_a_batch_goes_first_and_then_the_older(write: Any) -> None:
    mails = write(3)
    Mail.objects.filter(pk=mails[2].pk).update(priority=Priority.WAITED_FOR)
    got = Mail.objects.claim_batch(pks(mails[::-1]))
    assert pks(got) == pks([mails[2], mails[0], mails[1]])


def test_a_mail_whose_sender_died_is_never_taken_with_others(write: Any) -> None:
    mails = write(3)
    Mail.objects.filter(pk=mails[1].pk).update(faults=1)
    assert pks(Mail.objects.claim_batch(pks(mails))) == pks([mails[0], mails[2]])
    assert Mail.objects.claim(mails[1].pk)


def test_a_mail_that_kills_its_sender_takes_nobody_along(
    write: Any, sending: Any, clock: Any
) -> None:
    """It kills the first batch, and then only itself, until it is counted out."""
    mails = write(4)
    sending("1@example.com", fail(KeyboardInterrupt()))  # what nothing catches, as a kill
    for _ in range(7):
        for batch in (pks(mails), *([pk] for pk in pks(mails))):
            try:
                delivery.deliver_batch(batch)
            except KeyboardInterrupt:
                continue
        clock(timezone.now() + timedelta(hours=1))
    assert states() == {
        "0@example.com": "sent",
        "1@example.com": "failed",
        "2@example.com": "sent",
        "3@example.com": "sent",
    }
    assert len(django_mail.outbox) == 3


def test_what_no_batch_takes_is_sent_after_the_batch(write: Any) -> None:
    mails = write(3)
    Mail.objects.filter(pk=mails[0].pk).update(faults=1)
    assert len(delivery.deliver_batch(pks(mails))) == 3
    assert [letter.to for letter in django_mail.outbox] == [
        ["1@example.com"],
        ["2@example.com"],
        ["0@example.com"],
    ]


# The sending


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
    # Claim (2), suppressed addresses, owners, what has gone to them; and each is noted for itself.
    with django_assert_num_queries(5 + count):
        delivery.deliver_batch(pks(mails))
    assert len(django_mail.outbox) == count


def test_each_is_noted_before_the_next_one_leaves(write: Any, sending: Any) -> None:
    """So a crash doubles no more than the one in hand."""
    seen: list[dict[str, str]] = []
    mails = write(3)
    sending("2@example.com", lambda: seen.append(states()))
    delivery.deliver_batch(pks(mails))
    assert seen == [
        {"0@example.com": "sent", "1@example.com": "sent", "2@example.com": "pending"},
    ]


def test_one_that_fails_is_no_trouble_of_the_others(write: Any, sending: Any) -> None:
    mails = write(3)
    sending("1@example.com", fail(smtplib.SMTPDataError(451, b"later")))
    delivery.deliver_batch(pks(mails))
    assert states() == {
        "0@example.com": "sent",
        "1@example.com": "pending",
        "2@example.com": "sent",
    }


def test_when_the_server_becomes_slow_the_rest_goes_back(
    write: Any, sending: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(delivery, "time", clock)
    mails = write(4)
    Mail.objects.filter(pk=mails[3].pk).update(error="of its last attempt")
    sending("1@example.com", lambda: now.append(now.pop() + delivery.BATCH_WITHIN + 1))
    delivery.deliver_batch(pks(mails))
    assert list(states().values()) == ["sent", "sent", "pending", "pending"]
    for mail in mails[2:]:
        mail.refresh_from_db()
        assert (mail.attempts, mail.faults, mail.taken) == (0, 0, False)
    assert mails[3].error == "of its last attempt"
    assert sorted(pk for pk, _ in delivery.overdue()) == sorted(pks(mails[2:])), "at once"


def test_a_look_up_that_fails_is_told_by_every_row(write: Any) -> None:
    mails = write(2, look_up=lambda mails: 1 / 0)
    delivery.deliver_batch(pks(mails))
    for mail in mails:
        mail.refresh_from_db()
        assert mail.error == "ZeroDivisionError: division by zero"
        assert (mail.state, mail.taken) == (State.PENDING, False)


def test_two_letters_to_one_address_in_a_batch_are_still_one_a_minute(bob: User) -> None:
    mails = [
        Mail.objects.create(
            letter="register",
            user=bob,
            address=address,
            language="en",
            created_at=timezone.now() + timedelta(seconds=n),
        )
        for n, address in enumerate(["bob@example.com", "bob@example.com"])
    ]
    delivery.deliver_batch(pks(mails))
    assert len(django_mail.outbox) == 1
    for mail in mails:
        mail.refresh_from_db()
    assert [mail.state for mail in mails] == [State.SENT, State.PENDING]
    assert "a minute later" in mails[1].error


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
    delivery.deliver_batch(list(Mail.objects.values_list("pk", flat=True)))
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


# What a sender takes


def batch_of(waiting: int, senders: int, pace: float) -> int:
    """How many a sender takes when so many wait for so many senders, who took so long for one."""
    pool = Pool()
    pool.threads, pool.pace = [threading.current_thread()] * senders, pace
    for number in range(waiting):
        pool.queue(number)
    taken = pool._next()
    assert taken == list(range(len(taken))), "the first that came"
    return len(taken)


@pytest.mark.parametrize(
    ("waiting", "senders", "pace", "batch"),
    [
        (4, 4, 0.001, 1),  # one for everybody
        (40, 4, 0.001, 10),  # a share for everybody
        (400, 4, 0.001, 20),  # as many as one claim takes
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


def test_the_pace_is_that_of_the_last_mails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "deliver_batch", lambda pks: None)
    pool, clock = Pool(), iter([100.0, 106.0])
    monkeypatch.setattr(threads, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    pool.pace = 0.001
    for _ in range(3):
        pool.queue("a key")
    assert pool.send_step()
    assert pool.jobs.empty(), "the three were a batch"
    assert pool.pace == 2.0
    assert pool.jobs.unfinished_tasks == 0
