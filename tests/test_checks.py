"""System checks of the mail service: each mistake is reported, with what to do about it."""

from typing import Any

import pytest
from django.core.checks import Error, Warning

from mail import checks

GOOD = {
    "naver": {
        "EMAIL_SERVICE": "naver",
        "EMAIL_HOST": "smtp.naver.com",
        "EMAIL_PORT": 587,
        "EMAIL_USE_TLS": True,
        "EMAIL_HOST_USER": "cs-office@naver.com",
        "EMAIL_HOST_PASSWORD": "app password",
        "DEFAULT_FROM_EMAIL": "컴퓨터공학부 <CS-office@naver.com>",
    },
    "gmail": {
        "EMAIL_SERVICE": "gmail",
        "EMAIL_HOST": "smtp.gmail.com",
        "EMAIL_PORT": 465,
        "EMAIL_USE_SSL": True,
        "EMAIL_HOST_USER": "cs.office@gmail.com",
        "EMAIL_HOST_PASSWORD": "app password",
        "DEFAULT_FROM_EMAIL": "cs.office@gmail.com",
    },
    "smtp": {
        "EMAIL_SERVICE": "smtp",
        "EMAIL_HOST": "smtp.example.ac.kr",
        "EMAIL_PORT": 25,
        "DEFAULT_FROM_EMAIL": "noreply@cs.example.ac.kr",
    },
    "ses": {
        "EMAIL_SERVICE": "ses",
        "AWS_SES_REGION_NAME": "ap-northeast-2",
        "AWS_ACCESS_KEY_ID": None,
        "AWS_SECRET_ACCESS_KEY": None,
        "DEFAULT_FROM_EMAIL": "noreply@cs.example.ac.kr",
    },
}


@pytest.fixture
def reported(settings: Any) -> Any:
    """The ids of what is reported about these settings."""

    def reported(service: str, **changes: Any) -> list[str]:
        ours = {
            "SITE_URL": "https://cs.example.ac.kr",
            "EMAIL_TIMEOUT": 10,
            "EMAIL_HOST_USER": "",
            "EMAIL_HOST_PASSWORD": "",
            "EMAIL_USE_TLS": False,
            "EMAIL_USE_SSL": False,
        }
        for name, value in {**ours, **GOOD.get(service, {}), **changes}.items():
            setattr(settings, name, value)
        found = checks.check_mail()
        assert all(message.hint for message in found), "each says what to do"
        kinds = {"E": Error, "W": Warning}
        assert all(type(one) is kinds[str(one.id).split(".")[1][0]] for one in found)
        return [str(message.id) for message in found]

    return reported


@pytest.mark.parametrize("service", GOOD)
def test_a_right_configuration_is_silent(reported: Any, service: str) -> None:
    assert reported(service) == []


@pytest.mark.parametrize(
    ("service", "changes", "wanted"),
    [
        ("smtp", {"EMAIL_USE_TLS": True, "EMAIL_USE_SSL": True}, "mail.E001"),
        ("smtp", {"EMAIL_HOST": ""}, "mail.E002"),
        ("smtp", {"EMAIL_HOST_USER": "u", "EMAIL_USE_TLS": True}, "mail.E003"),
        ("smtp", {"EMAIL_HOST_PASSWORD": "p"}, "mail.E003"),
        ("naver", {"EMAIL_HOST_USER": "", "EMAIL_HOST_PASSWORD": ""}, "mail.E003 mail.E003"),
        ("gmail", {"EMAIL_HOST_PASSWORD": ""}, "mail.E003"),
        ("naver", {"DEFAULT_FROM_EMAIL": "noreply@cs.example.ac.kr"}, "mail.E004"),
        ("gmail", {"DEFAULT_FROM_EMAIL": "noreply@cs.example.ac.kr"}, "mail.W001"),
        ("ses", {"AWS_SES_REGION_NAME": ""}, "mail.E005"),
        ("ses", {"AWS_ACCESS_KEY_ID": "AKIA"}, "mail.E006"),
        ("ses", {"AWS_SECRET_ACCESS_KEY": "s"}, "mail.E006"),
        ("pigeon", {"EMAIL_SERVICE": "pigeon", "DEFAULT_FROM_EMAIL": "a@b"}, "mail.E007"),
        ("smtp", {"EMAIL_TIMEOUT": None}, "mail.E008"),
        ("ses", {"DEFAULT_FROM_EMAIL": ""}, "mail.E009"),
        ("console", {"EMAIL_SERVICE": "console"}, "mail.W002"),
        ("file", {"EMAIL_SERVICE": "file"}, "mail.W002"),
        ("ses", {"SITE_URL": "http://localhost:8000"}, "mail.W003"),
        ("naver", {"SITE_URL": "http://127.0.0.1:8000"}, "mail.W003"),
        ("smtp", {"EMAIL_PORT": 465, "EMAIL_USE_TLS": True}, "mail.E010"),
        ("smtp", {"EMAIL_HOST_USER": "u", "EMAIL_HOST_PASSWORD": "p"}, "mail.W005"),
    ],
)
def test_a_mistake_is_reported(
    reported: Any, service: str, changes: dict[str, Any], wanted: str
) -> None:
    assert reported(service, **changes) == wanted.split()


def test_a_naver_id_without_its_domain_is_the_same_account(reported: Any) -> None:
    assert reported("naver", EMAIL_HOST_USER="cs-office") == []


@pytest.mark.parametrize("service", ["console", "file"])
def test_development_may_keep_its_mail(reported: Any, service: str) -> None:
    assert reported(service, EMAIL_SERVICE=service, DEBUG=True) == []


def test_development_may_send_real_mail_with_links_to_itself(reported: Any) -> None:
    assert reported("naver", SITE_URL="http://127.0.0.1:8000", DEBUG=True) == []


def test_a_local_server_may_have_the_password_in_the_clear(reported: Any) -> None:
    login = {"EMAIL_HOST_USER": "u", "EMAIL_HOST_PASSWORD": "p"}
    assert reported("smtp", EMAIL_HOST="127.0.0.1", **login) == []
