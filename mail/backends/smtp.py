"""Django's SMTP, introducing itself by the name of the site instead of the machine's."""

import smtplib
from collections.abc import Callable

from django.core.mail.backends import smtp

from mail import site


class EmailBackend(smtp.EmailBackend):
    @property
    def connection_class(self) -> Callable[..., smtplib.SMTP]:  # type: ignore[override]
        def connect(host: str, port: int, **params: object) -> smtplib.SMTP:
            params["local_hostname"] = site.host()
            return kind(host, port, **params)  # type: ignore[arg-type]

        kind = super().connection_class
        return connect
