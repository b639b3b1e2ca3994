"""The letters themselves: what a spam filter, a mail program and a stranger make of them."""

import html
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from itertools import product
from typing import Any

import pytest
from django.core.mail import EmailMultiAlternatives
from django.utils import timezone

from cs_web.config import _contrast_with_white
from mail.desk.trial import sample_names
from mail.models import Mail
from mail.queue import delivering, posting
from mail.queue.letters import samples
from tests.conftest import deliver_all
from tests.elsewhere import ROOT
from users import guard, letters, tokens
from users.models import FailedSignIn, User

LANGUAGES = ["ko", "en", "zh-hant"]
SITES_OWN = [name for name in sample_names() if name != "adhoc"]  # which has no template
EACH = [(name, language) for name in SITES_OWN for language in LANGUAGES]
each_letter = pytest.mark.parametrize("name", SITES_OWN)
each_language = pytest.mark.parametrize("language", LANGUAGES)


@pytest.fixture(autouse=True)
def _in_production(settings: Any) -> None:
    settings.SITE_URL = "https://cs.example.ac.kr"
    settings.DEFAULT_FROM_EMAIL = "컴퓨터공학부 <noreply@cs.example.ac.kr>"


def sent(message: EmailMultiAlternatives) -> bytes:
    """As it goes over the wire."""
    message = delivering.write(Mail(pk=uuid.uuid4(), language="ko"), lambda: message)
    return message.message().as_bytes(linesep="\r\n")


def received(name: str, language: str) -> EmailMessage:
    return message_from_bytes(sent(samples[name](language)), policy=policy.default)


def part(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content())


def test_every_letter_has_a_sample() -> None:
    templates = (ROOT / "templates" / "mail").glob("*.subject.txt")
    stems = {path.name.split(".")[0] for path in templates}
    assert stems
    assert not [stem for stem in stems if not any(name.startswith(stem) for name in SITES_OWN)]


# To a spam filter


@pytest.mark.parametrize("keys", [tokens.activation, tokens.reset])
def test_no_token_looks_like_the_address_of_a_bitcoin_wallet(keys: Any) -> None:
    """It may be older by a second instead, but it is genuine."""
    people = [User(pk=uuid.uuid4(), email="a@example.com") for _ in range(1500)]
    wallet = re.compile(r"\b[13][a-km-zA-HJ-NP-Z1-9]{29,34}\b")  # as SpamAssassin has it
    unlucky = [person for person in people if wallet.search(keys.make_token(person))]
    assert unlucky
    for person in unlucky:
        token = letters._link("users:activate", person, keys).split("/")[-2]
        assert not wallet.search(token)
        assert keys.check_token(person, token)


# To a mail program


def test_every_letter_has_the_headers_that_it_needs_once() -> None:
    for which in product(sample_names(), LANGUAGES):
        letter = received(*which)
        for header in ("Date", "Message-ID", "From", "To", "Subject", "Auto-Submitted"):
            assert len(letter.get_all(header, [])) == 1, (which, header)
        name = r"<[0-9a-f-]{36}@cs\.example\.ac\.kr>"
        assert re.fullmatch(name, letter["Message-ID"]), which
        assert letter["From"] == "컴퓨터공학부 <noreply@cs.example.ac.kr>", which
        assert letter["Auto-Submitted"] == "auto-generated", which
        assert letter["X-Auto-Response-Suppress"] == "All", which
        assert letter["Reply-To"] is None, which
        assert letter["Subject"].strip(), which
        assert letter.get_content_type() == "multipart/alternative", which
        kinds = [one.get_content_type() for one in letter.iter_parts()]
        assert kinds == ["text/plain", "text/html"], which


def test_answers_go_where_the_operator_wants_them(settings: Any) -> None:
    settings.EMAIL_REPLY_TO = "사무실 <office@cs.example.ac.kr>"
    assert received("register", "ko")["Reply-To"] == "사무실 <office@cs.example.ac.kr>"


def test_a_letter_with_a_reply_address_of_its_own_keeps_it(settings: Any) -> None:
    settings.EMAIL_REPLY_TO = "office@cs.example.ac.kr"
    message = EmailMultiAlternatives("s", "b", to=["a@example.com"], reply_to=["b@example.com"])
    delivering.write(Mail(pk=uuid.uuid4(), language="ko"), lambda: message)
    assert message.reply_to == ["b@example.com"]


def test_text_and_html_say_the_same() -> None:
    mark_of_signature = "--"
    for which in EACH:
        letter = received(*which)
        words = [word for word in part(letter, "plain").split() if word != mark_of_signature]
        assert words
        assert words_of_html(part(letter, "html")) == words, which


def words_of_html(source: str) -> list[str]:
    _head, body = source.split('<div class="m-card')  # after the preview, the mark and the name
    return html.unescape(re.sub(r"<[^>]*>", " ", f"<{body}")).split()


FOR_WORD = r"<!--\[if mso\]>.*?<!\[endif\]-->"


def test_the_preview_in_a_list_of_mail_is_a_sentence_of_the_letter() -> None:
    for which in EACH:
        letter = received(*which)
        [preview] = re.findall(r'class="m-preheader"[^>]*>(.*?)</div>', part(letter, "html"), re.S)
        assert len(preview) > 10, which
        assert html.unescape(preview.strip()) in part(letter, "plain"), which


def test_the_head_has_the_sites_mark_and_name_in_the_readers_language(settings: Any) -> None:
    settings.SITE_NAME = {"ko": "수학과", "en": "Mathematics", "zh-hant": "數學系"}
    for name, language in EACH:
        source = part(received(name, language), "html")
        head = source[source.index("</head>") : source.index('<div class="m-card')]
        cells = re.findall(r"<td[^>]*>(?:<div[^>]*>)?([^<]+)<", head.split("<![endif]-->")[1])
        assert cells == [settings.SITE_NAME[language][0], settings.SITE_NAME[language]]


def left_open(source: str) -> list[str]:
    """What has no end, or another one's; as Word reads it, which forgives less than a browser."""
    inside: list[str] = []
    for end, name in re.findall(r"<(/?)([a-z][\w:]*)", source):
        if not end:
            inside += [] if name in ("meta", "br") else [name]
        elif inside and inside[-1] == name:
            inside.pop()
        else:
            inside.append(f"/{name}")
    return inside


def test_outlook_has_tables_and_a_button_of_its_own() -> None:
    """The engine of Word knows no max-width, padding only in cells, and inherits no font."""
    for which in EACH:
        source = part(received(*which), "html")
        style, opening, *rows, _closing = re.findall(FOR_WORD, source, re.S)
        assert re.search(r"\.m-card-cell \{ padding: \d+px", style), which
        assert re.search(r"\.m-button-cell \{ padding: \d+px", style), which
        assert re.search(r"\btd, p, a, span, div \{ font-family:", style), which
        assert 'width="600"' in opening, which
        assert ["m-card-cell" in one for one in rows] == [True, False], which
        assert left_open(re.sub(r"<!--\[if mso\]>|<!\[endif\]-->", "", source)) == [], which
        for button in re.findall(r"<a [^>]*padding:", source):
            cell = f'm-button-cell" style="background-color:#0b5768;">{button}'
            assert cell in source, which


@pytest.mark.parametrize("accent", ["#0b5768", "#6a1b9a", "#000000", "#b00020", "#0000ff"])
def test_the_accent_is_the_operators_and_reads_well_in_the_dark(settings: Any, accent: str) -> None:
    settings.ACCENT_COLOR = accent
    source = part(received("register_taken", "ko"), "html")
    style, inline = source.split("</style>", 1)
    light = set(re.findall(r"#[0-9a-f]{6}", inline))
    assert accent in light
    assert accent == "#0b5768" or "#0b5768" not in source
    dark = dict(re.findall(r"\.(m-[a-z-]+) \{ (?:background-)?color: (#[0-9a-f]{6})", style))
    assert contrast(dark["m-link"], dark["m-card"]) >= 4.5
    assert contrast(dark["m-on-button"], dark["m-button"]) >= 4.5
    worn = set(re.findall(r'class="([^"]+)"', inline))
    assert set(dark) <= {one for classes in worn for one in classes.split()}


def contrast(one: str, other: str) -> float:
    """Of WCAG 2.2, from what each has with white."""
    light, dark = sorted((_contrast_with_white(one), _contrast_with_white(other)))
    return dark / light


# Whatever a mail program would fetch by itself would tell us who reads, when and where.
FETCHED = (
    r"(?i)<(?:img|link|iframe|object|embed|script|video|audio|form)\b",
    r"(?i)\b(?:src|srcset|background|poster)\s*=|url\(|@import",
)


def test_every_link_leads_to_the_site_and_nothing_is_fetched() -> None:
    for which in EACH:
        letter = received(*which)
        source = part(letter, "html")
        for address in re.findall(r"""https?://[^\s"'<>)]+""", part(letter, "plain") + source):
            # Our own host, no query, no mark.
            assert re.fullmatch(r"https://cs\.example\.ac\.kr(/[\w/-]*)?", address), which
        for pattern in FETCHED:
            assert not re.findall(pattern, source), which
        assert re.findall(r'(?i)\bhref="([^"]*)"', source), which


@each_letter
def test_each_language_is_another(name: str) -> None:
    bodies = [part(received(name, language), "plain") for language in LANGUAGES]
    subjects = [received(name, language)["Subject"] for language in LANGUAGES]
    assert len(set(bodies)) == len(set(subjects)) == 3
    assert re.search("[가-힣]", bodies[0])
    assert not re.search("[가-힣一-鿿]", bodies[1])


# To a stranger


HOSTILE = "Win 1000 http://evil.example/?a=1&b=2 <img src=//evil.example/x> {{ 7 }} {% now %}\u2028"


def as_if_about_anybody(letter: EmailMultiAlternatives, person: User) -> list[str]:
    """A letter without what may differ: the ID, the address and the token in the link."""
    message = message_from_bytes(sent(letter), policy=policy.default)
    link = r"/users/(?:activate|password)/[^\s\"<]+"
    parts = (message["Subject"].strip(), part(message, "plain"), part(message, "html"))
    return [re.sub(link, "LINK", one).replace(person.user_id, "ID") for one in parts]


@each_language
@pytest.mark.parametrize("name", ["register", "activate_resend", "password_reset"])
def test_of_what_a_stranger_fills_in_only_the_id_gets_into_a_letter(
    cast: Callable[..., User], name: str, language: str
) -> None:
    """Anybody can have these sent to anybody, so they must not carry words of theirs."""
    said = []
    hostile = {"name": HOSTILE[:50].strip(), "email": "call-0101234567+win@example.com"}
    for user_id, fields in (("alice", {}), ("Free-Money_call-010-1234-5678", hostile)):
        person = cast(user_id, "waiting", language=language, **fields)
        to = {"user": person} if name == "register" else {"address": person.email}
        posting.post(name, **to, language=language)
        [letter] = deliver_all()
        said.append(as_if_about_anybody(letter, person))
    assert said[0] == said[1]


@pytest.mark.parametrize("name", ["register", "password_reset"])
def test_the_owner_of_an_address_reads_nothing_of_who_typed_it(
    cast: Callable[..., User], name: str
) -> None:
    """Whoever registers with a taken address, or asks for its reset, gets no word through."""
    alice = cast("alice")
    typed = "ALICE@Example.com"
    if name == "register":
        mallory = cast("Mallory-was-here", "waiting", email=typed, name=HOSTILE[:20])
        posting.post(name, user=mallory)
    else:
        posting.post(name, address=typed)
    [letter] = deliver_all()
    assert letter.to == [alice.email]
    assert not re.findall("(?i)mallory|evil|win 1000", str(sent(letter)))


# To an owner whom it warns


def test_a_notice_of_guesses_names_the_last_one_and_its_networks(
    cast: Callable[..., User], clock: Any
) -> None:
    """Networks have no place, and no browser: what a browser says of itself is anybody's text."""
    clock(datetime(2026, 11, 20, 6, 0, tzinfo=UTC))
    alice = cast("alice", language="en")
    rows = {"": 14, "198.51.100.20": 1, "203.0.113.7": 8, "2001:db8:1::/64": 3, "192.0.2.1": 2}
    for network, times in rows.items():
        name = guard.hashed("alice")
        day = {"day": timezone.localdate(), "last_at": datetime(2026, 11, 20, 5, 3, tzinfo=UTC)}
        FailedSignIn.objects.create(name=name, network=network, times=times, **day)
    for network, times, days in (("unknown", 9, 0), ("192.0.2.1", 7, 1), ("198.51.100.9", 99, 2)):
        FailedSignIn.objects.create(
            name=guard.hashed(alice.email),
            network=network,
            times=times,
            day=timezone.localdate() - timedelta(days=days),
        )
    posting.post("login_failures", address="alice")
    [letter] = deliver_all()
    for body in (str(letter.body), str(letter.alternatives[0][0])):
        assert "a wrong password was entered 14 times" in body
        assert "Last attempt: 20 November 2026, 2:03\xa0PM\xa0KST" in body
        assert "From: 192.0.2.1, 203.0.113.7, 2001:db8:1::/64" in body
        assert "198.51.100" not in body
        assert "unknown" not in body


def test_a_guess_through_no_known_network_is_noticed_without_one(cast: Callable[..., User]) -> None:
    cast("alice", language="en")
    for network in ("", "unknown"):
        FailedSignIn.objects.create(
            name=guard.hashed("alice"), network=network, times=10, day=timezone.localdate()
        )
    posting.post("login_failures", address="alice")
    [letter] = deliver_all()
    assert "Last attempt: " in str(letter.body)
    assert "From:" not in str(letter.body)


@pytest.mark.parametrize(
    ("language", "when"),
    [
        ("ko", "2026년 11월 20일 오후_2:03_KST"),
        ("en", "20 November 2026, 2:03_PM_KST"),
        ("zh-hant", "2026年11月20日 14:03_KST"),
    ],
)
@pytest.mark.parametrize("name", ["register", "password_change"])
def test_a_notice_names_the_time_with_its_zone(
    cast: Callable[..., User], clock: Any, name: str, language: str, when: str
) -> None:
    """That of what happened, and not of the letter."""
    happened = datetime(2026, 11, 20, 5, 3, tzinfo=UTC)
    clock(happened)
    alice = cast("alice", language=language)
    claim = cast("claim", "waiting", email=alice.email) if name == "register" else alice
    posting.post(name, user=claim)
    clock(happened + timedelta(hours=2))
    [letter] = deliver_all()
    when = when.replace("_", "\N{NO-BREAK SPACE}")
    assert when in str(letter.body)
    assert when in str(letter.alternatives[0][0])
