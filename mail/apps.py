from django.apps import AppConfig
from django.core.signals import request_started
from django.utils.translation import gettext_lazy as _


class MailConfig(AppConfig):
    name = "mail"
    verbose_name = _("Mail")

    def ready(self) -> None:
        # These register a letter, system checks, and receivers of events.
        from mail import adhoc, checks, feedback  # noqa: F401
        from mail.engines import threads

        # Not here and now: a thread that exists before a server forks its workers is lost in
        # them, and may hold a lock for ever. The first request comes after every fork.
        request_started.connect(threads.wake, dispatch_uid="mail.threads.wake")
