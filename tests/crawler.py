"""A crawler that makes requests of rubbish for every URL, as a stranger, a member and staff."""

import random
import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from mail.models import Attempt, Mail, Report, Suppression
from tests.conftest import activation_link, registration, reset_link, uid
from users.models import User

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
    "user_id", "name", "email", "password", "terms", "privacy", "username", "language",
    "next", "new_password", "old_password", "csrfmiddlewaretoken", "q", "o",
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


class Stage(NamedTuple):
    """What there is to be found: ids, and links that work."""

    known: list[str]
    links: list[str]


def stage(people: dict[str, User]) -> Stage:
    """A row of everything that has a page, beside these people."""
    mail = Mail.objects.create(letter="register", user=people["waiting"], language="en")
    Attempt.objects.create(mail=mail, number=1, what="x")
    row = Suppression.objects.create(address="x@example.com", reason="declined")
    fault = Report.objects.create(fault="x", notified_at=timezone.now())
    known = [uid(p) for p in people.values()] + [str(p.pk) for p in people.values()]
    known += [str(mail.pk), str(row.pk), str(fault.pk)]
    return Stage(known, [activation_link(people["waiting"]), reset_link(people["member"])])


class Crawler:
    def __init__(self, stage: Stage, seed: int) -> None:
        self.chance = random.Random(seed)
        self.known, self.links = stage.known, stage.links
        self.routes = sorted(set(routes(get_resolver().url_patterns)))

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
