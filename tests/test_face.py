"""The face of the site: what an operator sets, and what is asked for by fixed names."""

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.checks import run_checks
from django.template import engines
from django.test import Client
from django.test.utils import override_script_prefix
from django.urls import NoReverseMatch, reverse
from django.utils import timezone, translation
from django.utils.formats import date_format

from users.progress import Progress
from users.templatetags.site import moment, path

NOON = datetime.fromisoformat("2026-11-20T09:40:00Z")  # 18:40 in Seoul


def test_the_name_of_the_site_is_on_every_page_in_its_language(
    browser: Client, settings: Any
) -> None:
    settings.SITE_NAME = {"ko": "수학과", "en": "Mathematics", "zh-hant": "數學系"}
    for language, name in settings.SITE_NAME.items():
        page = browser.get("/users/login/", headers={"accept-language": language}).text
        assert f"· {name}</title>" in page
        assert f"<span>{name}</span>" in page
    assert "Mathematics" in browser.get("/nothing/").text


def test_the_office_is_in_the_footer(browser: Client, settings: Any) -> None:
    settings.OFFICE_ADDRESS, settings.OFFICE_PHONE = "Building 301", "02-123-4567"
    page = browser.get("/").text
    assert "Building 301" in page
    assert '<a href="tel:02-123-4567">' in page
    assert 'href="/privacy/"' in page


def test_another_colour_comes_in_a_stylesheet_and_ours_costs_no_request(
    browser: Client, settings: Any
) -> None:
    assert "/theme.css" not in browser.get("/").text
    settings.ACCENT_COLOR = "#6a1b9a"
    page = browser.get("/").text
    assert '<link rel="stylesheet" href="/theme.css">' in page
    assert 'content="#6a1b9a"' in page
    assert "--accent: #6a1b9a;" in browser.get("/theme.css").text


def test_a_logo_that_is_not_there_is_reported(settings: Any) -> None:
    settings.SITE_LOGO = "nothing.svg"
    assert "cs_web.E001" in [message.id for message in run_checks()]


@pytest.mark.parametrize("path", ["/terms/", "/privacy/"])
@pytest.mark.parametrize("language", ["ko", "en", "zh-hant"])
def test_terms_and_privacy_are_there_with_their_version(
    browser: Client, settings: Any, path: str, language: str
) -> None:
    page = browser.get(path, headers={"accept-language": language})
    assert settings.CONSENT_VERSION in page.text


def test_what_is_asked_for_by_fixed_names_is_there(browser: Client, settings: Any) -> None:
    assert "Disallow: /users/" in browser.get("/robots.txt").text
    assert browser.get("/favicon.ico").status_code == 302
    assert browser.get("/apple-touch-icon.png").status_code == 302
    assert browser.get("/.well-known/security.txt").status_code == 404, "nobody to write to"
    settings.OFFICE_EMAIL = "office@cs.example.ac.kr"
    said = browser.get("/.well-known/security.txt").text
    assert "Contact: mailto:office@cs.example.ac.kr\n" in said
    [expires] = re.findall(r"(?m)^Expires: (.+)$", said)
    assert datetime.fromisoformat(expires) > timezone.now()


@pytest.mark.parametrize(
    ("asked", "language"),
    [("ja,de;q=0.8", "en"), ("de", "en"), ("zh-CN", "zh-hant"), ("ko-KR", "ko"), ("", "ko")],
)
def test_a_browser_that_asks_for_none_of_the_three_gets_english(
    db: None, asked: str, language: str
) -> None:
    page = Client(headers={"accept-language": asked} if asked else {}).get("/users/login/")
    assert f'<html lang="{language}">' in page.text


@pytest.mark.parametrize(
    ("language", "today", "another_day"),
    [
        ("ko", "오후 6:40 KST", "2026년 11월 20일 오후 6:40 KST"),
        ("en", "6:40 PM KST", "20 November 2026, 6:40 PM KST"),
        ("zh-hant", "18:40 KST", "2026年11月20日 18:40 KST"),
    ],
)
def test_a_time_is_written_as_its_reader_does_and_with_its_zone_in_one_line(
    clock: Any, language: str, today: str, another_day: str
) -> None:
    unbroken = today.replace(" ", "\N{NO-BREAK SPACE}")
    with translation.override(language):
        clock(NOON)
        assert Progress("sent", NOON).time == unbroken
        clock(NOON.replace(day=21))
        assert Progress("sent", NOON).time == another_day.replace(today, unbroken)


@pytest.mark.parametrize("language", ["ko", "en", "zh-hant"])
def test_a_time_in_a_list_is_written_as_elsewhere(language: str) -> None:
    with translation.override(language):
        for hours in range(0, 24 * 400, 37):
            at = NOON + timedelta(hours=hours)
            assert moment(timezone.localtime(at)) == date_format(
                timezone.localtime(at), "DATETIME_FORMAT"
            )
        template = engines["django"].from_string("{% load site %}{{ at|moment }}")
        assert template.render({"at": NOON}).endswith("KST"), "in the time of the site"


def test_the_address_of_a_page_is_that_of_now(settings: Any) -> None:
    """Not of the first time that it was asked for."""
    assert path("users:login") == reverse("users:login") == "/users/login/"
    with override_script_prefix("/site/"):
        assert path("users:login") == "/site/users/login/"
    settings.ROOT_URLCONF = "mail.urls"
    with pytest.raises(NoReverseMatch):
        path("users:login")


def test_the_language_switch_keeps_the_page(browser: Client) -> None:
    def switch_of(page: Any) -> list[str]:
        return re.findall(r'name="next" value="([^"]*)"', page.text)

    assert switch_of(browser.get("/users/login/?next=/terms/"))[0] == "/users/login/?next=/terms/"
    assert switch_of(browser.post("/users/register/", {}))[0] == "/users/register/"
    assert switch_of(browser.get("/nothing/"))[0] == "/nothing/"
    assert switch_of(browser.post("/users/register/cancel/"))[0] == "/"
