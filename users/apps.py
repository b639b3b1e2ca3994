from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class UsersConfig(AppConfig):
    name = "users"
    verbose_name = _("People")

    def ready(self) -> None:
        # Registers the letters, so that the mail app can write them when their time comes, and the
        # receivers of Django's signals for the log.
        from users import audit, letters  # noqa: F401
