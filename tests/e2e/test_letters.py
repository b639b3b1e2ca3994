"""Every letter as a browser shows it: narrow, in the dark, and where its <style> is dropped."""

import re
from itertools import product
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser

from mail.queue.letters import samples
from tests.test_letter_score import EACH

WIDTHS = (320, 600)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

# Of each text that shows: its words, and its contrast with the ground behind it, as WCAG has it.
CONTRASTS = """() => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number)
  const light = colour => {
    const [r, g, b] = parts(colour).map(p => p / 255)
      .map(p => p <= 0.04045 ? p / 12.92 : ((p + 0.055) / 1.055) ** 2.4)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const ground = one => {
    const colour = getComputedStyle(one).backgroundColor
    return parts(colour)[3] === 0 ? ground(one.parentElement) : colour
  }
  const found = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (texts.nextNode()) {
    const one = texts.currentNode.parentElement, words = texts.currentNode.data.trim()
    if (!words || !one.getClientRects().length) continue
    const both = [light(getComputedStyle(one).color), light(ground(one))]
    found.push([words, (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05)])
  }
  return found
}"""


def without_style(source: str) -> str:
    return re.sub(r"<style>.*?</style>", "", source, flags=re.S)


@pytest.mark.parametrize("accent", ["#0b5768", "#6a1b9a"])
def test_a_letter_fits_and_reads_well_whatever_shows_it(
    chromium: Browser, settings: Any, accent: str
) -> None:
    settings.SITE_URL, settings.ACCENT_COLOR = "https://cs.example.ac.kr", accent
    page = chromium.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    too_wide, too_faint = [], []
    try:
        letters = {which: str(samples[which[0]](which[1]).alternatives[0][0]) for which in EACH}
        for (name, language), scheme, styled in product(letters, SCHEMES, (True, False)):
            source = letters[name, language]
            page.emulate_media(color_scheme=scheme)
            page.set_content(source if styled else without_style(source))
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 400})
                which = f"letter-{language}-{name}-{width}-{scheme}{'' if styled else '-bare'}"
                if page.evaluate("document.documentElement.scrollWidth") > width:
                    too_wide.append(which)
            texts = page.evaluate(CONTRASTS)
            assert len(texts) > 5, which
            too_faint += [(which, *text) for text in texts if text[1] < 4.5]
    finally:
        page.close()
    assert (too_wide, too_faint, asked) == ([], [], [])


def test_a_screen_reader_finds_no_table_in_a_letter(chromium: Browser) -> None:
    """Without `role`, which not every program keeps: a single row is taken for mere layout."""
    page = chromium.new_page()
    try:
        reader = page.context.new_cdp_session(page)
        for name in {name for name, _ in EACH}:
            page.set_content(str(samples[name]("ko").alternatives[0][0]))
            tree = reader.send("Accessibility.getFullAXTree")["nodes"]
            roles = {node["role"]["value"] for node in tree if "role" in node}
            assert "LayoutTable" in roles, name
            assert not roles & {"table", "row", "cell"}, name
    finally:
        page.close()
