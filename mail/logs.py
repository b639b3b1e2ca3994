"""Errors go to ADMINS by the outbox, so that a broken page does not wait for a mail server too."""

from typing import Any

from django.conf import settings
from django.utils.log import AdminEmailHandler


class AdminMailHandler(AdminEmailHandler):
    def send_mail(self, subject: Any, message: Any, *args: Any, **kwargs: Any) -> None:
        # Logging is set up before the applications are, and models after them.
        from mail.adhoc import send_mail
        from mail.models import SUBJECT_MAX_LENGTH  # a page's address may be longer

        recipients = [address for _, address in settings.ADMINS]
        if recipients:
            subject = f"{settings.EMAIL_SUBJECT_PREFIX}{subject}"[:SUBJECT_MAX_LENGTH]
            send_mail(subject, recipients, message, None, True, None, "error_report")
