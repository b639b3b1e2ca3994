"""The whole journey, from a stranger to a member who has lost and found the password again."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.e2e.browser import Reader
from tests.e2e.conftest import AWS_KEYS, SES_REGION
from tests.e2e.ses import Ses
from tests.e2e.sites import PRODUCTION, RUNSERVER, Site
from tests.e2e.visitor import NEW_PASSWORD, PASSWORD, Visitor, address_of
from tests.servers import LOGIN, Letter, TlsSmtpServer, wait_for
from tests.servers import PASSWORD as SMTP_PASSWORD

THIRD_PASSWORD = "battery-staple-battery"

# Letters that a subject in this language has, and that one in another has not.
SCRIPTS = {
    "ko": re.compile(r"[가-힣]"),
    "zh-hant": re.compile(r"^[^가-힣]*[一-鿿][^가-힣]*$"),
    "en": re.compile(r"^[\x00-\x7f]+$"),
}
NAMES = {"ko": "김민지", "en": "Minji Kim", "zh-hant": "金敏智"}

NewReader = Callable[..., Reader]


@pytest.fixture(scope="module")
def smtp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsSmtpServer]:
    """A mail server that wants STARTTLS and a login."""
    server = TlsSmtpServer(tmp_path_factory.mktemp("smtp"))
    server.up()
    try:
        yield server
    finally:
        server.down()


@pytest.fixture(scope="module")
def site(new_site: Callable[..., Site], smtp: TlsSmtpServer) -> Site:
    """A production site: two workers, no DEBUG, mail by SMTP with STARTTLS and a login."""
    return new_site(
        **PRODUCTION,
        EMAIL_SERVICE="smtp",
        EMAIL_HOST="127.0.0.1",
        EMAIL_PORT=smtp.port,
        EMAIL_HOST_USER=LOGIN,
        EMAIL_HOST_PASSWORD=SMTP_PASSWORD,
        SSL_CERT_FILE=smtp.authority_file,
    ).start()


def check_letter(letter: Letter, language: str) -> None:
    assert SCRIPTS[language].search(letter.subject), letter.subject
    assert f'<html lang="{language}">' in letter.html
    assert f'href="{letter.link}"' in letter.html, "both parts have the same link"
    assert letter.message["Auto-Submitted"] == "auto-generated"


@pytest.mark.parametrize(
    ("language", "browser"),
    [
        ("ko", {}),
        ("en", {"java_script_enabled": False}),
        ("zh-hant", {"mouse": False, "width": 320, "forced_colors": "active"}),
    ],
    ids=["ko", "en-without-scripts", "zh-hant-by-keyboard"],
)
def test_register_lose_the_password_find_it_change_it(
    site: Site, smtp: TlsSmtpServer, new_reader: NewReader, language: str, browser: dict[str, Any]
) -> None:
    reader = new_reader(site, language, **browser)
    user_id = f"minji-{language}"
    address, name = address_of(user_id), NAMES[language]

    # 1. Register.
    reader.open("/")
    reader.is_at("/")
    reader.follow("/users/register/")
    reader.is_at("/users/register/")
    reader.fill(user_id=user_id, name=name, email=address)
    reader.fill(password=PASSWORD)
    reader.agree()
    reader.submit()
    reader.is_at("/users/register/success/")
    expect(reader.page.locator("main")).to_contain_text(address)

    # 2. Open the account.
    letter = smtp.wait(address)
    check_letter(letter, language)
    assert user_id in letter.subject
    reader.open(letter.link)
    reader.is_at("/users/activate/*")
    assert letter.link.rsplit("/", 2)[1] not in reader.page.url, "the token leaves the address"
    expect(reader.page.locator("input[type=password]")).to_have_count(0)
    reader.submit()
    reader.is_at("/")
    reader.is_signed_in_as(name)
    reader.sign_out()

    # 3. Forget the password.
    reader.follow("/users/login/", within=".site-nav")
    reader.is_at("/users/login/")
    reader.follow("/users/password/reset/")
    reader.is_at("/users/password/reset/")
    reader.fill(email=address)
    reader.submit()
    reader.is_at("/users/password/reset/sent/")

    # 4. Choose a new one.
    letter = smtp.wait(address, 2)
    check_letter(letter, language)
    reader.open(letter.link)
    reader.is_at("/users/password/reset/*")
    assert letter.link.rsplit("/", 2)[1] not in reader.page.url, "the token leaves the address"
    reader.fill(new_password=NEW_PASSWORD)
    reader.submit()
    reader.is_at("/users/password/reset/done/")
    reader.follow("/users/login/")
    reader.fill(username=address, password=NEW_PASSWORD)
    reader.submit()
    reader.is_at("/")
    reader.is_signed_in_as(name)

    # 5. Change it.
    reader.follow("/users/password/change/")
    reader.is_at("/users/password/change/")
    reader.fill(old_password=NEW_PASSWORD, new_password=THIRD_PASSWORD)
    reader.submit()
    reader.is_at("/")
    reader.is_signed_in_as(name)
    reader.sign_out()
    assert Visitor(site).sign_in(user_id, NEW_PASSWORD).path == "/users/login/", "the old one"
    assert Visitor(site).sign_in(user_id, THIRD_PASSWORD).path == "/"


@pytest.mark.parametrize(
    ("language", "scripts"),
    [("ko", False), ("en", True), ("zh-hant", False)],
    ids=["ko-without-scripts", "en-with-scripts", "zh-hant-without-scripts"],
)
def test_an_account_is_stolen_taken_back_given_up_and_kept(
    site: Site, smtp: TlsSmtpServer, new_reader: NewReader, language: str, scripts: bool
) -> None:
    user_id = f"stolen-{language}"
    address, theirs = address_of(user_id), address_of(f"thief-{language}")
    visitor = Visitor(site, language)
    visitor.register(user_id)
    visitor.post(smtp.wait(address).link)

    def letter_with(path: str, to: str = address) -> Letter:
        found = wait_for(
            lambda: [one for one in smtp.to(to) if path in one.text], f"a letter with {path}"
        )
        check_letter(found[-1], language)
        return found[-1]

    # 1. A thief who knows the password changes the address.
    thief = new_reader(site, language, java_script_enabled=scripts)
    thief.sign_in(user_id, PASSWORD)
    thief.open("/users/account/")
    thief.follow("/users/account/address/")
    thief.fill(email=theirs)
    thief.submit()
    thief.is_at("/users/account/address/")
    thief.open(letter_with("/users/address/", theirs).link)
    thief.is_at("/users/address/*")
    thief.submit()
    thief.is_at("/users/account/")
    expect(thief.page.locator("main")).to_contain_text(theirs)

    # 2. The owner takes the account back, by the letter to the old address.
    owner = new_reader(site, language, java_script_enabled=scripts)
    link = letter_with("/users/take-back/").link
    owner.open(link)
    owner.is_at("/users/take-back/*")
    assert link.rsplit("/", 2)[1] not in owner.page.url, "the token leaves the address"
    owner.submit()
    owner.is_at("/users/password/reset/sent/")
    owner.open(letter_with("/users/password/reset/").link)
    owner.fill(new_password=NEW_PASSWORD)
    owner.submit()
    owner.is_at("/users/password/reset/done/")
    thief.open("/users/account/")
    thief.is_at("/users/login/")

    # 3. The owner wants no account any more, and then keeps it.
    owner.sign_in(address, NEW_PASSWORD)
    owner.open("/users/account/data/")
    owner.follow("/users/account/deletion/")
    owner.submit()
    owner.is_at("/")
    owner.open(letter_with("/users/deletion/").link)
    owner.is_at("/users/deletion/*")
    owner.submit()
    owner.is_at("/users/login/")
    assert Visitor(site).sign_in(user_id, NEW_PASSWORD).path == "/"


# The link in another browser: a phone, or somebody whose address a stranger has typed.


def test_on_a_phone_the_link_asks_for_the_password(
    site: Site, smtp: TlsSmtpServer, new_reader: NewReader
) -> None:
    new_reader(site).register("suhyun", "Suhyun")
    phone = new_reader(site, width=390, has_touch=True, is_mobile=True)
    phone.open(smtp.wait("suhyun@example.com").link)
    phone.is_at("/users/activate/*")

    phone.fill(password="not-what-suhyun-chose")
    phone.submit()
    expect(phone.page.locator("#id_password")).to_have_attribute("aria-invalid", "true")

    phone.fill(password=PASSWORD)
    phone.submit()
    phone.is_at("/")
    phone.is_signed_in_as("Suhyun")


def test_on_a_phone_the_mailbox_is_enough_for_a_new_password(
    site: Site, smtp: TlsSmtpServer, new_reader: NewReader
) -> None:
    new_reader(site).register("jiwoo", "Jiwoo")
    phone = new_reader(site, width=390, has_touch=True, is_mobile=True)
    phone.open(smtp.wait("jiwoo@example.com").link)
    phone.click('main a[href$="/password/"]')
    phone.is_at("/users/activate/*")
    phone.fill(new_password=NEW_PASSWORD)
    phone.submit()
    phone.is_at("/")
    phone.is_signed_in_as("Jiwoo")

    assert Visitor(site).sign_in("jiwoo", PASSWORD).path == "/users/login/", "shut out"
    assert Visitor(site).sign_in("jiwoo", NEW_PASSWORD).path == "/"


def test_whoever_did_not_register_says_so_and_hears_no_more(
    site: Site, smtp: TlsSmtpServer, new_reader: NewReader
) -> None:
    mallory, owner = Visitor(site), new_reader(site)
    mallory.register("victim")
    link = smtp.wait("victim@example.com").link
    owner.open(link)
    owner.click('form[action$="/decline/"] button')
    owner.is_at("/")
    assert Visitor(site).get(link).status == 404
    assert "This registration has ended" in mallory.get("/users/register/success/").text

    mallory.register("victim")
    dropped = "SELECT 1 FROM mail_mail WHERE state = 'dropped'"
    wait_for(lambda: site.rows(dropped), "the second letter is dropped")
    assert len(smtp.to("victim@example.com")) == 1


# Other ways for the mail to leave


def test_the_journey_through_amazon_ses(new_site: Callable[..., Site], ses: Ses) -> None:
    site = new_site(
        EMAIL_SERVICE="ses",
        AWS_SES_REGION_NAME=SES_REGION,
        AWS_SES_REGION_ENDPOINT_URL=ses.url,
        **AWS_KEYS,
    ).start()
    alice = Visitor(site, "ko")
    assert alice.register("alice").path == "/users/register/success/"
    letter = ses.wait("alice@example.com")
    check_letter(letter, "ko")
    assert alice.post(letter.link).path == "/"
    assert "Alice" in alice.get("/").text

    visitor = Visitor(site, "ko")
    sent = visitor.post("/users/password/reset/", email="alice@example.com")
    assert sent.path == "/users/password/reset/sent/"
    letter = ses.wait("alice@example.com", 2)
    check_letter(letter, "ko")
    passwords = {"new_password": NEW_PASSWORD}
    assert visitor.post(letter.link, **passwords).path == "/users/password/reset/done/"
    assert visitor.sign_in("alice", NEW_PASSWORD).path == "/"

    wait_for(lambda: not site.rows("SELECT 1 FROM mail_mail WHERE state <> 'sent'"), "all sent")
    ids = site.rows("SELECT provider_id FROM mail_mail")
    assert all(provider_id for (provider_id,) in ids), "bounces will name these"


def test_in_development_the_mail_is_read_in_the_mailbox(
    new_site: Callable[..., Site], new_reader: NewReader
) -> None:
    site = new_site(RUNSERVER, DEBUG="true", EMAIL_SERVICE="file").start()
    reader = new_reader(site, "ko")
    reader.register("newcomer")
    wait_for(lambda: mailbox_of(site), "a letter in the mailbox")

    reader.follow("/mailbox/")
    reader.is_at("/mailbox/")
    reader.click("main li a:has-text('newcomer@example.com')")
    reader.is_at("/mailbox/*")
    letter_page = reader.page.url

    # The link in the text; then the button in the HTML, which stands in a sandboxed frame.
    reader.click("pre a")
    reader.is_at("/users/activate/*")
    reader.open(letter_page)
    with reader.page.expect_navigation():
        reader.page.frame_locator("iframe").locator("a").first.click()
    reader.is_at("/users/activate/*")
    reader.submit()
    reader.is_at("/")
    reader.is_signed_in_as("Newcomer")


def mailbox_of(site: Site) -> list[Path]:
    return list(site.checkout.mailbox.glob("*.eml"))
