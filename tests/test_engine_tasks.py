"""A framework of tasks as the engine: whichever backend it has, its workers deliver."""

from typing import Any

import pytest
from django.core import mail as django_mail
from django_tasks import task_backends

from mail.models import Mail, State
from mail.queue import posting
from mail.queue.engines import tasks
from users.models import User

BACKENDS = "django_tasks.backends"


@pytest.fixture(autouse=True)
def _engine(settings: Any) -> None:
    settings.MAIL_ENGINE = "mail.queue.engines.tasks.Tasks"


def post(user: User, commit: Any) -> Mail:
    with commit(execute=True):
        mail = posting.post("register", user=user)
        assert mail.state == State.PENDING
        assert django_mail.outbox == [], "nothing before the commit"
    mail.refresh_from_db()
    return mail


def test_where_tasks_run_at_once_a_message_leaves_at_the_commit(
    bob: User, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    settings.TASKS = {"default": {"BACKEND": f"{BACKENDS}.immediate.ImmediateBackend"}}
    mail = post(bob, django_capture_on_commit_callbacks)
    assert mail.state == State.SENT
    assert [letter.to for letter in django_mail.outbox] == [["bob@example.com"]]


def test_a_hint_is_a_task_with_the_key_of_a_row_and_a_worker_delivers_it(
    bob: User, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    settings.TASKS = {"default": {"BACKEND": f"{BACKENDS}.dummy.DummyBackend"}}
    mail = post(bob, django_capture_on_commit_callbacks)
    assert mail.state == State.PENDING
    backend: Any = task_backends["default"]
    [hint] = backend.results
    assert hint.task.module_path == f"{tasks.__name__}.deliver"
    assert (list(hint.args), hint.kwargs) == ([str(mail.pk)], {})

    for _ in range(2):
        hint.task.call(*hint.args, **hint.kwargs)
        mail.refresh_from_db()
        assert mail.state == State.SENT
    assert len(django_mail.outbox) == 1, "a doubled hint finds the row sent"


def test_a_framework_that_is_down_costs_no_registration(
    bob: User,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: Any,
) -> None:
    def down(*_: Any) -> None:
        raise ConnectionError("the broker is away")

    monkeypatch.setattr(task_backends["default"], "enqueue", down)
    assert post(bob, django_capture_on_commit_callbacks).state == State.PENDING
    assert "the broker is away" in caplog.text
