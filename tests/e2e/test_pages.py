"""What a form does for whoever types into it."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.e2e.browser import Reader
from tests.e2e.sites import RUNSERVER, Site
from tests.e2e.visitor import PASSWORD, address_of


@pytest.fixture(scope="module")
def site(new_site: Callable[..., Site]) -> Site:
    """A site as `make run` starts it."""
    return new_site(RUNSERVER, DEBUG="true", EMAIL_SERVICE="file").start()


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
