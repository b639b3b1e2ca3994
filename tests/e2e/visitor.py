"""A visitor without a browser: cookies, forms with their CSRF token, redirects."""

import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.cookiejar import CookieJar
from urllib.parse import urlencode, urljoin, urlsplit

from tests.e2e.sites import Site

CSRF = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
PASSWORD = "correct-horse-battery"
NEW_PASSWORD = "staple-horse-correct"
SECONDS = 60  # for an answer; whoever has not got one by then waits in vain


@dataclass
class Answer:
    status: int
    path: str
    text: str


class Visitor:
    def __init__(self, site: Site, language: str = "en") -> None:
        self.site = site
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar())
        )
        self._opener.addheaders = [("Accept-Language", language)]

    def get(self, address: str) -> Answer:
        """The page, after all redirects. An address may be a path or a whole link."""
        return self._open(address, None)

    def post(self, address: str, **fields: str) -> Answer:
        """Opens the page with the form, fills it in and sends it."""
        page = self.get(address)
        token = CSRF.search(page.text)
        assert token, f"no form on {page.path} ({page.status})"
        return self._open(page.path, {"csrfmiddlewaretoken": token[1], **fields})

    def register(self, user_id: str) -> Answer:
        return self.post(
            "/users/register/",
            user_id=user_id,
            name=user_id.title(),
            email=address_of(user_id),
            password=PASSWORD,
            terms="on",
            privacy="on",
        )

    def sign_in(self, user_id: str, password: str) -> Answer:
        return self.post("/users/login/", username=user_id, password=password)

    def _open(self, address: str, fields: dict[str, str] | None) -> Answer:
        data = None if fields is None else urlencode(fields).encode()
        try:
            response = self._opener.open(urljoin(self.site.url, address), data, SECONDS)
        except urllib.error.HTTPError as error:
            response = error  # an answer like every other
        with response:
            text = response.read().decode()
            return Answer(response.status, urlsplit(response.url).path, text)


def address_of(user_id: str) -> str:
    return f"{user_id}@example.com"
