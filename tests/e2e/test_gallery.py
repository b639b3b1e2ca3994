"""Every state of every page as a browser shows it: for everybody, on every screen, at once.

What brings nothing is left out. A language changes words and not structure or colours, so axe looks
at Korean pages only (at English ones of the admin). English has the longest words, Korean breaks at
spaces only; Chinese is short and breaks anywhere, so its width is left out. Colours do not depend
on the width, so the dark ones are looked at once. The wide page has nothing that the narrow one has
not, but at other places.
"""

import json
import re
from collections.abc import Iterator
from gzip import compress
from html import unescape
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.utils import timezone
from playwright.sync_api import Browser, Route
from playwright.sync_api import Page as Window

from mail.causes import Cause
from mail.models import Mail, State
from mail.queue.letters import samples
from tests import gallery
from tests.e2e import checkers
from tests.e2e.exhibition import STILL, Exhibition
from tests.e2e.test_letters import without_style
from tests.elsewhere import ROOT
from tests.gallery import OF_STAFF, OF_VISITORS, Page, Pages, Stage, stage
from tests.test_letter_score import EACH
from users import accounts
from users.models import User

LOOKED_AT = ("ko", "en")
NARROWEST, PHONE, DESK = 320, 360, 1280  # pixels

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
AXE = """(only) => axe.run({
  runOnly: only, resultTypes: ["violations"], iframes: false, preload: false })
  .then(({ violations }) => violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id}: ${target} ${failureSummary}`)))"""
EVERYTHING, COLOURS = {"type": "tag", "values": TAGS}, ["color-contrast"]
PLACES = ["target-size", "scrollable-region-focusable"]
WATCHED = """window.moved = [];
window.eyes = new PerformanceObserver((list) => moved.push(...list.getEntries()));
eyes.observe({ type: "layout-shift", buffered: true });"""
PAINTED = """new Promise((done) => {
  const painted = () => performance.getEntriesByType("paint").length;
  const whole = () => document.querySelector("footer") && painted();
  const look = () => whole() ? done() : requestAnimationFrame(look);
  look();
})"""
# In the second frame from now on all of this one is known.
MOVED = """new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() =>
  done([...moved, ...eyes.takeRecords()].flatMap(({ value, sources }) =>
    [value, ...sources.map(({ node }) => node?.outerHTML?.slice(0, 80))])))))"""
OPEN = "document.querySelectorAll('details.more').forEach((one) => { one.open = true; })"
LARGE = "(size) => { document.documentElement.style.fontSize = size; }"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# Of each control that shows: whether its edge does, where the colours are the reader's own.
EDGELESS = """() => [...document.querySelectorAll("input, select, textarea, button, .button")]
  .filter((one) => one.getClientRects().length && !one.matches(".link"))
  .filter((one) => !["checkbox", "radio"].includes(one.type))
  .filter((one) => parseFloat(getComputedStyle(one).borderTopWidth) < 1)
  .map((one) => one.outerHTML.slice(0, 80))"""


# For the gallery, which is made once, and not by the tests; so that there is a database.
pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module", autouse=True)
def _beside_playwright() -> Iterator[None]:
    """It has an event loop in this thread, where Django sees one who waits for nobody."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        yield


STATUS = "/users/register/status/"


def every_state(on: Stage) -> Pages:
    """The page of a message that waits, and what it is told of every other state."""
    browser, mail, people = on.register(), Mail.objects.all(), User.objects.all()
    yield "change-waiting", browser.get(gallery.STATUS)
    on.after(gallery.SOON)
    now = timezone.now()
    for name, state, cause, due in [
        ("turn", State.PENDING, Cause.TURN, now),
        ("later", State.PENDING, Cause.DISCONNECTED, now + gallery.MINUTE),
        ("later_with_date", State.PENDING, Cause.DISCONNECTED, now + gallery.DAYS),
        ("held", State.PENDING, Cause.BUDGET, now),
        ("sent", State.SENT, "", now),
        ("failed", State.FAILED, Cause.RECIPIENT, now),
        ("refused", State.REFUSED, Cause.NO_MAILBOX, now),
    ]:
        mail.update(state=state, cause=cause, due=due, attempts=1, sent_at=now)
        yield f"change-{name}", browser.get(STATUS)
    on.after(gallery.DAYS)
    yield "change-expired", browser.get(STATUS)
    on.after(-gallery.DAYS)
    accounts.activate(people.get())
    yield "change-confirmed", browser.get(STATUS)
    people.all().delete()
    yield "change-ended", browser.get(STATUS)


SCRIPTED = {
    "register",
    "login",
    "password_change",
    "register_success-turn",
    "register_success-sent",
}


@pytest.fixture(scope="module")
def seen() -> set[str]:
    """The names of all templates that were rendered for the gallery."""
    return set()


@pytest.fixture(scope="module")
def pages(django_db_setup: None, django_db_blocker: Any, seen: set[str]) -> list[Page]:
    with django_db_blocker.unblock():
        found = [
            page
            for language in LOOKED_AT
            for page in gallery.pages(stage(language, long=True), OF_VISITORS, seen)
        ] + gallery.pages(stage("en"), OF_STAFF, seen)
        for language in gallery.LANGUAGES:
            found += gallery.pages(stage(language), [every_state])
    return found


@pytest.fixture(scope="module")
def exhibition(pages: list[Page]) -> Iterator[Exhibition]:
    with Exhibition(pages) as here:
        yield here


@pytest.fixture
def window(exhibition: Exhibition, chromium: Browser) -> Iterator[Window]:
    context = chromium.new_context(base_url=exhibition.url)
    try:
        yield context.new_page()
    finally:
        context.close()


def of_visitors(pages: list[Page], *languages: str) -> list[Page]:
    others = ("admin-", "change-")
    own = [page for page in pages if not page.is_part and not page.name.startswith(others)]
    return [page for page in own if page.language in languages]


def of_staff(pages: list[Page]) -> list[Page]:
    return [page for page in pages if page.name.startswith("admin-")]


def resize(window: Window, width: int) -> None:
    window.set_viewport_size({"width": width, "height": 800})


def test_every_template_is_in_the_gallery(pages: list[Page], seen: set[str]) -> None:
    folders = (ROOT / "templates", ROOT / "mail" / "templates")
    names = {str(file.relative_to(one)) for one in folders for file in one.rglob("*.html")}
    assert {name for name in names - seen if not name.startswith("mail/")} == set()


def test_axe_finds_nothing(pages: list[Page], window: Window) -> None:
    window.context.add_init_script(STILL)
    window.context.add_init_script(path=checkers.axe())
    found = []
    for page in of_visitors(pages, "ko") + of_staff(pages):
        resize(window, PHONE)
        window.emulate_media(color_scheme="light")
        window.goto(page.path)
        window.evaluate(OPEN)
        looks = {"phone": window.evaluate(AXE, EVERYTHING)}
        resize(window, DESK)
        looks["desk"] = window.evaluate(AXE, PLACES)
        window.emulate_media(color_scheme="dark")
        looks["dark"] = window.evaluate(AXE, COLOURS)
        found += [f"{page.name}, {how}: {one}" for how, all_ in looks.items() for one in all_]
    assert found == []


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_nothing_moves_when_the_script_comes_late(
    pages: list[Page], window: Window, width: int
) -> None:
    """It adds a meter, a word under a field and a countdown, where one may have begun to read."""
    held: list[Route] = []
    window.context.route("**/site.js", lambda route: held.append(route))
    window.context.add_init_script(WATCHED)
    resize(window, width)
    moved = {}
    for page in of_visitors(pages, "ko"):
        if page.name in SCRIPTED:
            window.goto(page.path, wait_until="commit")
            window.evaluate(PAINTED)
            held.pop().continue_()
            window.wait_for_load_state()
            if found := window.evaluate(MOVED):
                moved[page.name] = found
    assert moved == {}


# The page's script asks, gets this answer, and shows it.
ASK = """(answer) => new Promise((done) => {
  const place = document.getElementById("mail-status");
  new MutationObserver(done).observe(place, { childList: true });
  window.fetch = async () => new Response(answer);
  document.dispatchEvent(new Event("visibilitychange"));
}).then(() => document.querySelector("h1").textContent)"""
# How far each of these is from the top, if it is there.
PARTS = ("h1", "ol.line", "#help", "footer")
TOPS = """(parts) => Object.fromEntries(parts.map((one) => [one, document.querySelector(one)])
  .flatMap(([one, found]) => found ? [[one, found.getBoundingClientRect().top + scrollY]] : []))"""
CHANGES = [
    ["turn", "later", "later_with_date", "held", "sent", "confirmed"],
    ["sent", "expired"],
    ["failed"],
    ["refused"],
    ["ended"],
]


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_nothing_moves_when_the_state_of_the_mail_changes(
    pages: list[Page], window: Window, width: int
) -> None:
    """Before one's eyes: neither what is below it, nor what one may be about to press."""
    window.add_init_script(WATCHED)
    resize(window, width)
    moved = {}
    for language, changes in product(gallery.LANGUAGES, CHANGES):
        states = {one.name: one for one in pages if one.language == language}
        window.goto(states["change-waiting"].path)
        before = window.evaluate(TOPS, PARTS)
        for name in changes:
            answer = states[f"change-{name}"].html
            assert window.evaluate(ASK, answer) in unescape(answer)
            found = window.evaluate(MOVED)
            after = window.evaluate(TOPS, PARTS)
            if name == "refused":  # the field for another address is above the help
                del after["#help"]
            if found := found + [one for one, top in after.items() if before[one] != top]:
                moved[f"{language}, {name}"] = found
    assert moved == {}


def test_nothing_sticks_out_of_a_narrow_screen_nor_in_large_type(
    pages: list[Page], window: Window
) -> None:
    """And where a reader's own colours replace ours, each control still has an edge."""
    too_wide, without_edge = {}, {}
    resize(window, NARROWEST)
    window.emulate_media(forced_colors="active")
    for page in of_visitors(pages, *LOOKED_AT):
        window.goto(page.path)
        window.evaluate(OPEN)
        if extra := window.evaluate(OVERFLOW):
            too_wide[page.path] = extra
        window.evaluate(LARGE, "200%")
        if extra := window.evaluate(OVERFLOW):
            too_wide[f"{page.path} in large type"] = extra
        if found := window.evaluate(EDGELESS):
            without_edge[page.name] = found
    assert too_wide == {}
    assert without_edge == {}


def test_the_first_page_is_light(pages: list[Page]) -> None:
    """As it is sent: the page as it is, the rest compressed. The meter comes when it is wanted."""
    [home, *_] = of_visitors(pages, "ko")
    names = re.findall(r'(?:src|href)="/static/([^"]+)"', home.html)
    files = {name: Path(str(finders.find(name))).read_bytes() for name in names}
    assert "site.css" in files
    assert "site.js" in files
    sent = len(home.html.encode()) + sum(len(compress(file)) for file in files.values())
    assert sent <= 30_000
    scripts = [len(file) for name, file in files.items() if name.endswith(".js")]
    assert sum(scripts) <= 15_000


# To machines that read HTML


def test_the_nu_checker_finds_nothing(pages: list[Page], tmp_path: Path) -> None:
    """In pages and letters. The HTML of the admin is Django's."""
    for page in of_visitors(pages, *LOOKED_AT):
        (tmp_path / f"{page.language}-{page.name}.html").write_text(page.html)
    for name, language in EACH:
        source = str(samples[name](language).alternatives[0][0])
        (tmp_path / f"letter-{language}-{name}.html").write_text(source)
    assert checkers.nu(tmp_path) == []


# What only some programs keep of a letter's <style>, which is for nothing that a reader needs.
KEPT_BY_SOME = {
    "@media": "the light colours are all inline",
    "Class selector": "one that knows no classes drops the whole block",
    "Type selector": "the ground is that of the outermost <div> as well",
    "border-radius": "square corners",
    "display:none": "the preview has no size either",
    "word-break": "Korean breaks within words",
}


def test_every_mail_program_supports_the_whole_letter() -> None:
    """What is inline: that is a letter, and test_letters shows it without its <style>."""
    letters = [str(samples[name](language).alternatives[0][0]) for name, language in EACH]
    assert checkers.unsupported_in([without_style(one) for one in letters]) == set()
    found = checkers.unsupported_in(letters)
    features = {re.findall("`(.+?)`", one)[0] for one in found}
    assert features == set(KEPT_BY_SOME), json.dumps(sorted(found), indent=1)
