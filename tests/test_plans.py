"""What holds the rest to its indexes must itself notice who has none (`tests.plans`)."""

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from mail.models import TO_NOBODY, Mail, State
from tests import plans
from users.models import OLD_HASH, User

pytestmark = pytest.mark.django_db


def problems(rows: QuerySet) -> list[str]:
    sql, params = rows.query.sql_with_params()
    return list(plans.walks(sql, params))


@pytest.fixture
def filled(db: None) -> None:
    plans.fill(connection, 300, 3000)


def test_what_reads_all_rows_is_noticed(filled: None) -> None:
    people, mails = User.objects.all(), Mail.objects.all()
    everything = [
        people.filter(is_active=False, activated_at=None, id=None) | people.filter(name=None),
        people.filter(email="alice@example.com"),
        people.filter(password__startswith="pbkdf2_sha256$"),
        people.order_by("name"),
        mails.filter(state=State.FAILED).order_by("-created_at"),
        mails.filter(error="x")[:50],
        mails.order_by("-created_at"),
        mails.filter(provider_id__contains="x").order_by("-created_at")[:50],
    ]
    assert [str(rows.query) for rows in everything if not problems(rows)] == []


def test_what_stands_on_an_index_is_not(filled: None) -> None:
    people, mails = User.objects.all(), Mail.objects.all()
    few = [
        people.filter(pk="0" * 32),
        people.named("alice"),
        people.filter(OLD_HASH),
        people.order_by("-created_at", "-pk")[:50],
        mails.filter(mailbox="alice@example.com", user=None),
        mails.filter(TO_NOBODY, created_at__lt=timezone.now()),
        mails.with_provider_id("x"),
        mails.due(),
    ]
    assert [problem for rows in few for problem in problems(rows)] == []
