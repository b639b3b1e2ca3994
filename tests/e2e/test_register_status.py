"""The page after registering tells how the mail is doing: live, or at each reload."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.e2e.browser import Reader
from tests.e2e.sites import Site
from tests.e2e.visitor import PASSWORD
from tests.servers import SmtpServer, wait_for


class ChoosySmtpServer(SmtpServer):
    """Knows nobody whose name begins with `wrong`."""

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address.startswith("wrong"):
            return "550 5.1.1 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 ok"


@pytest.fixture
def smtp() -> Any:
    server = ChoosySmtpServer()
    try:
        yield server.up()
    finally:
        server.down()


@pytest.fixture
def site(new_smtp_site: Callable[..., Site]) -> Site:
    return new_smtp_site().start()


def status(reader: Reader) -> Any:
    return reader.page.locator("#mail-status")


def test_it_turns_before_ones_eyes(
    site: Site, smtp: Any, new_reader: Callable[..., Reader]
) -> None:
    smtp.accepts = 0
    reader = new_reader(site)
    reader.register("carol")
    expect(status(reader)).to_contain_text("Sending the activation e-mail")
    loaded = reader.page.evaluate("performance.timeOrigin")
    smtp.accepts = 1
    expect(status(reader)).to_contain_text("We sent the activation e-mail")
    assert reader.page.evaluate("performance.timeOrigin") == loaded, "without a reload"
    expect(reader.page).to_have_title(re.compile("Check your mailbox · "))
    expect(reader.page.locator("#mail-news")).to_contain_text("Check your mailbox")
    assert smtp.to("carol@example.com")


def test_a_refusal_opens_the_field_and_the_corrected_address_gets_its_mail(
    site: Site, smtp: Any, new_reader: Callable[..., Reader]
) -> None:
    reader = new_reader(site)
    reader.register("wrong-carol")
    expect(status(reader)).to_contain_text("We can't deliver to this address")
    field = reader.page.locator("#correct #id_email")
    expect(field).to_be_visible()
    expect(field).to_have_value("wrong-carol@example.com")
    field.fill("carol@example.com")
    reader.click("#correct button")
    expect(status(reader)).to_contain_text("We sent the activation e-mail")
    assert smtp.to("carol@example.com")


def test_without_script_each_reload_tells(
    site: Site, smtp: Any, new_reader: Callable[..., Reader]
) -> None:
    smtp.accepts = 0
    reader = new_reader(site, java_script_enabled=False)
    reader.register("carol")
    expect(status(reader)).to_contain_text("Sending the activation e-mail")
    smtp.accepts = 1
    wait_for(lambda: smtp.to("carol@example.com"), "the mail")
    wait_for(lambda: site.rows("SELECT 1 FROM mail_mail WHERE state = 'sent'"), "the note of it")

    def handed_over() -> bool:
        reader.page.reload()
        return "We sent the activation e-mail" in status(reader).inner_text()

    wait_for(handed_over, "a reload tells")


def test_when_the_account_is_opened_elsewhere_the_page_says_so(
    site: Site, smtp: Any, new_reader: Callable[..., Reader]
) -> None:
    reader, phone = new_reader(site), new_reader(site)
    reader.register("carol")
    letter = wait_for(lambda: smtp.to("carol@example.com"), "the mail")[0]
    phone.open(letter.link)
    phone.fill(password=PASSWORD)
    phone.submit()
    phone.is_signed_in_as("Carol")
    expect(status(reader)).to_contain_text("Your account is active")
    reader.follow("/users/login/")
    reader.is_at("/users/login/")


def test_what_is_being_typed_stays_while_the_state_changes(
    site: Site, smtp: Any, new_reader: Callable[..., Reader]
) -> None:
    smtp.accepts = 0
    reader = new_reader(site)
    reader.register("carol")
    reader.page.click("#help summary")
    field = reader.page.locator("#correct #id_email")
    field.fill("carol.b@exam")
    smtp.accepts = 1
    expect(status(reader)).to_contain_text("Check your mailbox")
    expect(field).to_have_value("carol.b@exam")


def test_a_second_mail_counts_down_to_its_minute(
    site: Site, smtp: Any, new_reader: Callable[..., Reader]
) -> None:
    reader = new_reader(site)
    reader.register("carol")
    expect(status(reader)).to_contain_text("Check your mailbox")
    reader.page.click("#help summary")
    reader.click('form[action$="/resend/"] button')
    expect(status(reader)).to_contain_text("Your e-mail goes out shortly")
    expect(status(reader).locator(".countdown")).to_have_text(re.compile(r"^0:[0-5]\d$"))
