"""The engine for those who run a framework of tasks: Django's own (6.0), or django-tasks.

`MAIL_ENGINE = "mail.queue.engines.tasks.Tasks"`. The framework's workers deliver. It need not be
reliable, but something has to sweep: `manage.py mail work`, also beside it, or `--once` by a timer.
"""

from importlib import import_module

from mail.models import Mail
from mail.queue import delivering, engines

try:
    task = import_module("django.tasks").task
except ImportError:  # Django 5.2
    task = import_module("django_tasks").task


@task()
def deliver(pk: str) -> None:
    delivering.deliver(pk)


class Tasks(engines.Engine):
    def hint(self, mail: Mail) -> None:
        deliver.enqueue(str(mail.pk))
