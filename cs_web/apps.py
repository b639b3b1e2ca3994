from django.apps import AppConfig
from django.contrib.admin import apps as admin


class SiteConfig(AppConfig):
    name = "cs_web"
    default = True

    def ready(self) -> None:
        from cs_web import checks  # noqa: F401  registers them


class CarefulAdminConfig(admin.AdminConfig):
    default = False
    default_site = "cs_web.admin.Site"
