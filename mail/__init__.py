"""Durable mail: a row is written with the change that it reports, and a sender delivers it."""

from collections.abc import Sequence


def send_mail(
    subject: str,
    recipient_list: Sequence[str],
    body: str = "",
    from_email: str | None = None,
    fail_silently: bool = False,
    html: str | None = None,
) -> int:
    """Sends an operator's own message without waiting for the mail server.

    Returns how many were queued, one a recipient. What is wrong with the call itself (no
    recipient, a line break in the subject) raises, unless `fail_silently`; what the mail server
    says is in the row (`Mail.objects`, or the admin).
    """
    from mail.desk import adhoc  # models cannot be imported before the applications are loaded

    return adhoc.send_mail(subject, recipient_list, body, from_email, fail_silently, html)
