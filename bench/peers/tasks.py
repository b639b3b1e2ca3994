"""What django-tasks runs."""

from django.core.mail import send_mail
from django_tasks import task


@task()
def send(address: str, subject: str, body: str) -> None:
    send_mail(subject, body, None, [address])
