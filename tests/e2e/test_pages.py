"""Every page on a narrow screen: nothing sticks out at 320 px, in any language."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.browser import Reader
from tests.e2e.sites import RUNSERVER, Site
from tests.e2e.visitor import NEW_PASSWORD, PASSWORD, address_of
from tests.servers import wait_for

NARROWEST = 320  # pixels
PICTURE = 390
LONG_NAME = "Wolfeschlegelsteinhausenbergerdorff"


class Album:
    """Looks at pages, and keeps the names of those that are too wide."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.too_wide: dict[str, int] = {}

    def look(self, reader: Reader, name: str) -> None:
        if extra := reader.overflow():
            self.too_wide[name] = extra
        if self.folder:
            reader.resize(PICTURE)
            reader.photograph(self.folder / f"{reader.language}-{name}.png")
            reader.resize(NARROWEST)


@pytest.fixture(scope="module")
def site(new_site: Callable[..., Site]) -> Site:
    """A site as `make run` starts it."""
    return new_site(RUNSERVER, DEBUG="true", EMAIL_SERVICE="file").start()


@pytest.mark.parametrize("language", ["ko", "en", "zh-hant"])
def test_nothing_sticks_out_of_a_narrow_screen(
    site: Site, new_reader: Callable[..., Reader], language: str, pictures: Path | None
) -> None:
    album = Album(pictures)
    look = album.look
    user_id = f"narrow-{language}-abcdefghijklmnop"
    address = address_of(user_id)

    # A stranger, who makes mistakes.
    reader = new_reader(site, language, width=NARROWEST)
    for name, path in {
        "home": "/",
        "register": "/users/register/",
        "login": "/users/login/",
        "activate_resend": "/users/activate/resend/",
        "password_reset": "/users/password/reset/",
        "password_reset_sent": "/users/password/reset/sent/",
        "password_reset_done": "/users/password/reset/done/",
        "mailbox": "/mailbox/",
    }.items():
        reader.open(path)
        reader.is_at(path)
        look(reader, name)
    reader.open("/users/register/")
    reader.fill(user_id="관리자", name="x", email="nobody@localhost")
    reader.fill(password1="short", password2="different")
    reader.submit()
    look(reader, "register_errors")
    reader.sign_in("nobody", "whatever it is")
    look(reader, "login_errors")

    # Somebody who waits for a mail.
    reader.register(user_id, LONG_NAME)
    look(reader, "register_success")
    reader.page.click("#help summary")
    look(reader, "register_success_address")
    reader.sign_in(user_id, PASSWORD)
    look(reader, "login_waiting")
    link = link_in_mailbox(reader, address)
    look(reader, "mailbox_letter")

    # The same person, on the phone first, then where the account was made.
    phone = new_reader(site, language, width=NARROWEST)
    phone.open(link)
    look(phone, "activate_elsewhere")
    phone.click('main a[href$="/password/"]')
    look(phone, "activate_password")
    reader.open(link)
    look(reader, "activate")
    reader.submit()
    reader.is_signed_in_as(LONG_NAME)
    look(reader, "home_signed_in")
    reader.follow("/users/password/change/")
    look(reader, "password_change")

    # A link that is spent, and a password that is lost.
    phone.open(link)
    look(phone, "link_bad")
    assert phone.problems, "the browser reports the 404"
    phone.problems.clear()
    phone.open("/users/password/reset/")
    phone.fill(email=address)
    phone.submit()
    look(phone, "password_reset_sent")
    phone.open(link_in_mailbox(phone, address, 2))
    look(phone, "password_reset_confirm")
    phone.fill(new_password1=NEW_PASSWORD, new_password2=NEW_PASSWORD)
    phone.submit()
    phone.is_at("/users/password/reset/done/")

    assert album.too_wide == {}


def link_in_mailbox(reader: Reader, address: str, number: int = 1) -> str:
    """Opens the newest letter to this address, once there are so many; the link in its text."""
    letters = reader.page.locator(f"main li a:has-text('{address}')")

    def arrived() -> bool:
        reader.open("/mailbox/")
        return letters.count() >= number

    wait_for(arrived, f"letter {number} to {address} in the mailbox")
    with reader.page.expect_navigation():
        letters.first.click()
    reader.is_at("/mailbox/*")
    return reader.page.locator("pre a").first.get_attribute("href") or ""
