"""A crawler that sends rubbish in every parameter, header and cookie of every URL, as a stranger,
a member and staff: whatever is in a request, the answer is no 500.

It is bounded here; CRAWLER_REQUESTS=20000 lets it run for longer, CRAWLER_SEED repeats a run.
"""

import os
import random
import re
import traceback
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.contrib import admin
from django.core.cache import cache
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from mail.models import Attempt, Mail, Report, Suppression
from tests.conftest import PASSWORD, activation_link, registration, reset_link, uid
from users.models import User

REQUESTS = int(os.environ.get("CRAWLER_REQUESTS", "2000"))
SEED = int(os.environ.get("CRAWLER_SEED", "7"))
TOPIC = "arn:aws:sns:ap-northeast-2:123456789012:ses-events"

RUBBISH = [
    "", " ", "0", "1", "-1", "1.5", "99999999999999999999", "9" * 400, "1e999", "NaN", "null",
    "true", "\0", "a\0b", "\ud800", "\ufffe", "\x1b[31m", "a\r\nSet-Cookie: a=b", "🐴", "İ", "ß",
    "ㅋ" * 300, "x" * 5000, "%", "%00", "%s", "%(x)s", "{}", "{{ x }}", "{% x %}", "'", '"',
    "';--", "\\", "<b>", "(", "[", "[" * 2000, "*", ".", "..", "../../etc/passwd", "/", "//",
    "//evil.example", "?", "#", "javascript:alert(1)", "_0", "_00", "__", "on", "2026", "0000",
    "10000", "2026-02-30", "a@b", "a@" + "b." * 120 + "c", '"a b"@c.kr', "root@[::1]", "ko", "en",
    "::1", "fe80::1%x", "1.2.3.4:5", "00000000-0000-0000-0000-000000000000",
    "{00000000-0000-0000-0000-000000000000}", "open", "dicv5b-0123456789abcdef0123456789abcdef",
    "a:b:c", "é:é:é", "a,b,c", "__all__", "id", "pk",
]  # fmt: skip
# Of the forms, of the lists of the admin, of Django itself.
NAMES = [
    "user_id", "name", "email", "password", "password1", "password2", "username", "language",
    "next", "new_password1", "new_password2", "old_password", "csrfmiddlewaretoken", "q", "o",
    "p", "e", "all", "level", "level__exact", "level__isnull", "department", "department__isnull",
    "is_staff__exact", "state", "state__exact", "letter", "priority__exact", "reason__exact",
    "created_at__year", "created_at__month", "created_at__day", "created_at__gte", "level__regex",
    "name__iregex", "args__contains", "user__email__contains", "password__startswith",
    "created_at__year__gt", "id", "id__in", "_popup", "_to_field", "_changelist_filters",
    "_facets", "action", "_selected_action", "select_across", "index", "post", "_save",
    "is_superuser", "user_permissions", "until_0", "app_label", "model_name", "field_name",
    "term", "timeline-TOTAL_FORMS", "mails-TOTAL_FORMS", "mails-INITIAL_FORMS", "DELETE", "\0",
    "x" * 300,
]  # fmt: skip
LOOKUPS = [name for name in NAMES if "__" in name] + ["q", "o", "p", "e", "state", "level"]
LIST = r"admin/\w+/\w+/"
ACTIONS = ["resend_activation", "disable", "send_again", "cancel", "clear", "delete_selected", "x"]
HEADERS = [
    "accept", "accept-language", "accept-encoding", "content-type", "cookie", "host", "origin",
    "referer", "user-agent", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host",
    "forwarded", "if-modified-since", "if-none-match", "range", "x-requested-with", "x-csrftoken",
    "content-length", "x-http-method-override", "authorization",
]  # fmt: skip
COOKIES = ["sessionid", "csrftoken", "django_language", "link_token", "messages", "x"]
KINDS = [
    "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json",
    "text/plain; charset=utf-8", "multipart/form-data", "", "x",
]  # fmt: skip
METHODS = ["get"] * 5 + ["post"] * 4 + ["head", "options", "put", "patch", "delete", "trace"]


def routes(patterns: Any, before: str = "") -> Iterator[str]:
    """Every URL, with `<name>` or an expression's group where something is filled in."""
    for pattern in patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            yield route


@pytest.fixture
def people(db: None, cast: Any) -> dict[str, User]:
    root = User.objects.create_superuser("root", "root@example.com", PASSWORD)
    return {"staff": root, "member": cast("alice"), "waiting": cast("bob", "waiting")}


class Crawler:
    def __init__(self, people: dict[str, User], seed: int) -> None:
        self.chance = random.Random(seed)
        self.people = people
        self.routes = sorted(set(routes(get_resolver().url_patterns)))
        mail = Mail.objects.create(letter="register", user=people["waiting"], language="en")
        Attempt.objects.create(mail=mail, number=1, what="x")
        row = Suppression.objects.create(address="x@example.com", reason="declined")
        fault = Report.objects.create(fault="x", notified_at=timezone.now())
        self.known = [uid(p) for p in people.values()] + [str(p.pk) for p in people.values()]
        self.known += [str(mail.pk), str(row.pk), str(fault.pk)]
        self.links = [activation_link(people["waiting"]), reset_link(people["member"])]

    def browsers(self) -> dict[str, Client]:
        browsers = {
            name: Client(raise_request_exception=False) for name in (*self.people, "nobody")
        }
        for name in ("staff", "member"):
            browsers[name].force_login(self.people[name])
        for link in self.links:
            browsers["waiting"].get(link)
        return browsers

    def word(self) -> str:
        return self.chance.choice(RUBBISH if self.chance.random() < 0.8 else self.known)

    def path(self) -> str:
        if self.chance.random() < 0.05:
            return self.chance.choice(self.links)
        route, path = self.chance.choice(self.routes).replace("^", "").replace("$", ""), ""
        while "<" in route:
            start, _, rest = route.partition("<")
            _, _, route = rest.partition(">")
            filled = self.chance.choice(self.known) if self.chance.random() < 0.6 else self.word()
            path += start + quote(filled.encode("utf-8", "surrogatepass"), safe="")
        path += route
        return "/" + path.replace("(?P", "").replace("(?:", "").replace("|", "/").replace(")", "")

    def fields(self) -> dict[str, Any]:
        names = self.chance.sample(NAMES, self.chance.randint(0, 5))
        fields: dict[str, Any] = {name: self.word() for name in names}
        if self.chance.random() < 0.2:
            fields = {**registration(user_id=f"u{self.chance.random()}"[:20]), **fields}
        if self.chance.random() < 0.1:
            fields |= {"action": self.chance.choice(ACTIONS)}
            fields |= {"_selected_action": [self.word(), self.word()]}
        return fields

    def encoded(self, fields: dict[str, Any]) -> str:
        return urlencode(fields, doseq=True, errors="surrogatepass")

    def question(self) -> dict[str, Any]:
        """What staff may ask a list of the admin: where most can go wrong, so asked more often."""
        route = "/" + self.chance.choice([r for r in self.routes if re.fullmatch(LIST, r)])
        if self.chance.random() < 0.2:
            typed = {"action": self.chance.choice(ACTIONS), "_selected_action": self.word()}
            kind = {"content_type": KINDS[0], "data": self.encoded(typed)}
            return {"method": "POST", "path": route, "headers": {}, **kind}
        names = self.chance.sample(LOOKUPS, self.chance.choice([1, 1, 1, 2, 3]))
        query = self.encoded({name: self.word() for name in names})
        return {"method": "GET", "path": route, "headers": {}, "query": query}

    def request(self, who: str) -> dict[str, Any]:
        """One request, as what the test client is called with."""
        if who == "staff" and self.chance.random() < 0.6:
            return self.question()
        method, chance = self.chance.choice(METHODS), self.chance
        request: dict[str, Any] = {"method": method.upper(), "path": self.path()}
        if chance.random() < 0.7:
            request["query"] = self.encoded(self.fields())
        if method not in ("get", "head", "trace"):
            kind, fields = chance.choice([KINDS[0]] * 5 + KINDS), self.fields()
            request["content_type"] = kind
            request["data"] = self.encoded(fields) if chance.random() < 0.9 else self.word() * 3
        request["headers"] = {
            name: latin(self.word()) for name in chance.sample(HEADERS, chance.choice([0, 0, 1, 2]))
        }
        request["headers"].pop("content-length", None)  # a server refuses one that is wrong
        if chance.random() < 0.3:
            cookies = chance.sample(COOKIES, 2)
            request["headers"]["cookie"] = "; ".join(f"{c}={latin(self.word())}" for c in cookies)
        return request


def latin(text: str) -> str:
    """As a server hands a header over: bytes that it takes for Latin-1, on one line."""
    raw = text.encode("utf-8", "surrogatepass").translate(None, b"\r\n\0")
    return raw.decode("latin-1")


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
    crawler, broken = Crawler(people, SEED), dict[str, str]()
    browsers, before = crawler.browsers(), transaction.savepoint()
    for number in range(REQUESTS):
        if number % 200 == 199:  # some of it signs out, deletes people, and fills the cache
            transaction.savepoint_rollback(before)
            browsers, before = crawler.browsers(), transaction.savepoint()
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
    found = Crawler(people, SEED).routes
    for model in admin.site._registry:
        label = f"admin/{model._meta.app_label}/{model._meta.model_name}/"
        assert label in found
    seen = {Client().get(f"/{route}").status_code for route in found if "<" not in route}
    assert seen >= {200, 302}
