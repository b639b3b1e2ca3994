"""manage.py migrate: Django's, which may take as long as it takes."""

from typing import Any

from django.core.management.commands import migrate

from cs_web.databases import ENDLESS, waiting


class Command(migrate.Command):
    def execute(self, *args: Any, **options: Any) -> str | None:
        with waiting(ENDLESS):
            return super().execute(*args, **options)
