from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class UsersConfig(AppConfig):
    name = "users"
    verbose_name = _("People")

    def ready(self) -> None:
        # Imported to register the letters and chores, which the mail app calls, and the signal
        # receivers.
        from users import audit, chores, letters  # noqa: F401
