"""The change of a row that holds only if the row is as expected."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.exceptions import FieldDoesNotExist
from django.db import IntegrityError, transaction

from mail import rows
from mail.models import Mail, State

NOON = datetime(2026, 3, 2, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def mail(db: None) -> Mail:
    Mail.objects.create(letter="note", language="en", due=NOON)
    return Mail.objects.create(letter="note", language="en", due=NOON)


def test_the_row_is_as_expected_and_changes_alone(mail: Mail) -> None:
    expected = {"id": mail.pk, "state": State.PENDING, "due": NOON, "taken": False, "attempts": 0}
    changes = {"state": State.SENT, "sent_at": NOON, "taken": True, "error": "it's %s", "faults": 3}
    assert rows.change(Mail, expected, changes) is True
    row = Mail.objects.get(pk=mail.pk)
    assert {name: getattr(row, name) for name in changes} == changes
    assert Mail.objects.exclude(pk=mail.pk).get().state == State.PENDING
    assert rows.change(Mail, expected, changes) is False, "it is not any more"


@pytest.mark.parametrize(
    "other", [{"attempts": 1}, {"taken": True}, {"due": NOON.replace(microsecond=123457)}]
)
def test_a_row_that_is_otherwise_stays(mail: Mail, other: dict[str, Any]) -> None:
    assert rows.change(Mail, {"id": mail.pk} | other, {"error": "x"}) is False
    assert not Mail.objects.filter(error="x").exists()


def test_it_is_one_statement(mail: Mail, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        rows.change(Mail, {"id": mail.pk}, {"error": "x"})


def test_the_database_still_has_its_say(mail: Mail) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        rows.change(Mail, {"id": mail.pk}, {"state": State.SENT})  # without the time


def test_a_field_that_is_none_is_refused(mail: Mail) -> None:
    with pytest.raises(FieldDoesNotExist):
        rows.change(Mail, {"id": mail.pk}, {"eror": "x"})
