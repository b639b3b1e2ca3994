"""What the engine runs. `TASKS` in the settings says where: threads here, or workers elsewhere."""

from typing import Any

from django_tasks import task

from mail import delivery


@task()
def deliver(pk: str) -> None:
    delivery.deliver(pk)


def hint(pk: Any) -> None:
    """Tells the engine that there is something to deliver."""
    deliver.enqueue(str(pk))
