"""Every page on a narrow screen, and what a form does for whoever types into it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

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
    reader.fill(password="short")
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
    phone.fill(new_password=NEW_PASSWORD)
    phone.submit()
    phone.is_at("/users/password/reset/done/")

    assert album.too_wide == {}


def test_a_form_helps_while_one_types(site: Site, new_reader: Callable[..., Reader]) -> None:
    reader = new_reader(site)
    page = reader.page
    reader.register("taken-name")
    reader.context.clear_cookies()
    reader.open("/users/register/")

    page.fill("#id_user_id", "taken-name")
    expect(page.locator(".help.bad")).to_have_text("This ID is taken. Please choose another.")
    page.fill("#id_user_id", "20231234")
    expect(page.locator(".help.good")).to_have_text("This ID is free.")

    assert not page.evaluate("window.zxcvbnts"), "nobody has looked at the password yet"
    strength = page.locator(".meter + .help")
    for password, said in {"password1": "Very weak", "20231234": "Very weak"}.items():
        page.fill("#id_password", password)
        expect(strength).to_have_text(said)
    page.fill("#id_password", "staple-horse-correct")
    expect(strength).to_have_text("Strong")
    page.click("#id_password_reveal")
    expect(page.locator("#id_password")).to_have_attribute("type", "text")

    # Sent with mistakes: the summary has the focus, and leads to each field.
    reader.submit()
    expect(page.locator(".box.error")).to_be_focused()
    page.click('.error-links a[href="#id_email"]')
    expect(page.locator("#id_email")).to_be_focused()

    # The language is switched: the page and what was typed stay, the password does not.
    page.fill("#id_name", "Minji")
    page.fill("#id_password", "staple-horse-correct")
    page.click(".languages summary")
    reader.language = "ko"
    reader.click('.languages button[value="ko"]')
    reader.is_at("/users/register/")
    expect(page.locator("#id_name")).to_have_value("Minji")
    expect(page.locator("#id_user_id")).to_have_value("20231234")
    expect(page.locator("#id_password")).to_have_value("")


def test_a_double_click_registers_once(site: Site, new_reader: Callable[..., Reader]) -> None:
    """With the script the second is not sent, and without it leads to the same page."""
    for number, scripts in enumerate([True, False]):
        reader = new_reader(site, java_script_enabled=scripts)
        user_id = f"double-{number}"
        reader.open("/users/register/")
        reader.fill(user_id=user_id, name="D", email=address_of(user_id), password=PASSWORD)
        reader.agree()
        reader.page.dblclick("main form.panel .actions button", no_wait_after=True)
        reader.page.wait_for_url("**/users/register/success/")
        reader.is_at("/users/register/success/")
        assert "taken" not in reader.page.inner_text("main")


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
