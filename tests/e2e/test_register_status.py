"""The page after registering tells how the mail is doing: live, or at each reload."""

import math
import re
from collections.abc import Callable, Iterator
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

    def pauses(self) -> None:
        """It takes no more messages, and keeps whoever brings one waiting."""
        self.accepts = len(self.letters)

    def goes_on(self) -> None:
        self.accepts = math.inf


@pytest.fixture(scope="module")
def server() -> Iterator[ChoosySmtpServer]:
    server = ChoosySmtpServer()
    try:
        server.up()
        yield server
    finally:
        server.down()


@pytest.fixture
def smtp(server: ChoosySmtpServer) -> Iterator[ChoosySmtpServer]:
    yield server
    server.goes_on()


@pytest.fixture(scope="module")
def site(new_site: Callable[..., Site], server: ChoosySmtpServer) -> Site:
    mail = {"EMAIL_HOST": "127.0.0.1", "EMAIL_PORT": server.port, "EMAIL_USE_TLS": "false"}
    limits = {"FORMS_PER_NETWORK_LIMIT": 1000, "EMAIL_PER_NETWORK_LIMIT": 1000}
    return new_site(EMAIL_SERVICE="smtp", **mail, **limits).start()


def status(reader: Reader) -> Any:
    return reader.page.locator("#mail-status")


def test_it_turns_before_ones_eyes(
    site: Site, smtp: ChoosySmtpServer, new_reader: Callable[..., Reader]
) -> None:
    smtp.pauses()
    reader = new_reader(site)
    reader.register("alice")
    expect(status(reader)).to_contain_text("Sending the activation e-mail")
    loaded = reader.page.evaluate("performance.timeOrigin")
    smtp.goes_on()
    expect(status(reader)).to_contain_text("We sent the activation e-mail")
    assert reader.page.evaluate("performance.timeOrigin") == loaded, "without a reload"
    expect(reader.page).to_have_title(re.compile("Check your mailbox · "))
    expect(reader.page.locator("#mail-news")).to_contain_text("Check your mailbox")
    assert smtp.to("alice@example.com")


def test_a_refusal_opens_the_field_and_the_corrected_address_gets_its_mail(
    site: Site, smtp: ChoosySmtpServer, new_reader: Callable[..., Reader]
) -> None:
    reader = new_reader(site)
    reader.register("wrong-bob")
    expect(status(reader)).to_contain_text("We can't deliver to this address")
    field = reader.page.locator("#correct #id_email")
    expect(field).to_be_visible()
    expect(field).to_have_value("wrong-bob@example.com")
    field.fill("bob@example.com")
    reader.click("#correct button")
    expect(status(reader)).to_contain_text("We sent the activation e-mail")
    assert smtp.to("bob@example.com")


def test_without_script_each_reload_tells(
    site: Site, smtp: ChoosySmtpServer, new_reader: Callable[..., Reader]
) -> None:
    smtp.pauses()
    reader = new_reader(site, java_script_enabled=False)
    reader.register("carol")
    expect(status(reader)).to_contain_text("Sending the activation e-mail")
    smtp.goes_on()
    wait_for(lambda: smtp.to("carol@example.com"), "the mail")

    def handed_over() -> bool:
        reader.page.reload()
        return "We sent the activation e-mail" in status(reader).inner_text()

    wait_for(handed_over, "a reload tells")


def test_when_the_account_is_opened_elsewhere_the_page_says_so(
    site: Site, smtp: ChoosySmtpServer, new_reader: Callable[..., Reader]
) -> None:
    reader, phone = new_reader(site), new_reader(site)
    reader.register("dora")
    letter = wait_for(lambda: smtp.to("dora@example.com"), "the mail")[0]
    phone.open(letter.link)
    phone.fill(password=PASSWORD)
    phone.submit()
    phone.is_signed_in_as("Dora")
    expect(status(reader)).to_contain_text("Your account is active")
    reader.follow("/users/login/")
    reader.is_at("/users/login/")


def test_what_is_being_typed_stays_while_the_state_changes(
    site: Site, smtp: ChoosySmtpServer, new_reader: Callable[..., Reader]
) -> None:
    smtp.pauses()
    reader = new_reader(site)
    reader.register("erin")
    reader.page.click("#help summary")
    field = reader.page.locator("#correct #id_email")
    field.fill("erin.b@exam")
    smtp.goes_on()
    expect(status(reader)).to_contain_text("Check your mailbox")
    expect(field).to_have_value("erin.b@exam")


def test_a_second_mail_counts_down_to_its_minute(
    site: Site, smtp: ChoosySmtpServer, new_reader: Callable[..., Reader]
) -> None:
    reader = new_reader(site)
    reader.register("frank")
    expect(status(reader)).to_contain_text("Check your mailbox")
    reader.page.click("#help summary")
    reader.click('form[action$="/resend/"] button')
    expect(status(reader)).to_contain_text("Your e-mail goes out shortly")
    expect(status(reader).locator(".countdown")).to_have_text(re.compile(r"^0:[0-5]\d$"))
