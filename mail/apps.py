from django.apps import AppConfig
from django.core.signals import request_started
from django.utils.translation import gettext_lazy as _


class MailConfig(AppConfig):
    name = "mail"
    verbose_name = _("Mail")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # These register letters, chores and system checks.
        from mail import checks  # noqa: F401
        from mail.desk import adhoc, operations  # noqa: F401
        from mail.queue.engines import threads

        # Not here and now: the first request comes after every fork (see there).
        request_started.connect(threads.wake, dispatch_uid="mail.queue.engines.threads.wake")
