"""A small project for each of the others (BENCH_WAY), as its documents set it up."""

import os
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

WAY = os.environ["BENCH_WAY"]
SECRET_KEY = "nobody else reads what this signs, and it goes with the bench"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "bench.peers.urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# A hash is slow on purpose: the same quick one for everybody, so that the rest can be seen.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

DATABASE = urlsplit(os.environ["DATABASE_URL"])
IS_SQLITE = DATABASE.scheme == "sqlite"
DATABASES = {
    "default": {
        "ENGINE": f"django.db.backends.{'sqlite3' if IS_SQLITE else 'postgresql'}",
        "NAME": DATABASE.path[1:],
        "HOST": DATABASE.hostname or "",
        "PORT": DATABASE.port or "",
        "USER": DATABASE.username or "",
        "CONN_MAX_AGE": 60,
        # Ours are the same: without them the others would only meet "database is locked".
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
        if IS_SQLITE
        else {},
    }
}
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
LOGIN_REDIRECT_URL = "/"

EMAIL_HOST, EMAIL_PORT = "127.0.0.1", int(os.environ["EMAIL_PORT"])
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = "noreply@cs.example.ac.kr"

if WAY == "allauth":
    INSTALLED_APPS += ["allauth", "allauth.account"]
    MIDDLEWARE.append("allauth.account.middleware.AccountMiddleware")
    AUTHENTICATION_BACKENDS = [
        "django.contrib.auth.backends.ModelBackend",
        "allauth.account.auth_backends.AuthenticationBackend",
    ]
    ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    ACCOUNT_SIGNUP_FIELDS = ["email*", "username*", "password1*"]
    ACCOUNT_RATE_LIMITS = False  # as ours are lifted: all visitors of a bench are one machine
if WAY == "registration":
    INSTALLED_APPS.append("django_registration")
    ACCOUNT_ACTIVATION_DAYS = 1
    LOGIN_URL = "/accounts/login/"
if WAY.startswith("django-mailer"):
    INSTALLED_APPS.append("mailer")
    EMAIL_BACKEND = "mailer.backend.DbBackend"
    MAILER_LOCK_PATH = os.environ.get("BENCH_LOCK", "send_mail")
    MAILER_USE_FILE_LOCK = "without" not in WAY  # a setting of its own
if WAY == "django-post-office":
    INSTALLED_APPS.append("post_office")
    EMAIL_BACKEND = "post_office.EmailBackend"
    # Without these, which its documents show, one failure is the end.
    POST_OFFICE = {
        "MAX_RETRIES": 4,
        "RETRY_INTERVAL": timedelta(minutes=15),
        "LOCK_FILE_NAME": os.environ.get("BENCH_LOCK", "post_office"),
    }
if WAY == "django-tasks":
    INSTALLED_APPS += ["django_tasks", "django_tasks_db"]
    TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
