"""What the engine runs. `TASKS` in the settings says where: threads here, or workers elsewhere."""

from django_tasks import task

from mail import delivery
from mail.models import Mail


@task()
def deliver(pk: str) -> None:
    delivery.deliver(pk)


def hint(mail: Mail) -> None:
    """Tells the engine that there is something to deliver."""
    task = deliver
    if task.get_backend().supports_priority:
        task = task.using(priority=-mail.priority)
    task.enqueue(str(mail.pk))
