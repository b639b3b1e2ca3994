"""What engines that carry hints have in common."""

from typing import Any

from django.utils import timezone
from django_tasks import TaskResult, TaskResultStatus
from django_tasks.backends.base import BaseTaskBackend
from django_tasks.base import Task
from django_tasks.utils import get_random_id


class HintsBackend(BaseTaskBackend):
    """Django Tasks for tasks that may be lost or doubled, because a row tells what is to be done.

    A subclass says how it passes one on. That must not raise: whoever posts a mail is a visitor.
    """

    supports_priority = True

    def enqueue(self, task: Task, args: Any, kwargs: Any) -> TaskResult:
        self.validate_task(task)
        self.hint(task, list(args), kwargs)
        return TaskResult(
            task=task,
            id=get_random_id(),
            status=TaskResultStatus.READY,
            enqueued_at=timezone.now(),
            started_at=None,
            finished_at=None,
            last_attempted_at=None,
            args=list(args),
            kwargs=kwargs,
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )

    def hint(self, task: Task, args: list[Any], kwargs: dict[str, Any]) -> None:
        raise NotImplementedError
