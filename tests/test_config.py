"""Configuration: complete presets, every value of one's own, and all mistakes at once in words."""

import json
import secrets
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from django.core.mail import EmailMessage

from cs_web import config
from cs_web.config import EXAMPLES, Config, ConfigurationError

GOOD = {"SECRET_KEY": secrets.token_urlsafe(50), "EMAIL_SERVICE": "console"}
LOGIN = {"EMAIL_HOST_USER": "cs-office", "EMAIL_HOST_PASSWORD": "app password"}
SENDER = {"DEFAULT_FROM_EMAIL": "noreply@cs.example.ac.kr"}


def read(secrets_file: Path | None = None, **environment: str) -> Config:
    return config.load(secrets_file, {**GOOD, **environment})


def report(secrets_file: Path | None = None, **environment: str) -> str:
    return report_of(secrets_file, {**GOOD, **environment})


def report_of(secrets_file: Path | None, environment: dict[str, str]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        config.load(secrets_file, environment)
    return str(caught.value)


@pytest.fixture
def secrets_json(tmp_path: Path) -> Any:
    def write(content: object) -> Path:
        file = tmp_path / "secrets.json"
        if isinstance(content, dict):
            content = json.dumps(content)
        file.write_bytes(content if isinstance(content, bytes) else str(content).encode())
        return file

    return write


# Presets


@pytest.mark.parametrize(
    ("service", "given", "expected"),
    [
        ("naver", LOGIN, ("smtp.naver.com", 587, True, False)),
        ("gmail", LOGIN, ("smtp.gmail.com", 587, True, False)),
        ("smtp", {"EMAIL_HOST": "mx", **SENDER}, ("mx", 587, True, False)),
        ("naver", {"EMAIL_USE_SSL": "true", **LOGIN}, ("smtp.naver.com", 465, False, True)),
    ],
)
def test_an_smtp_preset_is_complete(service: str, given: dict[str, str], expected: Any) -> None:
    conf = read(EMAIL_SERVICE=service, **given)
    found = (conf.EMAIL_HOST, conf.EMAIL_PORT, conf.EMAIL_USE_TLS, conf.EMAIL_USE_SSL)
    assert found == expected
    assert conf.DEFAULT_FROM_EMAIL
    assert conf.EMAIL_TIMEOUT == 10, "without a time-out a sender would hang for ever"


def test_ses_needs_only_a_sender_because_the_machine_may_have_a_role() -> None:
    conf = read(EMAIL_SERVICE="ses", **SENDER)
    assert (conf.AWS_SES_REGION_NAME, conf.AWS_ACCESS_KEY_ID) == ("ap-northeast-2", "")


@pytest.mark.parametrize("service", ["console", "file"])
def test_the_services_of_developers_need_nothing(service: str) -> None:
    assert read(EMAIL_SERVICE=service).DEFAULT_FROM_EMAIL == "컴퓨터공학부 <noreply@127.0.0.1>"


def test_debug_writes_mail_to_files_and_answers_to_the_machines_own_names() -> None:
    conf = config.load(None, {"SECRET_KEY": secrets.token_urlsafe(50), "DEBUG": "true"})
    assert conf.EMAIL_SERVICE == "file"
    assert {"localhost", "127.0.0.1", "[::1]"} <= set(conf.ALLOWED_HOSTS)


@pytest.mark.parametrize("domain", ["naver", "gmail"])
def test_a_login_without_domain_gets_its_own_and_is_the_sender(domain: str) -> None:
    conf = read(EMAIL_SERVICE=domain, **LOGIN)
    assert f"cs-office@{domain}.com" == conf.EMAIL_HOST_USER
    assert f"컴퓨터공학부 <cs-office@{domain}.com>" == conf.DEFAULT_FROM_EMAIL


@pytest.mark.parametrize(
    ("name", "language", "expected"),
    [
        ("수학과", "ko", "수학과"),
        ('{"ko": "수학과", "en": "Mathematics"}', "en", "Mathematics"),
        ("Arts,  Letters & Co.", "en", '"Arts, Letters & Co."'),
        ('The "A" (Seoul)', "en", r'"The \"A\" (Seoul)"'),
        ("Line\r\nBcc: x@example.com", "en", '"Line Bcc: x@example.com"'),
    ],
)
def test_the_sender_has_the_sites_name_in_the_sites_language(
    name: str, language: str, expected: str
) -> None:
    conf = read(EMAIL_SERVICE="naver", **LOGIN, SITE_NAME=name, LANGUAGE_CODE=language)
    assert f"{expected} <cs-office@naver.com>" == conf.DEFAULT_FROM_EMAIL
    message = EmailMessage("s", "b", conf.DEFAULT_FROM_EMAIL, ["a@example.com"])
    said = message_from_bytes(message.message().as_bytes(), policy=policy.default)["From"]
    assert said.addresses[0].addr_spec == "cs-office@naver.com"
    assert said.addresses[0].display_name == conf.SITE_NAME[language]


def test_a_whole_login_and_a_sender_of_ones_own_stay_as_they_are() -> None:
    login = {**LOGIN, "EMAIL_HOST_USER": "office@cs.example.ac.kr"}
    conf = read(EMAIL_SERVICE="gmail", **login, **SENDER)
    assert conf.EMAIL_HOST_USER == "office@cs.example.ac.kr"
    assert conf.DEFAULT_FROM_EMAIL == "noreply@cs.example.ac.kr"


OTHER_VALUES: dict[str, tuple[str, Any]] = {
    "DEBUG": ("no", False),
    "SECRET_KEY": ("k3y" * 9 + "-another" * 5, "k3y" * 9 + "-another" * 5),
    "SECRET_KEY_FALLBACKS": (f"{'k3y' * 20}, {'4' * 60}", ["k3y" * 20, "4" * 60]),
    "SITE_URL": ("HTTPS://CS.example.ac.kr/", "https://cs.example.ac.kr"),
    "ALLOWED_HOSTS": ("a.example.com, b.example.com", ["a.example.com", "b.example.com"]),
    "TRUSTED_PROXIES": ("2", 2),
    "DATABASE_URL": ("postgres://u:p@db/cs_web", "postgres://u:p@db/cs_web"),
    "CACHE_URL": ("redis://cache/1", "redis://cache/1"),
    "LANGUAGE_CODE": ("zh-hant", "zh-hant"),
    "SITE_NAME": ("수학과", {"ko": "수학과", "en": "수학과", "zh-hant": "수학과"}),
    "SITE_LOGO": ("logo.png", "logo.png"),
    "ACCENT_COLOR": ("#6A1B9A", "#6a1b9a"),
    "OFFICE_ADDRESS": ("서울", "서울"),
    "OFFICE_PHONE": ("+82 2-123-4567", "+82 2-123-4567"),
    "OFFICE_EMAIL": ("office@example.ac.kr", "office@example.ac.kr"),
    "EMAIL_SERVICE": ("file", "file"),
    "EMAIL_DAILY_LIMIT": ("1000", 1000),
    "EMAIL_PER_ADDRESS_LIMIT": ("3", 3),
    "EMAIL_PER_NETWORK_LIMIT": ("30", 30),
    "FORMS_PER_NETWORK_LIMIT": ("100", 100),
    "BREACHED_PASSWORDS_URL": ("https://range.example/x/", "https://range.example/x/"),
    "SESSION_HOURS": ("24", 24),
    "SESSION_IDLE_HOURS": ("2", 2),
    "STAFF_SESSION_HOURS": ("8", 8),
    "STAFF_SESSION_IDLE_HOURS": ("2", 2),
    "SIGN_INS_PER_NETWORK_LIMIT": ("100", 100),
    "EMAIL_REPLY_TO": ("office@cs.example.ac.kr", "office@cs.example.ac.kr"),
    "AWS_SNS_TOPIC_ARN": (
        "arn:aws:sns:ap-northeast-2:123456789012:ses",
        "arn:aws:sns:ap-northeast-2:123456789012:ses",
    ),
    "CELERY_BROKER_URL": ("amqp://broker/cs_web", "amqp://broker/cs_web"),
    "EMAIL_HOST": ("relay.example.ac.kr", "relay.example.ac.kr"),
    "EMAIL_PORT": ("2525", 2525),
    "EMAIL_USE_TLS": ("false", False),
    "EMAIL_USE_SSL": ("1", True),
    "EMAIL_HOST_USER": ("office@example.ac.kr", "office@example.ac.kr"),
    "EMAIL_HOST_PASSWORD": ("another", "another"),
    "EMAIL_TIMEOUT": ("3", 3),
    "DEFAULT_FROM_EMAIL": ("학과 <cs-office@naver.com>", "학과 <cs-office@naver.com>"),
    "ADMINS": ("kim@example.com", [("kim@example.com", "kim@example.com")]),
    "AWS_SES_REGION_NAME": ("us-east-1", "us-east-1"),
    "AWS_SES_REGION_ENDPOINT_URL": ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
    "AWS_ACCESS_KEY_ID": ("AKIA2", "AKIA2"),
    "AWS_SECRET_ACCESS_KEY": ("another", "another"),
    "AWS_SES_CONFIGURATION_SET": ("bounces", "bounces"),
    "MAIL_ENGINE": ("somewhere.Backend", "somewhere.Backend"),
    "MAIL_BESIDE": ("false", False),
    "HEALTH_TOKEN": ("20 characters or more", "20 characters or more"),
    "MAIL_THREADS": ("9", 9),
    "MAIL_THREADS_AT_MOST": ("40", 40),
}


START = {"EMAIL_SERVICE": "naver", **LOGIN, "AWS_ACCESS_KEY_ID": "AKIA1"}
START |= {"AWS_SECRET_ACCESS_KEY": "secret"}


def is_set(conf: Config, name: str) -> bool:
    """Whether a configuration has the value of ours, among others where it is a list."""
    found, expected = getattr(conf, name), OTHER_VALUES[name][1]
    return bool((found[: len(expected)] if isinstance(found, list) else found) == expected)


def test_this_file_knows_every_name() -> None:
    """A name that is added needs a value here; the next tests then try it."""
    assert set(OTHER_VALUES) >= set(Config.model_fields)


@pytest.mark.parametrize("name", Config.model_fields)
def test_every_value_can_be_set_over_the_preset(name: str) -> None:
    conf = read(**{**START, name: OTHER_VALUES[name][0]})
    assert is_set(conf, name), getattr(conf, name)


def test_the_file_can_set_every_value_as_well(secrets_json: Any) -> None:
    wrong = {}
    for name in Config.model_fields:
        values = {"SECRET_KEY": secrets.token_urlsafe(50), **START, name: OTHER_VALUES[name][0]}
        conf = config.load(secrets_json(values), {})
        if not is_set(conf, name):
            wrong[name] = getattr(conf, name)
    assert not wrong


# The file and the environment


def test_the_environment_wins_over_the_file(secrets_json: Any) -> None:
    file = secrets_json({"SITE_URL": "https://file.example.com", "MAIL_THREADS": 7})
    conf = read(file, SITE_URL="https://environment.example.com")
    assert (conf.SITE_URL, conf.MAIL_THREADS) == ("https://environment.example.com", 7)


def test_an_empty_value_counts_as_not_given(secrets_json: Any) -> None:
    file = secrets_json({"EMAIL_TIMEOUT": "", "SITE_URL": None, "MAIL_THREADS": 7})
    conf = read(file, MAIL_THREADS="")
    assert (conf.EMAIL_TIMEOUT, conf.MAIL_THREADS) == (10, 7)
    assert conf.SITE_URL == "http://127.0.0.1:8000"


def test_a_right_value_in_the_environment_fixes_a_wrong_one_in_the_file(secrets_json: Any) -> None:
    assert read(secrets_json({"EMAIL_PORT": "x"}), EMAIL_PORT="25").EMAIL_PORT == 25


def test_no_file_is_no_mistake(tmp_path: Path) -> None:
    assert read(tmp_path / "secrets.json").EMAIL_SERVICE == "console"


def test_the_file_may_begin_with_the_mark_that_windows_editors_write(secrets_json: Any) -> None:
    assert read(secrets_json(b'\xef\xbb\xbf{"MAIL_THREADS": 3}')).MAIL_THREADS == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"EMAIL_HOST_PASSWORD": "hunter2",}', "is not valid JSON"),
        ("", "is not valid JSON"),
        (b"\xff\xfe{", "is not valid JSON"),
        ('["hunter2"]', "must contain one JSON object"),
        ('"hunter2"', "must contain one JSON object"),
    ],
)
def test_a_broken_file_is_reported_by_name_and_never_shown(
    content: Any, words: str, secrets_json: Any
) -> None:
    said = report(secrets_json(content))
    assert words in said
    assert "secrets.json" in said
    assert "hunter2" not in said


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    assert "cannot be read: Is a directory" in report(tmp_path)


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [("EMAIL_HOST_PASWORD", "EMAIL_HOST_PASSWORD"), ("site_url", "SITE_URL"), ("zzz", "")],
)
def test_an_unknown_name_in_the_file_is_a_mistake(
    name: str, suggestion: str, secrets_json: Any
) -> None:
    said = report(secrets_json({name: "hunter2"}))
    assert f"{name}: is not a name this site knows" in said
    assert suggestion in said
    assert ("did you mean" in said) == bool(suggestion)
    assert "hunter2" not in said


def test_a_name_of_somebody_else_in_the_environment_is_no_mistake() -> None:
    assert read(LANG="ko_KR.UTF-8", EMAIL_HOST_PASWORD="x").EMAIL_HOST == ""


# Mistakes


def test_one_report_names_all_mistakes_with_an_example_for_each() -> None:
    said = report(
        SECRET_KEY="short",
        DEBUG="maybe",
        SITE_URL="ftp://cs.example.ac.kr",
        ALLOWED_HOSTS="*",
        EMAIL_SERVICE="smtp",
        EMAIL_PORT="70000",
        EMAIL_HOST_USER="office",
        MAIL_THREADS="many",
    )
    wrong = (
        "SECRET_KEY DEBUG SITE_URL ALLOWED_HOSTS EMAIL_HOST EMAIL_PORT EMAIL_HOST_PASSWORD "
        "MAIL_THREADS DEFAULT_FROM_EMAIL"
    ).split()
    lines = said.splitlines()
    for name in wrong:
        [line] = [number for number, line in enumerate(lines) if line.startswith(f"  {name}: ")]
        assert lines[line + 1] == f"      for example: {EXAMPLES[name]}"
    assert sum("for example" in line for line in lines) == len(wrong)


# name, value, what the reader is shown
WRONG = [
    ("SECRET_KEY", "", "is missing"),
    ("SECRET_KEY", "x" * 49, "is too short: 50 characters or more"),
    ("SECRET_KEY", "x" * 50, "is not random"),
    ("SECRET_KEY", "abab" * 20, "is not random"),
    ("DEBUG", "maybe", "must be true or false (it is 'maybe')"),
    ("SITE_URL", "cs.example.ac.kr", "must start with http:// or https:// and name a host"),
    ("SITE_URL", "https://", "must start with http:// or https:// and name a host"),
    ("SITE_URL", "https://cs.example.ac.kr/site", "no path"),
    ("SITE_URL", "https://cs.example.ac.kr/?a=b", "no path"),
    ("SITE_URL", "https://kim@cs.example.ac.kr", "no user"),
    ("SITE_URL", "https://cs.example.ac.kr:x", "is not a URL"),
    ("SITE_URL", "http://cs.example.ac.kr", "passwords must not travel over plain http"),
    ("SITE_URL", "http://127.0.0.1.example.com", "passwords must not travel over plain http"),
    ("SITE_URL", "http://10.0.0.1", "passwords must not travel over plain http"),
    ("ALLOWED_HOSTS", "*", "lets anybody choose the host name"),
    ("ALLOWED_HOSTS", "cs.example.ac.kr, *", "lets anybody choose the host name"),
    ("TRUSTED_PROXIES", "-1", "greater than or equal to 0"),
    ("TRUSTED_PROXIES", "all", "must be a whole number (it is 'all')"),
    ("DATABASE_URL", "mysql://db/cs", "must start with postgres:// or sqlite:///"),
    ("CACHE_URL", "memcached://cache", "must start with redis://"),
    ("EMAIL_SERVICE", "", "is missing: without it no mail can leave"),
    ("EMAIL_SERVICE", "hotmail", "must be 'naver', 'gmail'"),
    ("EMAIL_PORT", "0", "greater than or equal to 1"),
    ("EMAIL_TIMEOUT", "1.5", "must be a whole number"),
    ("EMAIL_USE_TLS", "starttls", "must be true or false"),
    ("DEFAULT_FROM_EMAIL", "the office", "is not one e-mail address"),
    ("DEFAULT_FROM_EMAIL", "a@example.com\nBcc: b@example.com", "is not one e-mail address"),
    ("ADMINS", "kim", "'kim' is not an e-mail address"),
    ("MAIL_ENGINE", "processes", "must be threads, work, celery, or the dotted path"),
    ("MAIL_THREADS", "0", "greater than or equal to 1"),
    ("LANGUAGE_CODE", "fr", "must be 'ko', 'en' or 'zh-hant'"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "words"), WRONG)
def test_a_wrong_value_is_reported_in_plain_words(name: str, value: str, words: str) -> None:
    said = report(**{name: value})
    assert f"\n  {name}: " in said
    assert words in said
    assert EXAMPLES[name] in said
    assert "pydantic" not in said
    assert "Input should" not in said


@pytest.mark.parametrize(
    ("missing", "given"),
    [
        ("EMAIL_HOST_USER", {"EMAIL_SERVICE": "naver", "EMAIL_HOST_PASSWORD": "p"}),
        ("EMAIL_HOST_PASSWORD", {"EMAIL_SERVICE": "gmail", "EMAIL_HOST_USER": "u"}),
        ("EMAIL_HOST", {"EMAIL_SERVICE": "smtp", **SENDER}),
        ("DEFAULT_FROM_EMAIL", {"EMAIL_SERVICE": "smtp", "EMAIL_HOST": "mx"}),
        ("DEFAULT_FROM_EMAIL", {"EMAIL_SERVICE": "ses"}),
        ("AWS_SECRET_ACCESS_KEY", {"EMAIL_SERVICE": "ses", "AWS_ACCESS_KEY_ID": "AKIA", **SENDER}),
        ("AWS_ACCESS_KEY_ID", {"EMAIL_SERVICE": "ses", "AWS_SECRET_ACCESS_KEY": "s", **SENDER}),
    ],
)
def test_what_a_service_cannot_do_without_is_missed(missing: str, given: dict[str, str]) -> None:
    assert f"\n  {missing}: is missing" in report(**given)


def test_tls_and_ssl_exclude_each_other() -> None:
    said = report(EMAIL_SERVICE="naver", EMAIL_USE_TLS="true", EMAIL_USE_SSL="true", **LOGIN)
    assert "EMAIL_USE_SSL: excludes EMAIL_USE_TLS" in said


def test_a_sender_that_the_service_would_refuse_is_reported() -> None:
    said = report(EMAIL_SERVICE="naver", **LOGIN, **SENDER)
    assert "DEFAULT_FROM_EMAIL: is noreply@cs.example.ac.kr: Naver sends only for" in said


@pytest.mark.parametrize("url", ["http://localhost:8000", "http://127.0.0.2", "http://a.localhost"])
def test_plain_http_is_fine_where_it_does_not_leave_the_machine(url: str) -> None:
    assert read(SITE_URL=url).https is False


@pytest.mark.parametrize(
    "url", ["http://192.168.0.7:8000", "https://cs.example.ac.kr", "http://[2001:db8::1]:8000"]
)
def test_debug_is_refused_where_others_can_see_it(url: str) -> None:
    """/mailbox/ shows every link to everybody, and an error page the settings."""
    assert "\n  SITE_URL: with DEBUG" in report(DEBUG="true", SITE_URL=url)


@pytest.mark.parametrize("host", ["*", "cs.example.ac.kr", "192.168.0.7", "localhost,.example.kr"])
def test_debug_answers_to_no_public_name(host: str) -> None:
    assert "\n  ALLOWED_HOSTS: with DEBUG" in report(DEBUG="true", ALLOWED_HOSTS=host)


@pytest.mark.parametrize(
    "url", ["https://localhost:8443", "http://[::1]:8000", "http://cs.localhost:8000"]
)
def test_debug_is_fine_on_the_machine_itself(url: str) -> None:
    assert read(DEBUG="true", SITE_URL=url, ALLOWED_HOSTS=".localhost,[::1]").DEBUG


def test_a_fallback_key_is_as_long_as_the_key_and_never_repeated() -> None:
    said = report(SECRET_KEY_FALLBACKS=f"{secrets.token_urlsafe(50)},too-short-a-key")
    assert "\n  SECRET_KEY_FALLBACKS: has a key of less than 50 characters" in said
    assert "too-short-a-key" not in said


def test_the_host_of_site_url_is_allowed_without_saying_so() -> None:
    assert read(SITE_URL="https://cs.example.ac.kr:8443").ALLOWED_HOSTS == ["cs.example.ac.kr"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            "Kim <kim@example.com>, lee@example.com",
            [("Kim", "kim@example.com"), ("lee@example.com", "lee@example.com")],
        ),
        (
            ["Kim <kim@example.com>", "lee@example.com"],
            [("Kim", "kim@example.com"), ("lee@example.com", "lee@example.com")],
        ),
        ('"Kim, the operator" <kim@example.com>', [("Kim, the operator", "kim@example.com")]),
        ([], []),
    ],
)
def test_admins_may_be_one_text_or_a_list(given: Any, expected: Any, secrets_json: Any) -> None:
    admins = read(secrets_json({"ADMINS": given})).ADMINS
    assert admins == expected


@pytest.mark.parametrize(
    "given", [5, {"Kim": "k@example.com"}, [["Kim", "k@example.com"]], ["Kim"]]
)
def test_other_forms_of_admins_are_refused(given: Any, secrets_json: Any) -> None:
    assert "\n  ADMINS: " in report(secrets_json({"ADMINS": given}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "hunter2"),
        ("SITE_URL", "https://kim:hunter2@cs.example.ac.kr"),
        ("DATABASE_URL", "postgres://kim:hunter2/x@db/cs_web"),
        ("DATABASE_URL", "postgres://kim:[hunter2]x@db/cs_web"),
        ("DATABASE_URL", "postgress://kim:hunter2@db/cs_web"),
        ("CACHE_URL", "http://:hunter2@cache"),
        ("CACHE_URL", "redis://:[hunter2]@cache"),
        ("EMAIL_HOST_PASSWORD", ["hunter2"]),
        ("AWS_SECRET_ACCESS_KEY", {"key": "hunter2"}),
    ],
)
def test_a_report_never_repeats_a_secret(name: str, value: Any, secrets_json: Any) -> None:
    said = report_of(secrets_json({**GOOD, name: value}), {})
    assert f"\n  {name}: " in said
    assert "hunter2" not in said


LITERAL = set(EXAMPLES) - {"SECRET_KEY", "EMAIL_SERVICE", "LANGUAGE_CODE", "AWS_ACCESS_KEY_ID"}
LITERAL -= {"MAIL_ENGINE", "SECRET_KEY_FALLBACKS"}


def test_the_example_of_a_report_is_itself_right() -> None:
    pairs = {"EMAIL_HOST_USER": "u", "EMAIL_HOST_PASSWORD": "p",
             "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}  # fmt: skip
    wrong = {}
    for name in sorted(LITERAL):
        try:
            read(**{**pairs, name: EXAMPLES[name]})
        except ConfigurationError as error:
            wrong[name] = str(error)
    assert LITERAL
    assert not wrong


def test_port_465_with_tls_would_hang_and_is_reported() -> None:
    said = report(EMAIL_SERVICE="smtp", EMAIL_HOST="mx", EMAIL_PORT="465", **SENDER)
    assert "EMAIL_PORT: is 465, which expects TLS from the start" in said


def test_an_ipv6_site_is_allowed_as_a_browser_writes_it() -> None:
    assert read(SITE_URL="http://[::1]:8000").ALLOWED_HOSTS == ["[::1]"]
