from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class UsersConfig(AppConfig):
    name = "users"
    verbose_name = _("People")

    def ready(self) -> None:
        # Registers the letters, so that the mail app can write them when their time comes.
        from users import letters  # noqa: F401
