"""Proxies: what a header says counts only from those that we trust, and a forgotten one shows."""

import logging
from typing import Any

import pytest
from django.test import Client

from cs_web.proxies import watch

FORWARDED = {"x-forwarded-for": "203.0.113.7"}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "cs_web.proxies"]


def health(browser: Client) -> Any:
    return browser.get("/healthz", headers={"accept": "application/json"}).json()


@pytest.mark.parametrize("headers", [FORWARDED, {"x-forwarded-proto": "https"}])
def test_a_forgotten_proxy_is_reported_once(
    browser: Client, caplog: pytest.LogCaptureFixture, headers: dict[str, str]
) -> None:
    assert "proxies" not in health(browser)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            browser.get("/", headers=headers)
    [warning] = warnings(caplog)
    assert "TRUSTED_PROXIES is 0" in warning
    assert "TRUSTED_PROXIES is 0" in health(browser)["proxies"]


def test_it_is_reported_although_https_redirects_for_ever(browser: Client, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    browser = Client()  # reads the settings when it starts
    assert browser.get("/", headers=FORWARDED).status_code == 301
    assert watch.trouble


def test_fewer_hops_than_proxies_are_reported(browser: Client, settings: Any) -> None:
    settings.TRUSTED_PROXIES = 2
    browser.get("/", headers=FORWARDED)
    assert "names 1 in X-Forwarded-For, and TRUSTED_PROXIES is 2" in watch.trouble


@pytest.mark.parametrize("hops", ["203.0.113.7", "6.6.6.6, 203.0.113.7"])
def test_a_proxy_that_is_trusted_is_no_news(browser: Client, settings: Any, hops: str) -> None:
    settings.TRUSTED_PROXIES = 1
    browser.get("/", headers={"x-forwarded-for": hops, "x-forwarded-proto": "https"})
    assert not watch.trouble


def test_a_stranger_from_far_away_makes_no_trouble(browser: Client) -> None:
    browser.get("/", headers=FORWARDED, REMOTE_ADDR="8.8.8.8")
    assert not watch.trouble
    browser.get("/", headers=FORWARDED, REMOTE_ADDR="")
    assert watch.trouble, "a Unix socket is always a proxy"
