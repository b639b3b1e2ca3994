"""Chromium, as a visitor uses it: every page checked for its language, console and company.

With `mouse=False` all is done by the keyboard: what Tab does not reach is not there.
"""

import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect

from tests.e2e.sites import Site
from tests.e2e.visitor import PASSWORD, address_of
from tests.servers import PATIENCE

expect.set_options(timeout=PATIENCE * 1000)

# What a browser of this language sends, by the code that the site has for it.
LOCALES = {"ko": "ko-KR", "en": "en-US", "zh-hant": "zh-TW"}
# Debian's. The one that has no window draws the same with two thirds of the CPU.
PROGRAMS = ("chromium-headless-shell", "chromium")
CHROMIUM_ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


STOPS = 60  # of Tab; no page of ours has as many
SHOWS_FOCUS = """(() => {
  const one = document.activeElement, style = getComputedStyle(one);
  return one === document.body || parseFloat(style.outlineWidth) >= 2;
})()"""


def program() -> str | None:
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Reader:
    """One browser profile with one window on the site."""

    def __init__(
        self,
        browser: Browser,
        site: Site,
        language: str = "en",
        *,
        width: int = 1024,
        mouse: bool = True,
        **options: Any,
    ) -> None:
        self.site = site
        self.mouse = mouse
        self.language = language
        self.problems: list[str] = []  # what no page of ours may do; asserted at the end
        self.context = browser.new_context(
            locale=LOCALES[language], viewport={"width": width, "height": 800}, **options
        )
        self.context.set_default_timeout(PATIENCE * 1000)
        self.page: Page = self.context.new_page()
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.problems.append(f"script error: {error}"))
        self.page.on("request", self._requested)

    def _heard(self, message: ConsoleMessage) -> None:
        # Violations of the Content-Security-Policy are errors here, without scripts too.
        if message.type in ("error", "warning"):
            self.problems.append(f"{self.page.url}: console {message.type}: {message.text}")

    def _requested(self, request: Request) -> None:
        if not request.url.startswith((f"{self.site.url}/", "data:")):
            self.problems.append(f"{self.page.url} asks {request.url}")

    def open(self, address: str) -> None:
        self.page.goto(address if "://" in address else f"{self.site.url}{address}")

    def fill(self, **fields: str) -> None:
        for name, value in fields.items():
            if self.mouse:
                self.page.fill(f"#id_{name}", value)
            else:
                self.tab_to(f"#id_{name}")
                self.page.keyboard.insert_text(value)

    def agree(self) -> None:
        for box in ("terms", "privacy"):
            if self.mouse:
                self.page.check(f"#id_{box}")
            else:
                self.tab_to(f"#id_{box}")
                self.page.keyboard.press("Space")

    def click(self, what: str) -> None:
        """Clicks what leads to a page, and waits until that is there with its styles."""
        if not self.mouse:
            self.tab_to(what)
        with self.page.expect_navigation():
            if self.mouse:
                self.page.click(what)
            else:
                self.page.keyboard.press("Enter")

    def tab_to(self, what: str) -> None:
        """From where the focus is, once around the page at most; each stop of it shows."""
        element, seen = self.page.locator(what).first, 0
        while not element.evaluate("(one) => one === document.activeElement"):
            seen += 1
            assert seen < STOPS, f"{self.page.url}: Tab does not reach {what}"
            self.page.keyboard.press("Tab")
            assert self.page.evaluate(SHOWS_FOCUS), self.page.evaluate(
                "document.activeElement.outerHTML"
            )

    def submit(self) -> None:
        """The button of the form that the page is about."""
        self.click("main form.panel .actions button")

    def follow(self, href: str, within: str = "main") -> None:
        self.click(f'{within} a[href="{href}"]')

    def is_at(self, path: str) -> None:
        """On this page, in this reader's language. A path that ends in `*` may go on."""
        here = urlsplit(self.page.url).path
        assert here == path or (path.endswith("*") and here.startswith(path[:-1])), here
        expect(self.page.locator("html")).to_have_attribute("lang", self.language)
        expect(self.page.locator("h1")).to_have_count(1)

    def is_signed_in_as(self, name: str) -> None:
        expect(self.page.locator(".site-nav")).to_contain_text(name)
        expect(self.page.locator("main h1")).to_contain_text(name)

    def register(self, user_id: str, name: str = "") -> None:
        self.open("/users/register/")
        self.fill(user_id=user_id, name=name or user_id.title(), email=address_of(user_id))
        self.fill(password=PASSWORD)
        self.agree()
        self.submit()
        self.is_at("/users/register/success/")

    def sign_in(self, user_id: str, password: str) -> None:
        self.open("/users/login/")
        self.fill(username=user_id, password=password)
        self.submit()

    def sign_out(self) -> None:
        self.click(".site-nav form button")
        self.is_at("/")
        expect(self.page.locator('.site-nav a[href="/users/login/"]')).to_be_visible()

    def overflow(self) -> int:
        """How many pixels of the page stick out to the right."""
        return self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )

    def resize(self, width: int) -> None:
        self.page.set_viewport_size({"width": width, "height": 800})

    def photograph(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=file, full_page=True)
