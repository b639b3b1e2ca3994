"""Django's shell, in which an operator can write a mail at once."""

from typing import Any

from django.core.management.commands import shell

from mail.engines import threads


class Command(shell.Command):
    def get_auto_imports(self) -> list[str]:
        return [*(super().get_auto_imports() or []), "mail.send_mail"]

    def handle(self, **options: Any) -> None:
        try:
            super().handle(**options)
        finally:
            # The senders of this process end with it; what they do not manage waits for the site's.
            if not threads.drain():
                self.stderr.write("Some mail is still waiting; the site's senders will deliver it.")
