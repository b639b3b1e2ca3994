"""Django's shell, with our `send_mail` imported, so that an operator can write a message."""

from typing import Any

from django.core.management.commands import shell

from mail import api


class Command(shell.Command):
    def get_auto_imports(self) -> list[str]:
        return [*(super().get_auto_imports() or []), "mail.send_mail"]

    def handle(self, **options: Any) -> None:
        try:
            super().handle(**options)
        finally:
            # The senders of this process end with it; the site's deliver what these cannot finish.
            if not api.drain():
                self.stderr.write("Some mail is still waiting; the site's senders will deliver it.")
