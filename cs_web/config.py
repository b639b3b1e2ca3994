"""What an operator may set: `secrets.json` and the environment, typed and validated.

`load()` returns a `Config`, or raises a `ConfigurationError` that names every mistake at once.
An environment variable wins over the same name in the file.
"""

import difflib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from email.utils import getaddresses, quote
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from mail import conf as mail_conf

SECRET_KEY_MIN_CHARACTERS = 50

Language = Literal["ko", "en", "zh-hant"]
OUR_NAME = {
    "ko": "컴퓨터공학부",
    "en": "Department of Computer Science and Engineering",
    "zh-hant": "資訊工程學系",
}
OUR_ACCENT_COLOR = "#0b5768"

Service = Literal["naver", "gmail", "smtp", "ses", "console", "file"]

# A correct value for each name, shown beside an error.
EXAMPLES = {
    "SECRET_KEY": "a random text of 50 characters or more; "
    'python -c "import secrets; print(secrets.token_urlsafe(50))" prints one',
    "SECRET_KEY_FALLBACKS": "the key before this one, for the 14 days that its sessions last",
    "DEBUG": "false",
    "SITE_URL": "https://cs.example.ac.kr",
    "ALLOWED_HOSTS": "cs.example.ac.kr,www.cs.example.ac.kr",
    "TRUSTED_PROXIES": "1",
    "DATABASE_URL": "postgres://cs_web:password@127.0.0.1:5432/cs_web",
    "CACHE_URL": "redis://127.0.0.1:6379/0",
    "EMAIL_SERVICE": "naver (or gmail, smtp, ses, console, file)",
    "EMAIL_HOST": "smtp.example.ac.kr",
    "EMAIL_PORT": "587",
    "EMAIL_USE_TLS": "true",
    "EMAIL_USE_SSL": "false",
    "EMAIL_HOST_USER": "cs-office@naver.com",
    "EMAIL_HOST_PASSWORD": "the app password that the mail service made for this site",
    "EMAIL_TIMEOUT": "10",
    "DEFAULT_FROM_EMAIL": "컴퓨터공학부 <noreply@cs.example.ac.kr>",
    "EMAIL_REPLY_TO": "컴퓨터공학부 사무실 <office@cs.example.ac.kr>",
    "ADMINS": "Kim <kim@example.ac.kr>, lee@example.ac.kr",
    "AWS_SES_REGION_NAME": "ap-northeast-2",
    "AWS_ACCESS_KEY_ID": "AKIA…, with its AWS_SECRET_ACCESS_KEY (or neither, with an IAM role)",
    "AWS_SECRET_ACCESS_KEY": "the secret that belongs to AWS_ACCESS_KEY_ID",
    "EMAIL_DAILY_LIMIT": "500",
    "EMAIL_PER_ADDRESS_LIMIT": "6",
    "EMAIL_PER_NETWORK_LIMIT": "60",
    "AWS_SNS_TOPIC_ARN": "arn:aws:sns:ap-northeast-2:123456789012:ses-events",
    "FORMS_PER_NETWORK_LIMIT": "60",
    "BREACHED_PASSWORDS_URL": "https://api.pwnedpasswords.com/range/",
    "SESSION_HOURS": "336",
    "SESSION_IDLE_HOURS": "168",
    "STAFF_SESSION_HOURS": "12",
    "STAFF_SESSION_IDLE_HOURS": "1",
    "SIGN_INS_PER_NETWORK_LIMIT": "60",
    "MAIL_ENGINE": "work (or threads, celery, the dotted path of an engine)",
    "MAIL_BESIDE": "true",
    "CELERY_BROKER_URL": "amqp://cs_web:password@127.0.0.1:5672/cs_web, or redis://127.0.0.1:6379/1",
    "MAIL_THREADS": "4",
    "MAIL_THREADS_AT_MOST": "32",
    "HEALTH_TOKEN": "a random text of 20 characters or more, which only the monitor knows",
    "LANGUAGE_CODE": "ko (or en, zh-hant)",
    "SITE_NAME": '{"ko": "컴퓨터공학부", "en": "Computer Science"}',
    "SITE_LOGO": "logo.svg",
    "ACCENT_COLOR": "#0b5768",
    "OFFICE_ADDRESS": "서울특별시 관악구 관악로 1, 301동 316호",
    "OFFICE_PHONE": "02-123-4567",
    "OFFICE_EMAIL": "office@cs.example.ac.kr",
}


BEGIN = """There is no secrets.json yet.
  To develop: `make run` writes one, and starts the site.
  To deploy: copy secrets.json.example to secrets.json, and fill it in."""


class ConfigurationError(ImproperlyConfigured):
    """The configuration is wrong; the message says what, where, and how to fix it."""


def _split(value: object) -> object:
    """`a, b` from the environment and `["a", "b"]` from the file mean the same."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _url_parts(url: str) -> SplitResult:
    """urlsplit, whose own exceptions may repeat a part of a password."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises if it is not a number
    except ValueError:
        raise ValueError("is not a URL; a password in it needs %2F for /, %23 for #") from None
    return parts


def _by_language(value: object) -> object:
    """A text is the name in every language; one with braces is JSON, as the environment has it."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError("is not valid JSON") from None
    return dict.fromkeys(OUR_NAME, value) if isinstance(value, str) else value


def _sender(name: str, address: str) -> str:
    """As RFC 5322 has it: a name with a comma or the like is quoted."""
    named = f'"{quote(name)}"' if set(name) & set('()<>[]:;@\\,."') else name
    return f"{named} <{address}>"


def _contrast_with_white(colour: str) -> float:
    """As WCAG 2.2 reckons it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)


Names = Annotated[list[str], BeforeValidator(_split)]


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    DEBUG: bool = False
    SECRET_KEY: str = Field(min_length=SECRET_KEY_MIN_CHARACTERS)
    SECRET_KEY_FALLBACKS: Names = []
    SITE_URL: str = "http://127.0.0.1:8000"
    ALLOWED_HOSTS: Names = []
    TRUSTED_PROXIES: int = Field(0, ge=0, le=10)
    DATABASE_URL: str = ""
    CACHE_URL: str = ""
    HEALTH_TOKEN: str = Field("", pattern=r"^(.{20,})?$")
    LANGUAGE_CODE: Language = "ko"

    SITE_NAME: Annotated[dict[str, str], BeforeValidator(_by_language)] = OUR_NAME
    SITE_LOGO: str = Field("favicon.svg", pattern=r"^\w[\w./-]*\.(svg|png)$")
    ACCENT_COLOR: str = Field(OUR_ACCENT_COLOR, pattern=r"^#[0-9A-Fa-f]{6}$")
    OFFICE_ADDRESS: str = ""
    OFFICE_PHONE: str = Field("", pattern=r"^[0-9+() -]*$")
    OFFICE_EMAIL: str = Field("", pattern=r"^([^@\s]+@[^@\s]+)?$")

    EMAIL_SERVICE: Service | None = None
    EMAIL_HOST: str = ""
    EMAIL_PORT: int = Field(587, ge=1, le=65535)
    EMAIL_USE_TLS: bool = False
    EMAIL_USE_SSL: bool = False
    EMAIL_HOST_USER: str = ""
    EMAIL_HOST_PASSWORD: str = ""
    EMAIL_TIMEOUT: int = Field(10, ge=1, le=120)
    DEFAULT_FROM_EMAIL: str = ""
    EMAIL_REPLY_TO: str = ""
    ADMINS: list[tuple[str, str]] = []

    AWS_SES_REGION_NAME: str = "ap-northeast-2"
    AWS_SES_REGION_ENDPOINT_URL: str = ""
    AWS_ACCESS_KEY_ID: str = ""
    AWS_SECRET_ACCESS_KEY: str = ""
    AWS_SES_CONFIGURATION_SET: str = ""
    AWS_SNS_TOPIC_ARN: str = Field("", pattern=r"^(arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:\S+)?$")

    EMAIL_DAILY_LIMIT: int | None = Field(None, ge=0)
    EMAIL_PER_ADDRESS_LIMIT: int = Field(6, ge=1, le=1000)
    EMAIL_PER_NETWORK_LIMIT: int = Field(60, ge=1)
    FORMS_PER_NETWORK_LIMIT: int = Field(60, ge=1)
    SIGN_INS_PER_NETWORK_LIMIT: int = Field(60, ge=1)
    BREACHED_PASSWORDS_URL: str = Field("", pattern=r"^(https://[^/\s]+/(\S*/)?)?$")

    SESSION_HOURS: int = Field(14 * 24, ge=1)
    SESSION_IDLE_HOURS: int = Field(7 * 24, ge=1)
    STAFF_SESSION_HOURS: int = Field(12, ge=1)
    STAFF_SESSION_IDLE_HOURS: int = Field(1, ge=1)

    MAIL_ENGINE: str = "work"
    MAIL_BESIDE: bool = True
    CELERY_BROKER_URL: str = ""
    MAIL_THREADS: int = Field(4, ge=1, le=64)
    MAIL_THREADS_AT_MOST: int = Field(0, ge=0, le=256)  # 0: as many as the service bears

    @field_validator("SITE_URL")
    @classmethod
    def _site_url_is_an_origin(cls, value: str) -> str:
        parts = _url_parts(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must start with http:// or https:// and name a host")
        if parts.path.strip("/") or parts.query or parts.fragment or parts.username:
            raise ValueError("must be only scheme, host and port: no path, no query, no user")
        return f"{parts.scheme}://{parts.netloc}".lower()

    @field_validator("SITE_NAME")
    @classmethod
    def _name_in_every_language(cls, names: dict[str, str]) -> dict[str, str]:
        names = {language: " ".join(name.split()) for language, name in names.items()}
        if not names or not all(names.values()):
            raise ValueError("must not be empty")
        if unknown := set(names) - set(OUR_NAME):
            raise ValueError(f"has a language that is not ko, en or zh-hant: {unknown}")
        first = next(iter(names.values()))
        return {language: names.get(language, first) for language in OUR_NAME}

    @field_validator("ACCENT_COLOR")
    @classmethod
    def _accent_is_dark_enough(cls, value: str) -> str:
        if _contrast_with_white(value) < 4.5:
            raise ValueError("is too light: white words on it need a contrast of 4.5 to 1")
        return value.lower()

    @field_validator("DATABASE_URL")
    @classmethod
    def _database_url_is_known(cls, value: str) -> str:
        if value and _url_parts(value).scheme not in ("sqlite", "postgres", "postgresql"):
            raise ValueError("must start with postgres:// or sqlite:///")
        if value:
            dj_database_url.parse(value)
        return value

    @field_validator("CACHE_URL")
    @classmethod
    def _cache_url_is_known(cls, value: str) -> str:
        if value and _url_parts(value).scheme not in ("redis", "rediss", "locmem"):
            raise ValueError("must start with redis://, rediss:// or locmem://")
        return value

    @field_validator("ADMINS", mode="before")
    @classmethod
    def _admins_are_addresses(cls, value: object) -> object:
        texts: list[Any] = value if isinstance(value, list) else [value]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("must be one text, or a list of texts")
        pairs = [p for p in getaddresses(texts) if any(p)]
        for _, address in pairs:
            if "@" not in address:
                raise ValueError(f"{address!r} is not an e-mail address")
        return [(name or address, address) for name, address in pairs]

    @field_validator("MAIL_ENGINE")
    @classmethod
    def _mail_engine_is_known(cls, value: str) -> str:
        if value not in ("threads", "work", "celery") and "." not in value:
            raise ValueError("must be threads, work, celery, or the dotted path of an engine")
        return value

    @field_validator("CELERY_BROKER_URL")
    @classmethod
    def _broker_url_is_known(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and parts.scheme not in ("amqp", "amqps", "redis", "rediss"):
            raise ValueError("must start with amqp://, amqps://, redis:// or rediss://")
        try:
            named = parts.port != 0 and parts.hostname
        except ValueError:  # whose text would show a part of the password
            named = None
        if value and not named:
            raise ValueError(
                "does not name a host, or its port is not a number (in a password, / # ? @ and : "
                "are written as %2F %23 %3F %40 and %3A)"
            )
        return value

    @model_validator(mode="before")
    @classmethod
    def _apply_preset(cls, values: dict[str, Any]) -> dict[str, Any]:
        if str(values.get("EMAIL_USE_SSL", "")).lower() in ("1", "true", "yes", "on", "y", "t"):
            values = {"EMAIL_PORT": 465, "EMAIL_USE_TLS": False, **values}
        service = mail_conf.SERVICES.get(str(values.get("EMAIL_SERVICE")))
        return {**(service.presets or {} if service else {}), **values}

    @model_validator(mode="after")
    def _derive_defaults(self) -> "Config":
        """Defaults that depend on other values."""
        if self.DEBUG:
            self.EMAIL_SERVICE = self.EMAIL_SERVICE or "file"
            self.ALLOWED_HOSTS = [*self.ALLOWED_HOSTS, "localhost", "127.0.0.1", "[::1]"]
        if not self.ALLOWED_HOSTS or self.DEBUG:
            # As a browser writes it: an IPv6 address has brackets.
            host = f"[{self.site_host}]" if ":" in self.site_host else self.site_host
            self.ALLOWED_HOSTS = [*self.ALLOWED_HOSTS, host]
        service = mail_conf.SERVICES.get(self.EMAIL_SERVICE or "", mail_conf.Service("", ""))
        if self.EMAIL_DAILY_LIMIT is None:
            self.EMAIL_DAILY_LIMIT = service.daily_limit
        login, domain = self.EMAIL_HOST_USER, service.domain
        if login and domain and "@" not in login:
            self.EMAIL_HOST_USER = login = f"{login}@{domain}"
        if not self.DEFAULT_FROM_EMAIL:
            name = self.SITE_NAME[self.LANGUAGE_CODE]
            if domain and login:
                self.DEFAULT_FROM_EMAIL = _sender(name, login)
            elif self.EMAIL_SERVICE and not service.is_real:
                host = "localhost" if ":" in self.site_host else self.site_host
                self.DEFAULT_FROM_EMAIL = _sender(name, f"noreply@{host}")
        return self

    @property
    def site_host(self) -> str:
        return urlsplit(self.SITE_URL).hostname or ""

    @property
    def https(self) -> bool:
        return self.SITE_URL.startswith("https://")


def load(secrets_file: Path | None = None, environment: Mapping[str, str] = os.environ) -> Config:
    """The configuration of this process, or a ConfigurationError that lists every mistake."""
    values = {
        **_read(secrets_file),
        **{name: environment.get(name) for name in Config.model_fields if environment.get(name)},
    }
    mistakes: dict[str, str] = {}
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        for detail in error.errors():
            name = str(detail["loc"][0]) if detail["loc"] else "configuration"
            mistakes.setdefault(name, _explain(name, detail))
        # The valid values are still checked against each other, so that one run reports everything.
        rest = {name: value for name, value in values.items() if name not in mistakes}
        config = Config.model_validate({"SECRET_KEY": secrets.token_urlsafe(50), **rest})
    for name, what in _contradictions(config):
        mistakes.setdefault(name, what)
    if mistakes:
        report = _report(mistakes, secrets_file)
        if secrets_file and not secrets_file.exists() and "SECRET_KEY" not in values:
            report = f"{BEGIN}\n\n{report}"
        raise ConfigurationError(report)
    return config


def _read(secrets_file: Path | None) -> dict[str, Any]:
    """The values in the file; an empty one counts as not given, as in the environment."""
    if secrets_file is None or not secrets_file.exists():
        return {}
    try:
        content = json.loads(secrets_file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(f"{secrets_file} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise ConfigurationError(
            f"{secrets_file} is not valid JSON: {error}.\n"
            "Compare it with secrets.json.example: names and texts are in double quotes, "
            "and there is a comma between two entries but none after the last."
        ) from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{secrets_file} must contain one JSON object: {{ … }}.")
    return {name: value for name, value in content.items() if value not in ("", None)}


def _contradictions(config: Config) -> Iterator[tuple[str, str]]:
    """Values that are valid alone but not together: (name, what is wrong)."""
    if config.DEBUG:
        public = [host for host in config.ALLOWED_HOSTS if not mail_conf.is_loopback(_bare(host))]
        if not mail_conf.is_loopback(config.site_host):
            yield "SITE_URL", "with DEBUG, which shows everybody's mail, it must be this machine's"
        elif public:
            what = (
                "with DEBUG, which shows everybody's mail, only names of this machine are allowed"
            )
            yield "ALLOWED_HOSTS", what
    else:
        if any(host.strip() == "*" for host in config.ALLOWED_HOSTS):
            yield "ALLOWED_HOSTS", "'*' lets anybody choose the host name of this site"
        if not config.https and not mail_conf.is_loopback(config.site_host):
            yield "SITE_URL", "passwords must not travel over plain http: use https"
        if config.EMAIL_SERVICE is None:
            yield "EMAIL_SERVICE", "is missing: without it no mail can leave"
    if len(set(config.SECRET_KEY)) < 5:
        yield "SECRET_KEY", "is not random"
    if any(len(key) < SECRET_KEY_MIN_CHARACTERS for key in config.SECRET_KEY_FALLBACKS):
        what = f"has a key of less than {SECRET_KEY_MIN_CHARACTERS} characters"
        yield "SECRET_KEY_FALLBACKS", what
    if config.MAIL_ENGINE == "celery" and not config.CELERY_BROKER_URL:
        yield "CELERY_BROKER_URL", "is missing: MAIL_ENGINE=celery needs a broker"
    if config.EMAIL_SERVICE:
        for found in mail_conf.findings(config):
            if found.is_error:
                yield found.name, found.what


def _bare(host: str) -> str:
    """Without the brackets of an IPv6 address; the domain, where all names below it are meant."""
    return host.strip().strip("[]").removeprefix(".")


def _explain(name: str, detail: Any) -> str:
    """An error of pydantic's, for a reader who has never heard of pydantic."""
    kind = detail["type"]
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(name.upper(), Config.model_fields, n=1)
        return f"is not a name this site knows{f': did you mean {near[0]}?' if near else ''}"
    if name == "SECRET_KEY" and kind == "string_too_short":
        return f"is too short: {SECRET_KEY_MIN_CHARACTERS} characters or more"
    if kind in ("bool_parsing", "bool_type"):
        message = "must be true or false"
    elif kind in ("int_parsing", "int_type", "int_from_float"):
        message = "must be a whole number"
    else:
        message = str(detail["msg"]).removeprefix("Value error, ")
        message = message.replace("Input should be", "must be")
    # Secrets never appear on a screen or in a log.
    secret = any(word in name for word in ("KEY", "PASSWORD", "URL", "TOKEN"))
    return message if secret else f"{message} (it is {detail['input']!r})"


def _report(mistakes: dict[str, str], secrets_file: Path | None) -> str:
    where = f"{secrets_file} or the environment" if secrets_file else "the environment"
    lines = [f"The configuration is not right yet. Fix these in {where}:"]
    for name, what in sorted(mistakes.items()):
        lines.append(f"\n  {name}: {what}{'' if what.endswith('?') else '.'}")
        if name in EXAMPLES:
            lines.append(f"      for example: {EXAMPLES[name]}")
    return "\n".join(lines)
