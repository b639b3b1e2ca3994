"""/mailbox/: what EMAIL_SERVICE=file has "sent". Development only: it shows everybody's links."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.utils.html import urlize
from django.utils.safestring import mark_safe
from django.views.decorators.http import require_safe

from mail import conf

NAME = re.compile(r"(?P<nanoseconds>\d{16,20})-[0-9a-f]{8}")
MESSAGES_SHOWN = 100


@dataclass
class Message:
    id: str
    message: EmailMessage
    sent: datetime

    def part(self, kind: str) -> str:
        body = self.message.get_body((kind,))
        return str(body.get_content()) if body else ""

    @property
    def text_html(self) -> str:
        return mark_safe(urlize(self.part("plain"), autoescape=True))  # noqa: S308  escaped there


def is_open() -> bool:
    return settings.DEBUG and conf.EMAIL_SERVICE == "file"


def context(request: HttpRequest) -> dict[str, str]:
    """For every page: where the mailbox is, or that there is none."""
    return {"mailbox_url": reverse("mailbox:list") if is_open() else ""}


@require_safe
def message_list(request: HttpRequest) -> HttpResponse:
    names = [file.stem for file in Path(conf.MAILBOX_DIR).glob("*.eml")]
    newest = sorted(filter(NAME.fullmatch, names), reverse=True)[:MESSAGES_SHOWN]
    return render(request, "mailbox/list.html", {"mails": [_read(name) for name in newest]})


@require_safe
def message(request: HttpRequest, name: str) -> HttpResponse:
    found = _read(name)
    html_url = reverse("mailbox:html", args=[name]) if found.part("html") else ""
    return render(request, "mailbox/message.html", {"mail": found, "html_url": html_url})


@require_safe
def message_html(request: HttpRequest, name: str) -> HttpResponse:
    """The HTML part, for a sandboxed frame; its links open in the whole window."""
    html = _read(name).part("html")
    return in_sandbox(re.sub(r"(<head[^>]*>)", r'\1<base target="_top">', html, count=1))


def in_sandbox(html: str) -> HttpResponse:
    """A message as a page for a frame: it may look as it likes, and do nothing but be clicked."""
    response = HttpResponse(html)
    response.headers["Content-Security-Policy"] = (
        "sandbox allow-popups allow-top-navigation-by-user-activation; default-src 'none'; "
        "style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
    )
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    return response


def _read(name: str) -> Message:
    matched = NAME.fullmatch(name)
    file = Path(conf.MAILBOX_DIR) / f"{name}.eml"
    if not matched or not file.is_file():
        raise Http404
    message = message_from_bytes(file.read_bytes(), policy=policy.default)
    sent = datetime.fromtimestamp(int(matched["nanoseconds"]) / 1e9, UTC)
    return Message(name, message, sent)


urls = [
    path("", message_list, name="list"),
    path("<name>/", message, name="message"),
    path("<name>/html/", message_html, name="html"),
]
