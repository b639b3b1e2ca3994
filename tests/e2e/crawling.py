"""The stage of a crawler in the database of a running site: at each line of its input a new one.
It prints, as JSON, what there is to be found, and the sessions of who is signed in.

A process of its own, with the site's settings: what was made with another key opens nothing.
"""

import json
import sys
from contextlib import suppress

import django

django.setup()

from django.apps import apps  # noqa: E402
from django.conf import settings  # noqa: E402
from django.test import Client  # noqa: E402

from tests.conftest import PASSWORD  # noqa: E402
from tests.crawler import stage  # noqa: E402
from users import accounts  # noqa: E402
from users.models import User  # noqa: E402

FORGOTTEN = ("LogEntry", "Session", "Mail", "Suppression", "Report", "Alarm", "Tally", "User")


def set_up() -> dict[str, object]:
    for name in FORGOTTEN:
        [model] = [model for model in apps.get_models() if model.__name__ == name]
        model._default_manager.all().delete()
    new = {"password": PASSWORD, "language": "en"}
    waiting = accounts.register(user_id="bob", email="bob@example.com", name="Bob", **new)
    alice = accounts.register(user_id="alice", email="alice@example.com", name="Alice", **new)
    root = User.objects.create_superuser("root", "root@example.com", PASSWORD)
    people = {"staff": root, "member": accounts.activate(alice), "waiting": waiting}
    sessions = {}
    for name in ("staff", "member"):
        browser = Client()
        browser.force_login(people[name])
        sessions[name] = browser.cookies[settings.SESSION_COOKIE_NAME].value
    return {**stage(people)._asdict(), "sessions": sessions}


with suppress(KeyboardInterrupt):
    for _ in sys.stdin:
        print(json.dumps(set_up()), flush=True)
