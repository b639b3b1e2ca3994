"""Django's settings. What an operator may choose comes from `config`; the rest is decided here."""

import os
import ssl
import sys
from pathlib import Path
from typing import Any

import dj_database_url
from django.utils.translation import gettext_lazy as _

from cs_web import config
from mail import conf as mail_conf

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"  # all that the running site writes: SQLite, the mailbox

try:
    conf = config.load(BASE_DIR / "secrets.json")
except config.ConfigurationError as error:
    # The reader is an operator, not a programmer: the message is all they need.
    sys.exit(f"\n{error}\n")

# Whatever this process writes (the database, mail in development) is not for everybody who has an
# account on the machine.
os.umask(0o027 | os.umask(0o027))
VAR_DIR.mkdir(exist_ok=True)

# The site

DEBUG = conf.DEBUG
SECRET_KEY = conf.SECRET_KEY
SECRET_KEY_FALLBACKS = conf.SECRET_KEY_FALLBACKS
SITE_URL = conf.SITE_URL
ALLOWED_HOSTS = conf.ALLOWED_HOSTS
ADMINS = conf.ADMINS
SITE_NAME = conf.SITE_NAME  # by language
SITE_LOGO = conf.SITE_LOGO
ACCENT_COLOR, OUR_ACCENT_COLOR = conf.ACCENT_COLOR, config.OUR_ACCENT_COLOR
CONSENT_VERSION = "2026-11-21"  # of templates/terms.html and privacy.html; kept with each consent
OFFICE_ADDRESS = conf.OFFICE_ADDRESS
OFFICE_PHONE = conf.OFFICE_PHONE
OFFICE_EMAIL = conf.OFFICE_EMAIL
ROOT_URLCONF = "cs_web.urls"
WSGI_APPLICATION = "cs_web.wsgi.application"

INSTALLED_APPS = [
    "cs_web.apps.CarefulAdminConfig",  # django.contrib.admin
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "mail",
    "users",
    "cs_web",
    "django.contrib.staticfiles",  # below cs_web, whose runserver wins
]

MIDDLEWARE = [
    "cs_web.middleware.front_door",
    "cs_web.middleware.read_plainly",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "cs_web.middleware.personal",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "cs_web.middleware.method_not_allowed",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "users.context.page",
                "mail.api.mailbox_context",
            ],
        },
    },
]

# Storage

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES: dict[str, Any] = {
    "default": dj_database_url.parse(
        conf.DATABASE_URL or f"sqlite:///{VAR_DIR / 'db.sqlite3'}",
        conn_max_age=60,
        conn_health_checks=True,
    )
}
# Django's own, but for how long anybody waits for them.
ENGINE = DATABASES["default"]["ENGINE"].replace("django.db.backends", "cs_web.databases")
DATABASES["default"]["ENGINE"] = ENGINE
if ENGINE == "cs_web.databases.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        # Writers wait at BEGIN instead of failing at their first write; readers never wait.
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }

CACHES: dict[str, Any]
if conf.CACHE_URL.startswith("redis"):
    CACHES = {
        "default": {
            "BACKEND": "cs_web.caches.Redis",
            "LOCATION": conf.CACHE_URL,
        }
    }
else:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

# People

AUTH_USER_MODEL = "users.User"
AUTHENTICATION_BACKENDS = ["users.backends.UserIdOrAddressBackend"]
PASSWORD_HASHERS = ["users.hashing.Argon2", "users.hashing.PBKDF2"]  # the second for old hashes
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("user_id", "email", "name")},
    },
    {"NAME": "users.passwords.BreachedPasswordValidator"},
    {"NAME": "users.passwords.ContextWordValidator"},
]
BREACHED_PASSWORDS_URL = conf.BREACHED_PASSWORDS_URL  # empty: nobody is asked
LOGIN_URL = "users:login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "home"
SIGN_INS_PER_NETWORK_LIMIT = conf.SIGN_INS_PER_NETWORK_LIMIT  # wrong passwords, in an hour
DEVICE_COOKIE_NAME = "device"

# Lifetimes of links, in seconds. Django's default_token_generator reads PASSWORD_RESET_TIMEOUT.
PASSWORD_RESET_TIMEOUT = ACTIVATION_TIMEOUT = 24 * 60 * 60
RESET_TIMEOUT = 30 * 60

# Mail

DEFAULT_FROM_EMAIL = SERVER_EMAIL = conf.DEFAULT_FROM_EMAIL
EMAIL_REPLY_TO = conf.EMAIL_REPLY_TO
EMAIL_SERVICE = conf.EMAIL_SERVICE
EMAIL_BACKEND = mail_conf.SERVICES[str(EMAIL_SERVICE)].backend
EMAIL_HOST = conf.EMAIL_HOST
EMAIL_PORT = conf.EMAIL_PORT
EMAIL_USE_TLS = conf.EMAIL_USE_TLS
EMAIL_USE_SSL = conf.EMAIL_USE_SSL
EMAIL_HOST_USER = conf.EMAIL_HOST_USER
EMAIL_HOST_PASSWORD = conf.EMAIL_HOST_PASSWORD
EMAIL_TIMEOUT = conf.EMAIL_TIMEOUT
EMAIL_SUBJECT_PREFIX = "[cs_web] "
MAILBOX_DIR = VAR_DIR / "mailbox"  # where EMAIL_SERVICE=file puts its messages

# Events of SES are accepted from this SNS topic only.
AWS_SNS_EVENT_TRUSTED_TOPIC_ARNS = [conf.AWS_SNS_TOPIC_ARN] if conf.AWS_SNS_TOPIC_ARN else []

if EMAIL_SERVICE == "ses":
    from botocore.config import Config as BotoConfig

    USE_SES_V2 = True
    AWS_SES_REGION_NAME = conf.AWS_SES_REGION_NAME
    AWS_SES_REGION_ENDPOINT_URL = conf.AWS_SES_REGION_ENDPOINT_URL or (
        f"https://email.{conf.AWS_SES_REGION_NAME}.amazonaws.com"
    )
    AWS_ACCESS_KEY_ID = conf.AWS_ACCESS_KEY_ID or None
    AWS_SECRET_ACCESS_KEY = conf.AWS_SECRET_ACCESS_KEY or None
    AWS_SES_CONFIGURATION_SET = conf.AWS_SES_CONFIGURATION_SET or None
    AWS_SES_AUTO_THROTTLE = None  # it sleeps inside send; the queue retries instead
    AWS_SES_CONFIG = BotoConfig(
        connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 1}
    )

EMAIL_DAILY_LIMIT = conf.EMAIL_DAILY_LIMIT  # messages in 24 hours; 0: no limit of ours
EMAIL_PER_ADDRESS_LIMIT = conf.EMAIL_PER_ADDRESS_LIMIT  # of a letter to an address, in 24 hours
EMAIL_PER_NETWORK_LIMIT = conf.EMAIL_PER_NETWORK_LIMIT  # that one network causes, in 24 hours
FORMS_PER_NETWORK_LIMIT = conf.FORMS_PER_NETWORK_LIMIT  # forms that send mail, in an hour

MAIL_THREADS = conf.MAIL_THREADS
MAIL_THREADS_AT_MOST = conf.MAIL_THREADS_AT_MOST
MAIL_ENGINE, MAIL_BESIDE = conf.MAIL_ENGINE, conf.MAIL_BESIDE

if MAIL_ENGINE == "celery":
    from kombu import Exchange, Queue

    MAIL_CELERY_APP = "cs_web.celery.app"
    CELERY_BROKER_URL = conf.CELERY_BROKER_URL
    CELERY_BROKER_CONNECTION_TIMEOUT = 1  # second: a visitor may be waiting
    if CELERY_BROKER_URL.startswith("amqp"):
        CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {
            "confirm_publish": True,
            "read_timeout": 1,
            "write_timeout": 1,
        }
        # A hint that a killed worker had received goes to another one.
        CELERY_TASK_ACKS_LATE = CELERY_TASK_REJECT_ON_WORKER_LOST = True
    else:
        CELERY_BROKER_TRANSPORT_OPTIONS = {
            "socket_connect_timeout": 1,
            "socket_timeout": 1,
            # A hint that a killed worker had received is lost, and a sweep finds the row. Kombu's
            # own redelivery takes longer, and kills workers when Redis restarts (kombu 5.7).
            "ack_emulation": False,
        }
        if CELERY_BROKER_URL.startswith("rediss:"):  # kombu would accept any certificate
            CELERY_BROKER_USE_SSL = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    # A new connection for each hint costs a few milliseconds, and is never one that the broker, a
    # firewall or a fork has closed.
    CELERY_BROKER_POOL_LIMIT = 0
    CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # workers reconnect for ever
    CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
    CELERY_TASK_QUEUES = [
        Queue(
            name,
            Exchange("mail", type="topic"),
            routing_key=name,
            queue_arguments={"x-queue-type": "quorum"},
        )
        for name in ("mail", "mail-sweep")
    ]
    CELERY_TASK_DEFAULT_QUEUE = "mail"
    CELERY_TASK_IGNORE_RESULT = True
    CELERY_WORKER_CONCURRENCY = conf.MAIL_THREADS
    CELERY_WORKER_PREFETCH_MULTIPLIER = 1
    CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
    CELERY_WORKER_ENABLE_REMOTE_CONTROL = False  # the broker delivers hints, not commands
    CELERY_BEAT_SCHEDULER = "celery.beat.Scheduler"  # it has nothing to remember
    CELERY_BEAT_SCHEDULE = {
        "sweep": {
            "task": "mail.sweep",
            "schedule": 5,  # seconds
            "options": {"queue": "mail-sweep", "expires": 5},
        }
    }

# Languages

LANGUAGE_CODE = conf.LANGUAGE_CODE
LANGUAGES = [("ko", _("Korean")), ("en", _("English")), ("zh-hant", _("Traditional Chinese"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
LANGUAGE_COOKIE_AGE = 365 * 24 * 60 * 60
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
TIME_ZONE = "Asia/Seoul"
USE_I18N = True
USE_TZ = True
FORMAT_MODULE_PATH = ["cs_web.formats"]  # the time of day with its zone, "오후" before it

# Static files

STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# Security

TRUSTED_PROXIES = conf.TRUSTED_PROXIES
HEALTH_TOKEN = conf.HEALTH_TOKEN  # with it, /healthz shows a monitor the details
CSRF_FAILURE_VIEW = "users.views.errors.csrf_failure"
CSRF_COOKIE_HTTPONLY = True
# The ends of a session are in cs_web.sessions; this is for browsers that are not signed in.
SESSION_ENGINE = "users.visitors"
SESSION_COOKIE_AGE = conf.SESSION_HOURS * 60 * 60
SESSION_HOURS, SESSION_IDLE_HOURS = conf.SESSION_HOURS, conf.SESSION_IDLE_HOURS
STAFF_SESSION_HOURS = conf.STAFF_SESSION_HOURS
STAFF_SESSION_IDLE_HOURS = conf.STAFF_SESSION_IDLE_HOURS
# Not in a cookie of their own, which would lack the __Host- prefix of the others.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
REQUESTED_COOKIE_NAME = "requested"  # users.visitors
LINK_COOKIE_NAME = "link_token"  # what a mailed link has opened (users.views.pages)
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

if conf.https:
    SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = True
    # With __Host-, so that other hosts under the same domain cannot set them.
    SESSION_COOKIE_NAME = "__Host-sessionid"
    CSRF_COOKIE_NAME = "__Host-csrftoken"
    LANGUAGE_COOKIE_NAME = "__Host-language"
    # It has a path of its own, which a __Host- cookie cannot.
    LINK_COOKIE_NAME = "__Secure-link_token"
    DEVICE_COOKIE_NAME = "__Host-device"
    REQUESTED_COOKIE_NAME = "__Host-requested"
if conf.TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

DEFAULT_EXCEPTION_REPORTER_FILTER = "cs_web.logs.NoCookies"
TO_CONSOLE: dict[str, Any] = {"handlers": ["console"], "level": "INFO", "propagate": False}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"one_line": {"()": "cs_web.logs.OneLine", "end": "\n"}},
    "handlers": {
        "console": {"class": "cs_web.logs.Console", "formatter": "one_line"},
        "admins": {"class": "cs_web.logs.AdminReports", "level": "ERROR"},
    },
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        "django": TO_CONSOLE,
        "django.request": {
            "handlers": ["console"] if DEBUG else ["console", "admins"],
            "level": "WARNING",
            "propagate": False,
        },
        "django.server": TO_CONSOLE,
        # Instead of the handlers that these servers give them, which print what a stranger sent.
        "uvicorn": TO_CONSOLE,
        "uvicorn.error": TO_CONSOLE,
        "uvicorn.access": TO_CONSOLE,
    },
}
