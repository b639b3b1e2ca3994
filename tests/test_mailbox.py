"""/mailbox/: the messages of a development site, shown without trusting a word in them."""

from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from django.core.mail import EmailMultiAlternatives
from django.http import Http404
from django.test import Client, RequestFactory
from django.urls import include, path, resolve

from cs_web.urls import urlpatterns as site_urlpatterns
from mail.desk import mailbox
from tests.conftest import deliver_all, link_in, registration

# What cs_web.urls is with DEBUG and EMAIL_SERVICE=file.
urlpatterns = [*site_urlpatterns, path("mailbox/", include((mailbox.urls, "mailbox")))]

HOSTILE = "<head></head><script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture
def box(settings: Any, tmp_path: Path, db: None) -> Path:
    settings.DEBUG, settings.EMAIL_SERVICE = True, "file"
    settings.EMAIL_BACKEND = "mail.transport.file.EmailBackend"
    settings.MAILBOX_DIR = tmp_path / "mailbox"
    settings.ROOT_URLCONF = __name__
    return tmp_path / "mailbox"


def put(box: Path, subject: str = "Hello", text: str = "text", html: str = "") -> str:
    """Sends a letter; its name in the mailbox."""
    before = {file.stem for file in box.glob("*.eml")}
    letter = EmailMultiAlternatives(subject, text, "noreply@example.com", ["alice@example.com"])
    if html:
        letter.attach_alternative(html, "text/html")
    assert letter.send() == 1
    [name] = {file.stem for file in box.glob("*.eml")} - before
    return name


def test_a_mailbox_without_messages_says_so(box: Path, browser: Client) -> None:
    assert "No mail yet" in browser.get("/mailbox/").text


def test_the_list_shows_who_got_what_newest_first(box: Path, browser: Client) -> None:
    names = [put(box, f"Letter {number}") for number in range(3)]
    page = browser.get("/mailbox/").text
    assert "alice@example.com" in page
    places = [page.index(f'href="/mailbox/{name}/"') for name in names]
    assert places == sorted(places, reverse=True)
    assert [f"Letter {number}" in page for number in range(3)] == [True] * 3


def test_a_registration_can_be_finished_from_the_mailbox(box: Path, browser: Client) -> None:
    page = browser.post("/users/register/", registration(), follow=True)
    assert 'href="/mailbox/"' in page.text, "the page says where the message is"
    deliver_all()
    [file] = box.glob("*.eml")
    letter = message_from_bytes(file.read_bytes(), policy=policy.default)
    body = letter.get_body(("plain",))
    assert body
    link = link_in(EmailMultiAlternatives(body=body.get_content()))
    page = browser.get(f"/mailbox/{file.stem}/")
    assert f'href="http://127.0.0.1:8000{link}"' in page.text, "links in the text can be clicked"
    assert f'href="http://127.0.0.1:8000{link}"' in browser.get(f"/mailbox/{file.stem}/html/").text


def test_the_html_part_is_in_a_sandboxed_frame(box: Path, browser: Client) -> None:
    name = put(box, html="<html><head><title>t</title></head><body>hi</body></html>")
    page = browser.get(f"/mailbox/{name}/").text
    assert f'src="/mailbox/{name}/html/"' in page
    [sandbox] = [line for line in page.splitlines() if "<iframe" in line]
    assert "allow-scripts" not in sandbox
    assert "allow-same-origin" not in sandbox
    assert ' sandbox="' in sandbox


def test_a_letter_without_html_has_no_frame(box: Path, browser: Client) -> None:
    assert "<iframe" not in browser.get(f"/mailbox/{put(box)}/").text


@pytest.mark.parametrize("html", [HOSTILE, f"<html><body>{HOSTILE}"])
def test_a_hostile_html_letter_runs_nothing_even_when_opened_by_itself(
    box: Path, browser: Client, html: str
) -> None:
    name = put(box, html=html)
    response = browser.get(f"/mailbox/{name}/html/")
    policy = response.headers["Content-Security-Policy"]
    directives = dict(part.strip().partition(" ")[::2] for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert "script-src" not in directives
    assert "allow-scripts" not in directives["sandbox"]
    assert "allow-same-origin" not in directives["sandbox"], "or it could read the session's pages"
    assert response.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert "<script>" not in browser.get(f"/mailbox/{name}/").text


@pytest.mark.parametrize("where", ["", "{name}/"])
def test_hostile_text_and_subject_are_shown_as_they_are(
    box: Path, browser: Client, where: str
) -> None:
    name = put(box, "<script>alert(0)</script>", f"{HOSTILE} http://a.example/'onclick='x <b>")
    page = browser.get(f"/mailbox/{where.format(name=name)}").text
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "onclick='x" not in page
    assert "&lt;script&gt;alert(0)" in page


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "../secrets",
        "%2e%2e%2fsecrets",
        "..%2f..%2fsecrets.json",
        "/etc/passwd",
        "1700000000000000000-0123abcd",
        "1700000000000000000-0123abcd%00",
        "1700000000000000000-0123abcd%0a",
        "*",
        "secrets",
        "x" * 5000,
    ],
)
def test_a_name_that_is_none_of_a_message_opens_no_file(
    box: Path, browser: Client, name: str
) -> None:
    put(box)
    (box.parent / "secrets.eml").write_text("Subject: secret\n\nsecret")
    (box / "secrets.eml").write_text("Subject: secret\n\nsecret")
    for part in ("", "html/"):
        assert browser.get(f"/mailbox/{name}/{part}").status_code == 404, part


def test_a_name_is_checked_by_the_view_itself_and_not_only_by_the_address(box: Path) -> None:
    put(box)
    (box.parent / "secrets.eml").write_text("Subject: secret\n\nsecret")
    with pytest.raises(Http404):
        mailbox.message(RequestFactory().get("/"), "../secrets")


def test_a_file_that_is_no_message_does_not_hide_the_messages(box: Path, browser: Client) -> None:
    name = put(box)
    (box / "saved by hand.eml").write_text("Subject: mine\n\n")
    (box / f"{name}.part").write_text("half a let")
    response = browser.get("/mailbox/")
    assert response.status_code == 200
    assert name in response.text


def test_a_letter_in_every_script_is_readable(box: Path, browser: Client) -> None:
    text = "컴퓨터공학부 電腦科學 ❤ \u202etxet"
    page = browser.get(f"/mailbox/{put(box, text, text, f'<p>{text}</p>')}/").text
    assert page.count(text.split()[0]) >= 2


@pytest.mark.parametrize("where", ["", "{name}/", "{name}/html/"])
def test_the_mailbox_is_only_for_reading(box: Path, browser: Client, where: str) -> None:
    address = f"/mailbox/{where.format(name=put(box))}"
    for method in ("post", "put", "delete"):
        assert getattr(browser, method)(address).status_code == 405, method
    assert len(list(box.glob("*.eml"))) == 1


def test_outside_development_there_is_no_mailbox(client: Client) -> None:
    """The tests have the urls of a production configuration; test_settings asks a real one."""
    assert client.get("/mailbox/").status_code == 404
    with pytest.raises(Http404):
        resolve("/mailbox/")


@pytest.mark.parametrize(("debug", "service"), [(False, "file"), (True, "smtp")])
def test_no_page_speaks_of_a_mailbox_unless_both_switches_are_on(
    box: Path, browser: Client, settings: Any, debug: bool, service: str
) -> None:
    settings.DEBUG, settings.EMAIL_SERVICE = debug, service
    assert "/mailbox/" not in browser.post("/users/register/", registration(), follow=True).text
