"""System checks: a mail service that cannot work is told before it is tried, with the remedy.

`cs_web.config` refuses the worst at the start; these hold for settings of any other origin too.
"""

import ipaddress
from collections.abc import Callable, Iterator
from email.utils import parseaddr
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from mail import site

SMTP = ("naver", "gmail", "smtp")
MAILBOX_DOMAIN = {"naver": "naver.com", "gmail": "gmail.com"}


@register("mail")
def check_mail(**_: Any) -> list[CheckMessage]:
    check = CHECKS.get(settings.EMAIL_SERVICE or "", unknown)
    return [*check(), *everywhere()]


def smtp() -> Iterator[CheckMessage]:
    host, port = settings.EMAIL_HOST, settings.EMAIL_PORT
    tls, ssl = settings.EMAIL_USE_TLS, settings.EMAIL_USE_SSL
    user, password = settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD
    if tls and ssl:
        yield Error(
            "EMAIL_USE_TLS and EMAIL_USE_SSL exclude each other.",
            hint="Port 587 wants EMAIL_USE_TLS, port 465 EMAIL_USE_SSL: set the other to false.",
            id="mail.E001",
        )
    if not host:
        yield Error(
            "EMAIL_HOST is missing: nobody knows where mail is to go.",
            hint="Set EMAIL_HOST to the name of the mail server, such as smtp.example.ac.kr.",
            id="mail.E002",
        )
    if bool(user) != bool(password):
        missing = "EMAIL_HOST_PASSWORD" if user else "EMAIL_HOST_USER"
        yield Error(
            f"{missing} is missing: a login needs the user and the password.",
            hint=f"Set {missing}, or, for a server that wants no login, neither.",
            id="mail.E003",
        )
    if port == 465 and not ssl:
        yield Warning(
            "EMAIL_PORT is 465, where servers expect TLS from the start.",
            hint="Set EMAIL_USE_SSL to true and EMAIL_USE_TLS to false, or EMAIL_PORT to 587.",
            id="mail.W004",
        )
    if user and not (tls or ssl) and not _is_loopback(host):
        yield Warning(
            "The mail account's password travels in the clear.",
            hint="Set EMAIL_USE_TLS to true (port 587) or EMAIL_USE_SSL to true (port 465).",
            id="mail.W005",
        )


def account() -> Iterator[CheckMessage]:
    """Naver and Gmail: a login is a must, and the sender belongs to it."""
    yield from smtp()
    service, login = settings.EMAIL_SERVICE or "", settings.EMAIL_HOST_USER
    if not login:
        yield Error(
            f"EMAIL_HOST_USER is missing: EMAIL_SERVICE {service} signs in with it.",
            hint="Set EMAIL_HOST_USER, and EMAIL_HOST_PASSWORD to the account's app password.",
            id="mail.E003",
        )
        return
    mailbox = login if "@" in login else f"{login}@{MAILBOX_DOMAIN[service]}"
    sender = parseaddr(settings.DEFAULT_FROM_EMAIL)[1]
    if sender.lower() == mailbox.lower():
        return
    if service == "naver":
        yield Error(
            f"Naver refuses mail from {sender}: it sends only for the account, {mailbox}.",
            hint=f"Remove DEFAULT_FROM_EMAIL, or set it to {mailbox}.",
            id="mail.E004",
        )
    else:
        yield Warning(
            f"Gmail sends from {sender} only if the account {mailbox} has verified that alias; "
            "otherwise it writes the account's address over it.",
            hint=f'Verify it under Settings > Accounts > "Send mail as", or set DEFAULT_FROM_EMAIL '
            f"to {mailbox}. If it is verified, SILENCED_SYSTEM_CHECKS takes mail.W001.",
            id="mail.W001",
        )


def ses() -> Iterator[CheckMessage]:
    if not getattr(settings, "AWS_SES_REGION_NAME", ""):
        yield Error(
            "AWS_SES_REGION_NAME is missing.",
            hint="Set it to the region in which the sender is verified, such as ap-northeast-2.",
            id="mail.E005",
        )
    key = getattr(settings, "AWS_SES_ACCESS_KEY_ID", None)
    secret = getattr(settings, "AWS_SES_SECRET_ACCESS_KEY", None)
    if bool(key) != bool(secret):
        missing = "AWS_SECRET_ACCESS_KEY" if key else "AWS_ACCESS_KEY_ID"
        yield Error(
            f"{missing} is missing: the key and its secret come together.",
            hint=f"Set {missing}, or, with an IAM role, neither.",
            id="mail.E006",
        )


def nowhere() -> Iterator[CheckMessage]:
    if not settings.DEBUG:
        yield Warning(
            f"EMAIL_SERVICE is {settings.EMAIL_SERVICE}: no mail reaches anybody, so that nobody "
            "can register or get a new password.",
            hint="Set EMAIL_SERVICE to naver, gmail, smtp or ses; docs/operations.md says how.",
            id="mail.W002",
        )


def unknown() -> Iterator[CheckMessage]:
    yield Error(
        f"EMAIL_SERVICE is {settings.EMAIL_SERVICE}, which is no service that this site knows.",
        hint=f"Set it to one of {', '.join(CHECKS)}.",
        id="mail.E007",
    )


def everywhere() -> Iterator[CheckMessage]:
    if not settings.EMAIL_TIMEOUT:
        yield Error(
            "EMAIL_TIMEOUT is missing: a server that falls silent would hold a sender for ever.",
            hint="Set EMAIL_TIMEOUT to 10 (seconds for each step).",
            id="mail.E008",
        )
    if "@" not in parseaddr(settings.DEFAULT_FROM_EMAIL)[1]:
        yield Error(
            "DEFAULT_FROM_EMAIL is no e-mail address: no server takes mail without a sender.",
            hint="Set it to an address that the mail service lets you send from.",
            id="mail.E009",
        )
    real = settings.EMAIL_SERVICE in (*SMTP, "ses")
    if real and not settings.DEBUG and _is_loopback(site.host()):
        yield Warning(
            f"The links in real mail lead to {settings.SITE_URL}, which every reader's machine "
            "takes for itself.",
            hint="Set SITE_URL to the address of this site, such as https://cs.example.ac.kr.",
            id="mail.W003",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


CHECKS: dict[str, Callable[[], Iterator[CheckMessage]]] = {
    "naver": account,
    "gmail": account,
    "smtp": smtp,
    "ses": ses,
    "console": nowhere,
    "file": nowhere,
}
