"""The bytes of a mail: Django's own, but made with less work."""

import re
from email import message_from_bytes, policy
from typing import Any

import pytest
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.mail.message import sanitize_address

from mail import registry
from mail.backends import wire
from mail.backends.smtp import EmailBackend

BOUNDARY = re.compile(rb"=_[0-9a-f]{32}|===============\d+==")


def djangos(message: EmailMessage) -> bytes:
    return bytes(message.message().as_bytes(linesep="\r\n"))  # type: ignore[call-arg]


def same_boundaries(message: bytes) -> bytes:
    """Numbered in the order in which they come, and folded where Python folds them."""
    found: list[bytes] = []
    for boundary in BOUNDARY.findall(message):
        if boundary not in found:
            found.append(boundary)
    for number, boundary in enumerate(found):
        message = message.replace(boundary, b"boundary %d" % number)
    return message.replace(b";\r\n boundary=", b"; boundary=")


def letter(**fields: Any) -> EmailMultiAlternatives:
    fields = {"subject": "s", "body": "b", "from_email": "a@a.com", "to": ["b@b.com"]} | fields
    message = EmailMultiAlternatives(**fields)
    message.extra_headers["Date"] = "Mon, 2 Mar 2026 12:00:00 +0900"
    message.extra_headers["Message-ID"] = "<1@example.com>"
    return message


@pytest.mark.parametrize("name", registry.sample_names())
@pytest.mark.parametrize("language", ["ko", "en", "zh-hant"])
def test_every_letter_is_to_the_byte_what_django_would_send(name: str, language: str) -> None:
    message = registry.sample(name, language)
    message.extra_headers |= letter().extra_headers
    assert same_boundaries(wire.as_bytes(message)) == same_boundaries(djangos(message))


@pytest.mark.parametrize(
    "fields",
    [
        {"subject": "x" * 60},
        {"subject": "x" * 70},
        {"subject": "x" * 71},
        {"subject": "word " * 40},
        {"subject": "회원가입 인증 " * 20},
        {"subject": " a blank at both ends "},
        {"subject": "=?utf-8?b?7ZmN?="},
        {"subject": ""},
        {"subject": "a\ttab"},
        {"from_email": "컴퓨터공학부 <noreply@cs.example.ac.kr>"},
        {"from_email": f"{'Name ' * 20}<a@a.com>"},
        {"headers": {"X-Long": "a; " * 60, "X-Number": 7}},
        {"attachments": [("a.txt", "text", "text/plain"), ("비.bin", b"\0\1", None)]},
        {"attachments": [("m.eml", letter(), "message/rfc822")]},
        {"body": "x" * 2000},
        {"body": "From me\n.\n\n..\n"},
    ],
)
def test_so_is_whatever_an_operator_sends(fields: dict[str, Any]) -> None:
    message = letter(**fields)
    message.attach_alternative("<p>b</p>", "text/html")
    assert same_boundaries(wire.as_bytes(message)) == same_boundaries(djangos(message))


def test_a_readers_program_finds_the_parts() -> None:
    message = letter(attachments=[("a.txt", "of a\n", "text/plain")])
    message.attach_alternative("<p>b</p>", "text/html")
    read = message_from_bytes(wire.as_bytes(message), policy=policy.default)
    parts = [part.get_content_type() for part in read.walk()]
    mixed, alternative = "multipart/mixed", "multipart/alternative"
    assert parts == [mixed, alternative, "text/plain", "text/html", "text/plain"]
    boundaries = {part.get_boundary() for part in read.walk() if part.is_multipart()}
    assert len(boundaries) == 2
    assert boundaries.isdisjoint(
        part.get_boundary()
        for part in message_from_bytes(wire.as_bytes(message)).walk()
        if part.is_multipart()
    ), "nobody can guess one from another"


@pytest.mark.parametrize(
    "address", ["b@b.com", "Name <b@b.com>", "이름 <b@b.com>", "b@한국.com", "b@B.COM"]
)
def test_an_address_of_the_envelope_is_what_django_makes_of_it(address: str) -> None:
    assert wire.envelope_address(address, "utf-8") == sanitize_address(address, "utf-8")


def test_a_message_to_nobody_is_not_sent() -> None:
    assert EmailBackend()._send(letter(to=[])) is False
