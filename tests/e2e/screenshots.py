"""make screenshots: a picture of every page, letter and page of the admin, and one to leaf through.

    .venv/bin/python -m tests.e2e.screenshots [part of a name …]

They are in var/screenshots, those of README.md in its folder `readme`.
"""

import os
import shutil
import struct
import sys
import zlib
from collections.abc import Iterator
from html import escape
from itertools import groupby, product
from pathlib import Path
from typing import Literal

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from django.conf import settings  # noqa: E402
from django.test.utils import setup_databases, setup_test_environment  # noqa: E402
from playwright.sync_api import Browser, sync_playwright  # noqa: E402
from playwright.sync_api import Page as Window  # noqa: E402

from mail.queue.letters import samples  # noqa: E402
from tests.conftest import PASSWORD  # noqa: E402
from tests.e2e.browser import CHROMIUM_ARGS, program  # noqa: E402
from tests.e2e.exhibition import STILL, Exhibition  # noqa: E402
from tests.e2e.test_letters import without_style  # noqa: E402
from tests.elsewhere import ROOT  # noqa: E402
from tests.gallery import LANGUAGES, OF_STAFF, OF_VISITORS, Page, pages, stage  # noqa: E402
from tests.test_letter_score import EACH  # noqa: E402

FOLDER = ROOT / "var" / "screenshots"
WIDTHS, OF_LETTERS = (360, 1280), (320, 600)
TALL = 2000  # a frame outside of the window is not painted
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def main(parts: list[str]) -> None:
    setup_test_environment()
    setup_databases(verbosity=0, interactive=False)
    settings.SITE_URL = "https://cs.example.ac.kr"
    settings.OFFICE_ADDRESS = "서울특별시 관악구 관악로 1, 301동"
    settings.OFFICE_PHONE = "02-123-4567"
    shown = [page for code in LANGUAGES for page in pages(stage(code), OF_VISITORS + OF_STAFF)]
    letters = {f"{code}/letter-{name}": samples[name](code) for name, code in EACH}
    sources = {where: str(one.alternatives[0][0]) for where, one in letters.items()}
    chosen = [page for page in shown if not page.is_part and is_wanted(page.name, parts)]
    shutil.rmtree(FOLDER, ignore_errors=True)
    with Exhibition(shown) as exhibition, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(), args=CHROMIUM_ARGS)
        window = new_window(browser, exhibition)
        for page in chosen:
            window.set_viewport_size({"width": 1280, "height": TALL})
            window.goto(page.path)
            photograph(window, f"{page.language}/{page.name}", WIDTHS)
        for where, source in sources.items():
            if is_wanted(where, parts):
                window.goto("about:blank")  # a page of ours would forbid its styles
                for name, letter in {where: source, f"{where}-bare": without_style(source)}.items():
                    window.set_content(letter)
                    photograph(window, name, OF_LETTERS)
        if is_wanted("readme", parts):
            korean = [page for page in shown if page.language == "ko"]
            for_readme(browser, korean, sources["ko/letter-register"])
        browser.close()
    (FOLDER / "index.html").write_text(index())
    print(f"{len(list(FOLDER.rglob('*.png')))} pictures: {FOLDER / 'index.html'}")


def is_wanted(name: str, parts: list[str]) -> bool:
    return not parts or any(part in name for part in parts)


def new_window(browser: Browser, exhibition: Exhibition) -> Window:
    context = browser.new_context(base_url=exhibition.url)
    context.add_init_script(STILL)
    return context.new_page()


def photograph(window: Window, where: str, widths: tuple[int, ...]) -> None:
    for width, scheme in product(widths, SCHEMES):
        window.emulate_media(color_scheme=scheme)
        height = 640 if width < 1000 else 800
        if len(window.frames) > 1:
            height = TALL
        window.set_viewport_size({"width": width, "height": height})
        file = FOLDER / f"{where}-{width}-{scheme}.png"
        window.screenshot(path=file, full_page=True)
        if len(window.frames) > 1:
            until_painted(window, file)


def until_painted(window: Window, file: Path) -> None:
    """A frame is painted by a process of its own, which tells nobody when it is done."""
    pictures = [b"", file.read_bytes()]
    while pictures[-1] != pictures[-2]:
        pictures.append(window.screenshot(path=file, full_page=True))


# To leaf through

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Pages and letters</title>
<style>
  body {{ margin: 2rem; background: #dfe5e8; font: 1rem/1.5 sans-serif; }}
  h2 {{ margin: 2rem 0 0.5rem; }}
  .row {{ display: flex; gap: 1rem; align-items: flex-start; overflow-x: auto; }}
  figure {{ flex: none; margin: 0; }}
  img {{ height: 26rem; object-fit: cover; object-position: top; }}
</style>
<h1>Pages and letters</h1>
<p>{menu}</p>
{body}
"""


def index() -> str:
    """All pictures of a page in one row: by its name, and not by its language."""
    files = [file.relative_to(FOLDER) for file in FOLDER.rglob("*.png")]
    rows, menu = [], []
    for name, row in groupby(sorted(files, key=shown_as), lambda file: shown_as(file)[0]):
        figures = [
            f'<figure><a href="{file}"><img src="{file}" alt="" loading="lazy"></a>'
            f"<figcaption>{escape(str(file.with_suffix('')))}</figcaption></figure>"
            for file in row
        ]
        rows.append(f'<h2 id="{name}">{name}</h2>\n<div class="row">{"".join(figures)}</div>')
        menu.append(f'<a href="#{name}">{name}</a>')
    return PAGE.format(menu=" · ".join(menu), body="\n".join(rows))


def shown_as(file: Path) -> tuple[str, str]:
    name = file.stem.rsplit("-", 2)[0] if file.stem.count("-") > 1 else file.stem
    return name, str(file)


# For README.md


def for_readme(browser: Browser, korean: list[Page], letter: str) -> None:
    (FOLDER / "readme").mkdir(parents=True)
    with Exhibition(korean) as exhibition:
        picture_of_three(new_window(browser, exhibition))
        frames = list(journey(new_window(browser, exhibition), letter))
    (FOLDER / "readme" / "moving.png").write_bytes(moving(frames))


THREE = ("register", "register_success-sent", "activate")


def picture_of_three(window: Window) -> None:
    window.set_viewport_size({"width": 460, "height": 760})
    pictures = []
    for name in THREE:
        window.goto(f"/ko/{name}")
        if name == "register":
            fill_in(window)
            window.evaluate("document.activeElement.blur()")
        pictures.append(FOLDER / "readme" / f"{name}.png")
        window.screenshot(path=pictures[-1])
    images = "".join(f'<img src="{picture.name}" alt="">' for picture in pictures)
    ground = "display:flex; gap:20px; margin:0; padding:20px; background:#e3e8eb"
    style = "img { border-radius:10px; box-shadow:0 1px 6px rgb(0 0 0 / 20%) }"
    source = f'<style>{style}</style><body style="{ground}">{images}'
    (FOLDER / "readme" / "three.html").write_text(source)
    window.set_viewport_size({"width": 1460, "height": 800})
    window.goto((FOLDER / "readme" / "three.html").as_uri())
    window.screenshot(path=FOLDER / "readme" / "journey.png")
    for file in (*pictures, FOLDER / "readme" / "three.html"):
        file.unlink()


def fill_in(window: Window) -> None:
    window.fill("#id_user_id", "minji")
    window.locator(".help.good").wait_for()
    window.fill("#id_name", "김민지")
    window.fill("#id_email", "minji@naver.com")


Frame = tuple[bytes, int]  # a PNG, and for how many milliseconds it is shown


def journey(window: Window, letter: str) -> Iterator[Frame]:
    """From the form to the first page as a member, as one sees it on a phone."""
    window.set_viewport_size({"width": 430, "height": 700})
    window.goto("/ko/register")
    yield window.screenshot(), 1200
    for field, typed in {"user_id": "minji", "name": "김민지", "email": "minji@naver.com"}.items():
        window.fill(f"#id_{field}", typed)
        if field == "user_id":
            window.locator(".help.good").wait_for()
        yield window.screenshot(), 700
    window.fill("#id_password", PASSWORD)
    window.locator(".meter .on").first.wait_for()
    for box in ("terms", "privacy"):
        window.check(f"#id_{box}")
    button = window.locator("main form.panel .actions button")
    button.scroll_into_view_if_needed()
    yield window.screenshot(), 1200
    button.evaluate("(one) => one.setAttribute('aria-busy', 'true')")
    yield window.screenshot(), 500
    for name, shown_for in {"waiting": 1200, "sent": 2000}.items():
        window.goto(f"/ko/register_success-{name}")
        yield window.screenshot(), shown_for
    window.goto("about:blank")
    window.set_content(letter.replace("hong-gildong", "minji"))
    yield window.screenshot(), 2200
    for name, shown_for in {"activate": 1600, "home-activated": 3000}.items():
        window.goto(f"/ko/{name}")
        yield window.screenshot(), shown_for


SIGNATURE = b"\x89PNG\r\n\x1a\n"


def moving(frames: list[Frame]) -> bytes:
    """An animated PNG: the frames' own compressed pixels, one after another. No library needed."""
    first = chunks(frames[0][0])
    header = next(data for kind, data in first if kind == b"IHDR")
    made = [chunk(b"IHDR", header), chunk(b"acTL", struct.pack(">II", len(frames), 0))]
    number = 0
    for picture, shown_for in frames:
        parts = chunks(picture)
        assert next(data for kind, data in parts if kind == b"IHDR") == header, "of one size"
        control = struct.pack(">IIIIIHHBB", number, *size(header), 0, 0, shown_for, 1000, 0, 0)
        made.append(chunk(b"fcTL", control))
        number += 1
        for data in [data for kind, data in parts if kind == b"IDAT"]:
            if picture is frames[0][0]:
                made.append(chunk(b"IDAT", data))
            else:
                made.append(chunk(b"fdAT", struct.pack(">I", number) + data))
                number += 1
    return SIGNATURE + b"".join([*made, chunk(b"IEND", b"")])


def size(header: bytes) -> tuple[int, int]:
    width, height = struct.unpack(">II", header[:8])
    return width, height


def chunks(picture: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], len(SIGNATURE)
    while place < len(picture):
        length, kind = struct.unpack(">I4s", picture[place : place + 8])
        found.append((kind, picture[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


if __name__ == "__main__":
    main(sys.argv[1:])
