"""manage.py mail status, retry, cancel, prune and work; and prune_claims."""

import io
import re
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from mail import api
from mail.causes import Cause
from mail.desk import operations
from mail.desk.verbs import changing
from mail.models import HANDED_OVER, Attempt, Mail, State, Suppression
from mail.queue import posting
from mail.queue.alarms import alarms
from mail.queue.engines import work
from tests.conftest import deliver_all, take
from tests.test_mail_command import ADDRESS, mail
from users import accounts
from users.models import User

# status


def row(state: str = State.PENDING, age: timedelta = timedelta(0), **fields: Any) -> Mail:
    """A row of the queue, made (and due) some time ago."""
    then = timezone.now() - age
    fields = {"letter": "password_change", "address": ADDRESS, "due": then, **fields}
    if state in HANDED_OVER:
        fields["sent_at"] = then
    return Mail.objects.create(state=state, created_at=then, language="en", **fields)


LATER = timedelta(minutes=-10)


@pytest.mark.django_db
def test_status_of_an_empty_queue_is_good() -> None:
    code, said = mail("status")
    assert code == 0
    assert re.search(r"(?m)^  due now +0$", said)
    assert re.search(r"(?m)^  oldest due +none$", said)
    assert re.search(r"(?m)^Alarm +none$", said)


@pytest.mark.django_db
def test_status_counts_by_state_and_by_what_is_waited_for(settings: Any) -> None:
    settings.EMAIL_DAILY_LIMIT = 300
    row(age=timedelta(minutes=2))
    row(age=LATER)
    row(age=LATER, on_hold=True)
    row(age=LATER, claimed=True)
    row(age=LATER, claimed=True)
    row(State.SENT)
    row(State.SENT, age=timedelta(hours=25))
    row(State.FAILED)
    code, said = mail("status")
    assert code == 0
    for name, count in {
        "pending": 5,
        "sent": 2,
        "failed": 1,
        "due now": 1,
        "in flight": 2,
        "on hold": 1,
        "later": 1,
    }.items():
        assert re.search(rf"(?m)^  {name} +{count}\b", said), name
    assert re.search(r"(?m)^  oldest due +0:02:0\d ago$", said)
    assert re.search(r"(?m)^  all +1 of 300$", said)
    assert re.search(r"(?m)^  strangers +0 of 150$", said)


@pytest.mark.django_db
def test_status_is_bad_when_mail_is_overdue_for_more_than_five_minutes() -> None:
    row(age=timedelta(minutes=4, seconds=50))
    assert mail("status")[0] == 0
    row(age=timedelta(minutes=5, seconds=10))
    code, said = mail("status")
    assert code == 1
    assert "TOO LONG" in said


@pytest.mark.django_db
def test_status_is_bad_while_an_alarm_is_raised_and_says_what_to_do(settings: Any) -> None:
    settings.EMAIL_SERVICE = "naver"
    alarms.raise_(Cause.LOGIN, "the login was refused: 535 5.7.1 no")
    code, said = mail("status")
    assert code == 1
    assert "the login was refused: 535 5.7.1 no" in said
    assert "IMAP/SMTP 사용" in said


# retry and cancel


@pytest.mark.django_db
@pytest.mark.parametrize("command", ["retry", "cancel"])
def test_nothing_is_changed_without_saying_which(command: str) -> None:
    kept = row(State.FAILED), row(State.PENDING)
    for arguments in ([], ["--dry-run"], ["--all", "--letter", "register"]):
        with pytest.raises(CommandError, match="--all"):
            mail(command, *arguments)
    assert [Mail.objects.get(pk=one.pk).state for one in kept] == [State.FAILED, State.PENDING]


@pytest.mark.django_db
@pytest.mark.parametrize("state", [State.FAILED, State.REFUSED, State.CANCELLED])
def test_what_did_not_leave_is_sent_again_from_the_start(alice: User, state: str) -> None:
    Mail.objects.all().delete()
    tried = {"attempts": 9, "crashes": 5, "cause": "busy", "error": "no", "on_hold": True}
    one = row(state, user=alice, address=alice.email, **tried)
    assert "Would send again: 1." in mail("retry", "--all", "--dry-run")[1]
    assert Mail.objects.get().state == state
    assert "Will be sent again: 1." in mail("retry", "--all")[1]
    one.refresh_from_db()
    assert (one.state, one.attempts, one.crashes) == (State.PENDING, 0, 0)
    assert (one.cause, one.error, one.on_hold) == ("", "", False)
    [letter] = deliver_all()
    assert letter.to == [alice.email]
    assert "Will be sent again: 0." in mail("retry", "--all")[1], "it has left now"


@pytest.mark.django_db
@pytest.mark.parametrize("state", [*HANDED_OVER, State.DROPPED, State.PENDING])
def test_what_has_left_is_never_sent_again(state: str) -> None:
    one = row(state, due=timezone.now() + timedelta(hours=1))
    mail("retry", "--all")
    assert Mail.objects.get(pk=one.pk).state == state
    assert Mail.objects.get(pk=one.pk).due == one.due


@pytest.mark.django_db
def test_what_helps_nobody_any_more_is_not_sent_again() -> None:
    row(State.FAILED, letter="password_reset", age=timedelta(minutes=31))
    fresh = row(State.FAILED, letter="password_reset", age=timedelta(minutes=29))
    gone = row(State.FAILED, letter="a letter of an older version")
    assert "Will be sent again: 1." in mail("retry", "--all")[1]
    assert Mail.objects.get(pk=fresh.pk).state == State.PENDING
    assert Mail.objects.get(pk=gone.pk).state == State.FAILED


@pytest.mark.django_db
def test_letter_and_address_narrow_the_choice_together() -> None:
    wanted = row(State.FAILED, letter="password_reset", address="A@example.com")
    row(State.FAILED, letter="password_reset", address="b@example.com")
    row(State.FAILED, letter="password_change", address="a@example.com")
    mail("retry", "--letter", "password_reset", "--to", "a@EXAMPLE.com")
    assert list(Mail.objects.filter(state=State.PENDING)) == [wanted]


@pytest.mark.django_db
def test_cancel_takes_back_what_waits_and_retry_takes_that_back() -> None:
    one = row(age=LATER)
    assert "Would be cancelled: 1." in mail("cancel", "--all", "--dry-run")[1]
    assert Mail.objects.get().state == State.PENDING
    assert "Cancelled: 1." in mail("cancel", "--letter", one.letter)[1]
    assert Mail.objects.get().state == State.CANCELLED
    mail("retry", "--to", ADDRESS)
    assert Mail.objects.get().state == State.PENDING


@pytest.mark.django_db
def test_cancel_leaves_what_is_in_flight_and_what_is_done() -> None:
    posting.post("register", address=ADDRESS)
    claimed = take(Mail.objects.get().pk)
    done = row(State.SENT)
    assert claimed
    assert "Cancelled: 0." in mail("cancel", "--all", "--yes")[1]
    assert claimed.mark_sent()
    assert Mail.objects.get(pk=done.pk).state == State.SENT


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("answer", "state"), [("y", "cancelled"), ("n", "pending"), ("", "pending")]
)
def test_to_cancel_all_one_is_asked(monkeypatch: Any, answer: str, state: str) -> None:
    row(age=LATER)
    asked = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or answer)
    code, _ = mail("cancel", "--all")
    assert asked == ["Cancel all 1 that wait? [y/N] "]
    assert (code == 0) == (state == "cancelled")
    assert Mail.objects.get().state == state


@pytest.mark.django_db
def test_where_nothing_waits_one_is_not_asked(monkeypatch: Any) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: pytest.fail(question))
    assert "Cancelled: 0." in mail("cancel", "--all")[1]


@pytest.mark.django_db
def test_where_nobody_can_be_asked_only_yes_cancels_all(monkeypatch: Any) -> None:
    row(age=LATER)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(CommandError, match="--yes"):
        mail("cancel", "--all")
    assert Mail.objects.get().state == State.PENDING
    assert "Cancelled: 1." in mail("cancel", "--all", "--yes")[1]


@pytest.mark.django_db
@pytest.mark.parametrize(("command", "state"), [("retry", "failed"), ("cancel", "pending")])
def test_a_dry_run_lists_what_it_would_change(monkeypatch: Any, command: str, state: str) -> None:
    for name in ("a", "b", "c"):
        row(state, address=f"{name}@example.com", age=timedelta(minutes="abc".index(name)))
    row(State.SENT, address="d@example.com")
    said = mail(command, "--all", "--dry-run")[1]
    assert re.findall(r"\w@example\.com", said) == [f"{n}@example.com" for n in "abc"]
    monkeypatch.setattr(changing, "SHOWN_OF_A_DRY_RUN", 2)
    said = mail(command, "--all", "--dry-run")[1]
    assert re.findall(r"\w@example\.com", said) == ["a@example.com", "b@example.com"]
    assert "older ones" in said
    assert ": 3. Nothing was changed." in said


# prune

OLD = timedelta(days=31)


@pytest.mark.django_db
def test_prune_only_counts_until_it_is_asked_to_delete() -> None:
    row(State.SENT, age=OLD)
    code, said = mail("prune")
    assert code == 0
    assert "Finished mail older than 30 days: 1" in said
    assert "Nothing was deleted" in said
    assert Mail.objects.count() == 1


@pytest.mark.django_db
def test_prune_deletes_old_finished_mail_with_its_timeline_and_nobody(
    alice: User, bob: User, dora: User
) -> None:
    Mail.objects.all().delete()
    people = set(User.objects.all())
    for state in set(State.values) - {State.PENDING}:
        one = row(state, age=OLD, user=alice)
        Attempt.objects.create(mail=one, number=1, what="no")
    kept = {row(age=OLD), row(age=OLD, crashes=1), row(State.SENT, age=timedelta(days=29))}
    assert "Deleted 8 rows" in mail("prune", "--delete")[1]
    assert set(Mail.objects.all()) == kept
    assert not Attempt.objects.exists()
    assert set(User.objects.all()) == people


@pytest.mark.django_db
def test_what_was_asked_for_an_address_that_is_nobodys_lives_for_a_day(alice: User) -> None:
    row(State.DROPPED, age=timedelta(hours=25))
    kept = {
        row(State.DROPPED, age=timedelta(hours=23)).pk,
        row(State.DROPPED, age=timedelta(hours=25), user=alice).pk,
        row(State.SENT, age=timedelta(hours=25)).pk,
    }
    mail("prune", "--delete")
    assert set(Mail.objects.values_list("pk", flat=True)) == kept


@pytest.mark.django_db
def test_prune_goes_in_batches_and_says_how_far_it_is(monkeypatch: Any) -> None:
    monkeypatch.setattr(operations, "ROWS_A_BATCH", 2)
    for _ in range(5):
        row(State.SENT, age=OLD)
    said = mail("prune", "--delete")[1]
    assert re.findall(r"deleted (\d) of 5", said) == ["2", "4", "5"]


@pytest.mark.django_db
def test_prune_keeps_what_was_sent_again_while_it_looked() -> None:
    """Between its two queries staff sends one again, and another process would deliver it."""
    again, old = row(State.FAILED, age=OLD), row(State.SENT, age=OLD)
    queries: list[str] = []

    def staff(execute: Any, sql: str, *rest: Any) -> Any:
        queries.append(sql)
        if len(queries) == 2:
            Mail.objects.filter(pk=again.pk).update(state=State.PENDING)
        return execute(sql, *rest)

    with connection.execute_wrapper(staff):
        operations.prune(timedelta(days=30), lambda so_far: None)
    assert Mail.objects.get() == again
    assert old not in Mail.objects.all()


@pytest.mark.django_db
def test_prune_keeps_suppressions_in_force() -> None:
    api.suppress("a@example.com", Suppression.Reason.BOUNCED)
    api.suppress("b@example.com", Suppression.Reason.DECLINED, timedelta(days=1))
    api.suppress("c@example.com", Suppression.Reason.DECLINED, timedelta(days=-1))
    mail("prune", "--delete")
    kept = Suppression.objects.order_by("address").values_list("address", flat=True)
    assert list(kept) == ["a@example.com", "b@example.com"]


@pytest.mark.django_db
@pytest.mark.parametrize("days", ["0", "-1", "6"])
def test_prune_keeps_the_days_that_limits_are_counted_from(days: str) -> None:
    row(State.SENT, age=OLD)
    with pytest.raises(CommandError, match="7 or more"):
        mail("prune", "--delete", f"--days={days}")
    assert Mail.objects.exists()


# prune_claims


def prune_claims(*arguments: str) -> str:
    printed = io.StringIO()
    call_command("prune_claims", *arguments, stdout=printed)
    return printed.getvalue()


def test_expired_claims_go_and_nobody_else(alice: User, bob: User, dora: User, cast: Any) -> None:
    expired, fresh = cast("expired", "waiting"), cast("fresh", "waiting")
    helper = cast("helper", "waiting")
    User.objects.filter(pk=helper.pk).update(is_staff=True)
    long_ago = timezone.now() - timedelta(days=8)
    User.objects.exclude(pk=fresh.pk).exclude(pk=bob.pk).update(
        claim_expires_at=long_ago, created_at=long_ago
    )
    assert "Claims expired for more than 7 days: 1" in prune_claims()
    assert User.objects.count() == 6, "only counted"
    assert "Deleted 1 claims." in prune_claims("--delete")
    assert not User.objects.filter(pk=expired.pk).exists()
    assert set(User.objects.all()) == {alice, bob, dora, fresh, helper}


def test_no_argument_makes_it_take_an_account(alice: User, bob: User, dora: User) -> None:
    User.objects.update(
        claim_expires_at=timezone.now() - timedelta(days=999),
        created_at=timezone.now() - timedelta(days=999),
    )
    prune_claims("--delete", "--days=0")
    assert set(User.objects.all()) == {alice, dora}
    assert not accounts.prune_claims(timezone.now() + timedelta(days=999), 1000)


def test_claims_whose_link_works_cannot_be_asked_for(bob: User) -> None:
    with pytest.raises(CommandError, match="0 or more"):
        prune_claims("--delete", "--days=-2")
    assert User.objects.get() == bob


def test_claims_go_in_batches(cast: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("users.management.commands.prune_claims.BATCH_SIZE", 2)
    for number in range(3):
        cast(f"claim{number}", "waiting")
    User.objects.update(
        claim_expires_at=timezone.now() - timedelta(days=8),
        created_at=timezone.now() - timedelta(days=8),
    )
    assert re.findall(r"deleted (\d) of 3", prune_claims("--delete")) == ["2", "3"]


# work


def test_work_runs_the_engine(monkeypatch: Any) -> None:
    asked = []
    monkeypatch.setattr(work, "run", lambda *choices: asked.append(choices) or 0)
    assert mail("work", "--threads", "3", "--once")[0] == 0
    assert mail("work", "--threads", "2", "--with-parent", "1")[0] == 0
    assert asked == [(3, True, 0), (2, False, 1)]
    monkeypatch.setattr(work, "run", lambda *choices: 1)
    assert mail("work")[0] == 1


@pytest.mark.parametrize(("parent", "lines"), [(0, 1), (-1, 0)])
def test_senders_beside_a_site_leave_it_the_last_word_at_the_start(
    monkeypatch: Any, caplog: Any, parent: int, lines: int
) -> None:
    monkeypatch.setattr(work, "Pool", lambda *_: Mock(threads=[]))
    monkeypatch.setattr(work.os, "getppid", lambda: -1)
    looks = iter([False, False, True])
    monkeypatch.setattr(work, "_told_to_stop", lambda within: next(looks))
    monkeypatch.setattr(work, "_report", lambda start: work.PROGRESS % (0, 0))
    monkeypatch.setattr(work, "_progress", lambda start: "")
    with caplog.at_level("INFO"):
        work.run(4, with_parent=parent)
    said = [
        record.getMessage() for record in caplog.records if "stopped" not in record.getMessage()
    ]
    assert len(said) == lines


@pytest.mark.parametrize("number", ["0", "-1", "two"])
def test_work_without_a_sender_is_refused(number: str) -> None:
    with pytest.raises(CommandError, match="it takes one or more"):
        mail("work", f"--threads={number}")
