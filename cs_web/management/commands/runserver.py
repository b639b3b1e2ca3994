"""Django's server for development, whose last words say where to look (`make run`).

Of Django itself, not of its staticfiles: WhiteNoise serves the static files.
"""

from django.conf import settings
from django.core.management.commands import runserver

from mail import conf as mail_conf


class Command(runserver.Command):
    addr: str
    _raw_ipv6: bool

    def on_bind(self, server_port: int) -> None:
        host = f"[{self.addr}]" if self._raw_ipv6 else self.addr
        site = f"http://{host}:{server_port}"
        lines = ["", f"  The site      {site}/"]
        if settings.DEBUG and mail_conf.EMAIL_SERVICE == "file":
            mailbox = f"{site}/mailbox/  (all mail appears here, and goes nowhere else)"
            lines += [f"  The mailbox   {mailbox}"]
        lines += [
            f"  The admin     {site}/admin/",
            f"{'':16}to create an administrator: .venv/bin/python manage.py createsuperuser",
            "  To stop       Ctrl-C",
            "",
        ]
        self.stdout.write("\n".join(lines))
        self.stdout.flush()
