"""Rubbish in every parameter, header and cookie of every URL: whatever is in a request, the answer
is no 500. Over a socket, with servers and both databases: `e2e/test_rubbish.py`.

It is bounded here; CRAWLER_REQUESTS=20000 lets it run for longer, CRAWLER_SEED repeats a run.
"""

import os
import traceback
from typing import Any

import pytest
from django.contrib import admin
from django.core.cache import cache
from django.db import transaction
from django.test import Client

from tests.conftest import PASSWORD
from tests.crawler import TOPIC, Crawler, Stage, stage
from users.models import User

REQUESTS = int(os.environ.get("CRAWLER_REQUESTS", "500"))
SEED = int(os.environ.get("CRAWLER_SEED", "7"))


@pytest.fixture
def people(db: None, cast: Any) -> dict[str, User]:
    root = User.objects.create_superuser("root", "root@example.com", PASSWORD)
    return {"staff": root, "member": cast("alice"), "waiting": cast("bob", "waiting")}


def browsers_of(people: dict[str, User], found: Stage) -> dict[str, Client]:
    browsers = {name: Client(raise_request_exception=False) for name in (*people, "nobody")}
    for name in ("staff", "member"):
        browsers[name].force_login(people[name])
    for link in found.links:
        browsers["waiting"].get(link)
    return browsers


def send(browser: Client, request: dict[str, Any]) -> Any:
    path, query = request["path"], request.get("query", "")
    return browser.generic(
        request["method"],
        path,
        request.get("data", "").encode("utf-8", "surrogatepass"),
        content_type=request.get("content_type", ""),
        headers=request["headers"],
        QUERY_STRING=query,
    )


def test_rubbish_is_no_500(people: dict[str, User], settings: Any) -> None:
    settings.AWS_SNS_EVENT_TRUSTED_TOPIC_ARNS = [TOPIC]
    settings.FORMS_PER_NETWORK_LIMIT = 10**9
    found, broken = stage(people), dict[str, str]()
    crawler = Crawler(found, SEED)
    browsers, before = browsers_of(people, found), transaction.savepoint()
    for number in range(REQUESTS):
        if number % 200 == 199:  # some of it signs out, deletes people, and fills the cache
            transaction.savepoint_rollback(before)
            browsers, before = browsers_of(people, found), transaction.savepoint()
            settings.TRUSTED_PROXIES = crawler.chance.choice([0, 1, 2])
            cache.clear()
        who = crawler.chance.choice(list(browsers))
        request = crawler.request(who)
        browser = browsers[who]
        cookies = browser.cookies.copy()
        response = send(browser, request)
        browser.cookies = cookies if "cookie" in request["headers"] else browser.cookies
        if response.status_code >= 500:
            error = traceback.format_exception(response.exc_info[1])[-3:]
            broken.setdefault("".join(error)[-600:], f"{who}: {request}"[:600])
    assert not broken, "\n".join(f"{request}\n{error}" for error, request in broken.items())


def test_the_crawler_knows_every_list_of_the_admin(people: dict[str, User]) -> None:
    """Or it would show nothing about them."""
    found = Crawler(stage(people), SEED).routes
    for model in admin.site._registry:
        label = f"admin/{model._meta.app_label}/{model._meta.model_name}/"
        assert label in found
    seen = {Client().get(f"/{route}").status_code for route in found if "<" not in route}
    assert seen >= {200, 302}
