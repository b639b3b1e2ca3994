"""Settings, in a process of their own: what a wrong configuration prints, what https turns on."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.elsewhere import PRODUCTION, Site

# Answers to a few requests, without a database and without the manifest of static files.
BROWSE = """
import json
from django.conf import settings
settings.STORAGES["staticfiles"]["BACKEND"] = (
    "django.contrib.staticfiles.storage.StaticFilesStorage"
)
settings.STATIC_ROOT.mkdir()
django.setup()
from django.test import Client

def get(path, **headers):
    response = client.get(path, headers={"host": "cs.example.ac.kr", **headers})
    cookies = {name: dict(cookie) for name, cookie in response.cookies.items()}
    return {"status": response.status_code, "headers": dict(response.headers), "cookies": cookies}

client = Client()
print(json.dumps({
    "plain": get("/users/login/"),
    "proxied": get("/users/login/", x_forwarded_proto="https"),
    "mailbox": get("/mailbox/", x_forwarded_proto="https"),
    "session": settings.SESSION_COOKIE_NAME,
    "session_secure": settings.SESSION_COOKIE_SECURE,
    "language": settings.LANGUAGE_COOKIE_NAME,
    "language_secure": settings.LANGUAGE_COOKIE_SECURE,
}))
"""


def browse(folder: Path, **environment: str) -> Any:
    engine = {"MAIL_ENGINE": "work"}
    site = Site(folder, **{**PRODUCTION, **engine, **environment})
    return json.loads(site.story(BROWSE))


def test_a_wrong_configuration_stops_the_start_with_words_only(tmp_path: Path) -> None:
    done = Site(tmp_path).manage("check", SECRET_KEY="short", SITE_URL="http://cs.example.ac.kr")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for name in ("SECRET_KEY", "SITE_URL", "EMAIL_SERVICE"):
        assert f"\n  {name}: " in done.stderr
    assert not (tmp_path / "site" / "var").exists(), "nothing is made before all is right"


def test_a_wrong_file_stops_the_start_with_words_only(tmp_path: Path) -> None:
    site = Site(tmp_path, **PRODUCTION)
    (site.folder / "secrets.json").write_text("{")
    done = site.manage("check")
    assert done.returncode == 1
    assert "secrets.json is not valid JSON" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_production_configuration_passes_djangos_own_checks(tmp_path: Path) -> None:
    """With SES; below, with the other services."""
    done = Site(tmp_path, **PRODUCTION).manage("check", "--deploy")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "System check identified no issues (0 silenced).\n"


def test_https_guards_cookies_and_believes_no_stranger_about_it(tmp_path: Path) -> None:
    """Without a proxy in front, X-Forwarded-Proto is what any visitor cares to write."""
    seen = browse(tmp_path)
    for answer in (seen["plain"], seen["proxied"]):
        assert answer["status"] == 301
        assert answer["headers"]["Location"] == "https://cs.example.ac.kr/users/login/"
    assert (seen["session"], seen["session_secure"]) == ("__Host-sessionid", True)
    assert (seen["language"], seen["language_secure"]) == ("__Host-language", True)


def test_behind_a_trusted_proxy_its_word_about_https_counts(tmp_path: Path) -> None:
    seen = browse(tmp_path, TRUSTED_PROXIES="1")
    assert seen["plain"]["status"] == 301
    assert seen["proxied"]["status"] == 200
    assert seen["proxied"]["headers"]["Strict-Transport-Security"] == (
        "max-age=31536000; includeSubDomains; preload"
    )
    [(name, cookie)] = seen["proxied"]["cookies"].items()
    assert name == "__Host-csrftoken"
    assert cookie["secure"]
    assert (cookie["path"], cookie["domain"]) == ("/", ""), "or a browser refuses the name"
    assert seen["mailbox"]["status"] == 404


LOGIN = {"EMAIL_HOST_USER": "cs-office", "EMAIL_HOST_PASSWORD": "app password"}


SENDER = {"DEFAULT_FROM_EMAIL": "noreply@cs.example.ac.kr"}


@pytest.mark.parametrize(
    "configuration",
    [
        {"EMAIL_SERVICE": "naver", **LOGIN},
        {"EMAIL_SERVICE": "gmail", **LOGIN},
        {
            "EMAIL_SERVICE": "smtp",
            "EMAIL_HOST": "smtp.example.ac.kr",
            "EMAIL_REPLY_TO": "컴공 <office@cs.example.ac.kr>",
            **SENDER,
        },
    ],
    ids=lambda configuration: configuration["EMAIL_SERVICE"],
)
def test_check_deploy_is_silent_in_production(tmp_path: Path, configuration: Any) -> None:
    """With SES, see above."""
    site = Site(tmp_path, SITE_URL="https://cs.example.ac.kr", **configuration)
    done = site.manage("check", "--deploy", "--fail-level", "WARNING")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "System check identified no issues (0 silenced).\n"


CELERY = {
    **PRODUCTION,
    "MAIL_ENGINE": "celery",
    "CELERY_BROKER_URL": "amqp://cs_web:tr0ub4dor@127.0.0.1:5672/cs_web",
}


ENGINE = """
import sys
django.setup()
from django.conf import settings
from mail.queue import engines
engine = engines.named(settings.MAIL_ENGINE)
imported = [name for name in ("celery", "kombu") if name in sys.modules]
"""


def test_the_site_is_wired_to_celery_and_imports_it_only_then(tmp_path: Path) -> None:
    engine = "django.setup(); from django.conf import settings; from mail.queue import engines; "
    engine += (
        "engine = engines.named(settings.MAIL_ENGINE); import sys; print(type(engine).__name__"
    )
    imported = "[name for name in ('celery', 'kombu') if name in sys.modules])"
    site = Site(tmp_path, **CELERY)
    assert site.story(f"{engine}, engine.app.main)") == "Celery cs_web\n"
    site.environment["MAIL_ENGINE"] = "threads"
    assert site.story(f"{engine}, {imported}") == "Threads []\n"


def test_a_broker_with_tls_must_show_a_certificate(tmp_path: Path) -> None:
    show = "django.setup(); from cs_web.celery import app; print(app.connection_for_write().ssl)"
    site = Site(tmp_path, **{**CELERY, "CELERY_BROKER_URL": "rediss://127.0.0.1:6380/0"})
    assert "CERT_REQUIRED" in site.story(show)
