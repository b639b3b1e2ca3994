"""Errors go to ADMINS by the outbox, so that a broken page does not wait for a mail server too."""

from typing import Any

from django.conf import settings
from django.utils.log import AdminEmailHandler

SUBJECT_MAX_LENGTH = 200  # of a draft; the addresses of pages may be longer


class AdminMailHandler(AdminEmailHandler):
    def send_mail(self, subject: Any, message: Any, *args: Any, **kwargs: Any) -> None:
        # Logging is set up before the applications are, and models after them.
        from mail.adhoc import send_mail

        recipients = [address for _, address in settings.ADMINS]
        if recipients:
            subject = f"{settings.EMAIL_SUBJECT_PREFIX}{subject}"[:SUBJECT_MAX_LENGTH]
            send_mail(subject, recipients, message, None, True, None, "error_report")
