"""What a project's settings say of mail: the services, what each demands, and our own defaults.

This module needs no configured Django, so that the settings themselves may import it. At run time
`conf.MAIL_THREADS` is the setting of that name, or its default.
"""

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parseaddr
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

DEFAULTS: Mapping[str, Any] = {
    "SITE_URL": "http://127.0.0.1:8000",  # where every link leads
    "EMAIL_SERVICE": None,  # a name of SERVICES
    "EMAIL_REPLY_TO": "",
    "EMAIL_DAILY_LIMIT": 0,  # messages in 24 hours; 0: no limit of ours
    "EMAIL_PER_ADDRESS_LIMIT": 6,  # messages of a kind to one address in 24 hours
    "EMAIL_PER_NETWORK_LIMIT": 60,  # messages in 24 hours that one network causes to strangers
    "MAIL_ENGINE": "threads",  # a name of `mail.queue.engines`, or a dotted path
    "MAIL_CELERY_APP": "",  # for the engine "celery", such as "mysite.celery.app"
    "MAIL_THREADS": 4,  # senders in a process, while few messages wait
    "MAIL_THREADS_AT_MOST": 0,  # while many do; 0: as many as the service bears
    "MAILBOX_DIR": "mailbox",  # where EMAIL_SERVICE=file puts its messages
    "AWS_ACCESS_KEY_ID": "",
    "AWS_SECRET_ACCESS_KEY": "",
    "AWS_SES_REGION_NAME": "",
    "AWS_SES_REGION_ENDPOINT_URL": "",
    # Django's own
    "EMAIL_HOST": "",
    "EMAIL_TIMEOUT": None,
    # Ours again
    "EMAIL_ACCEPT_TIMEOUT": 600,  # seconds that a server may take to accept a whole message
    "MAIL_UNANSWERED_AFTER": 300,  # seconds until what it has not answered is tried again
    "AWS_SNS_EVENT_TRUSTED_TOPIC_ARNS": [],
}

CELERY_TASKS = "mail.queue.engines.celery"  # what an application of Celery has to include


def __getattr__(name: str) -> Any:
    if name in DEFAULTS:
        return getattr(settings, name, DEFAULTS[name])
    raise AttributeError(name)


def site_host() -> str:
    """The name of this site, as mail servers and readers see it."""
    return urlsplit(__getattr__("SITE_URL")).hostname or "localhost"


def absolute_url(path: str) -> str:
    """A link for a message. From the configuration: a request's Host header is a stranger's."""
    return f"{__getattr__('SITE_URL')}{path}"


def threads_at_most() -> int:
    """How many senders of a process may be at work while many messages wait."""
    service = SERVICES.get(__getattr__("EMAIL_SERVICE"))
    borne = __getattr__("MAIL_THREADS_AT_MOST") or (service.connections if service else 0)
    return max(int(borne), int(__getattr__("MAIL_THREADS")))


# The services


@dataclass(frozen=True)
class Service:
    title: str
    backend: str
    presets: Mapping[str, Any] | None = None  # any of it may be set by name as well
    needs: tuple[str, ...] = ()
    daily_limit: int = 0  # what it accepts in 24 hours, as far as it says so
    domain: str = ""  # of the account's own address, which is the sender
    aliases: bool = False  # the account may verify other senders
    is_real: bool = True  # False: messages reach nobody
    connections: int = 4  # at the same time, from one process


SMTP, FILE = "mail.transport.smtp.EmailBackend", "mail.transport.file.EmailBackend"
CONSOLE = "django.core.mail.backends.console.EmailBackend"
TLS = {"EMAIL_PORT": 587, "EMAIL_USE_TLS": True}
LOGIN = ("EMAIL_HOST_USER", "EMAIL_HOST_PASSWORD")
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
NAVER, GMAIL = {"EMAIL_HOST": "smtp.naver.com", **TLS}, {"EMAIL_HOST": "smtp.gmail.com", **TLS}
SERVICES: Mapping[str, Service] = {
    "naver": Service("Naver", SMTP, NAVER, LOGIN, 300, "naver.com"),
    "gmail": Service("Gmail", SMTP, GMAIL, LOGIN, 500, "gmail.com", aliases=True),
    "smtp": Service("SMTP", SMTP, TLS, ("EMAIL_HOST",), connections=32),
    "ses": Service("Amazon SES", "django_ses.SESBackend", needs=("AWS_SES_REGION_NAME",)),
    "console": Service("", CONSOLE, is_real=False),
    "file": Service("", FILE, is_real=False),
}
# The id of the system check, and why a service needs the setting.
WHY_NEEDED = {
    **dict.fromkeys(LOGIN, ("mail.E003", "signs in with it")),
    "EMAIL_HOST": ("mail.E002", "needs the server's name, such as smtp.example.ac.kr"),
    "AWS_SES_REGION_NAME": ("mail.E005", "needs the region in which the sender is verified"),
}


@dataclass(frozen=True)
class Finding:
    """What is wrong with a configuration: in which setting, what, and what to do."""

    id: str  # mail.E… is an error, mail.W… a warning
    name: str
    what: str
    hint: str

    @property
    def is_error(self) -> bool:
        return self.id.startswith("mail.E")


def findings(settings_like: Any) -> Iterator[Finding]:
    """All that is wrong with mail in these settings: Django's, or an object with their names."""

    def value(name: str) -> Any:
        return getattr(settings_like, name, DEFAULTS.get(name, ""))

    name = value("EMAIL_SERVICE")
    if name in SERVICES:
        yield from _service_findings(name, SERVICES[name], value)
    elif name:
        hint = f"Set it to one of {', '.join(SERVICES)}."
        yield Finding("mail.E007", "EMAIL_SERVICE", f"is {name}, which no service is called", hint)
    if not value("EMAIL_TIMEOUT"):
        what = "is missing: a server that falls silent would block a sender for ever"
        yield Finding("mail.E008", "EMAIL_TIMEOUT", what, "Set it to 10 (seconds for each step).")
    for sender in ("DEFAULT_FROM_EMAIL", "EMAIL_REPLY_TO"):
        text = value(sender)
        if not _is_sender(text) and (text or sender == "DEFAULT_FROM_EMAIL"):
            what = "is not one e-mail address, with or without a name" if text else "is missing"
            hint = "Set it to an address that the mail service lets you send from."
            yield Finding("mail.E009", sender, what, hint)


def _service_findings(name: str, service: Service, value: Any) -> Iterator[Finding]:
    for needed in filter(lambda needed: not value(needed), service.needs):
        check, why = WHY_NEEDED[needed]
        yield Finding(check, needed, f"is missing: EMAIL_SERVICE {name} {why}", f"Set {needed}.")
    check, pair = ("mail.E003", LOGIN) if service.backend == SMTP else ("mail.E006", KEYS)
    missing = [one for one in pair if not value(one)]
    if len(missing) == 1 and missing[0] not in service.needs:
        [present] = set(pair) - set(missing)
        what = f"is missing: it belongs together with {present}"
        yield Finding(check, missing[0], what, f"Set {missing[0]}, or remove {present}.")
    if service.backend == SMTP:
        yield from _smtp_findings(value)
    if service.domain and value("EMAIL_HOST_USER"):
        yield from _sender_findings(service, value)
    if not service.is_real and not value("DEBUG"):
        what = f"is {name}: no message reaches anybody"
        hint = "Set it to naver, gmail, smtp or ses; docs/operations.md says how."
        yield Finding("mail.W002", "EMAIL_SERVICE", what, hint)
    elif not value("DEBUG") and is_loopback(urlsplit(value("SITE_URL")).hostname or "localhost"):
        what = f"is {value('SITE_URL')}, which every reader's machine takes for itself"
        hint = "Set it to the address of this site, such as https://cs.example.ac.kr."
        yield Finding("mail.W003", "SITE_URL", what, hint)


def _smtp_findings(value: Any) -> Iterator[Finding]:
    tls, ssl, port = value("EMAIL_USE_TLS"), value("EMAIL_USE_SSL"), value("EMAIL_PORT")
    if tls and ssl:
        what = "excludes EMAIL_USE_TLS: 587 wants TLS, 465 wants SSL"
        yield Finding("mail.E001", "EMAIL_USE_SSL", what, "Set the other to false.")
    elif port == 465 and not ssl:
        what = "is 465, which expects TLS from the start, and EMAIL_USE_SSL is false"
        hint = "Set EMAIL_USE_SSL=true and EMAIL_USE_TLS=false, or EMAIL_PORT=587."
        yield Finding("mail.E010", "EMAIL_PORT", what, hint)
    if value("EMAIL_HOST_USER") and not (tls or ssl) and not is_loopback(value("EMAIL_HOST")):
        what = "is false: the mail account's password travels in the clear"
        hint = "Set EMAIL_USE_TLS=true (port 587) or EMAIL_USE_SSL=true (port 465)."
        yield Finding("mail.W005", "EMAIL_USE_TLS", what, hint)


def _sender_findings(service: Service, value: Any) -> Iterator[Finding]:
    login = value("EMAIL_HOST_USER")
    mailbox = login if "@" in login else f"{login}@{service.domain}"
    sender = parseaddr(value("DEFAULT_FROM_EMAIL"))[1]
    if sender.lower() == mailbox.lower():
        return
    if service.aliases:
        what = f"is {sender}: {service.title} rewrites it, unless {mailbox} has verified that alias"
        hint = 'Verify it under Settings > Accounts > "Send mail as", then silence mail.W001.'
        yield Finding("mail.W001", "DEFAULT_FROM_EMAIL", what, hint)
    else:
        what = f"is {sender}: {service.title} sends only for the account, {mailbox}"
        hint = f"Remove it, or set it to {mailbox}; a name before it is allowed."
        yield Finding("mail.E004", "DEFAULT_FROM_EMAIL", what, hint)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _is_sender(text: str) -> bool:
    return "@" in parseaddr(text)[1] and not set(text) & set("\r\n")
