"""What the five notes promise (the origins of this site), to the letter and in their language."""

import inspect

import pytest
from django.contrib.auth.tokens import default_token_generator
from django.test import Client
from django.urls import reverse
from django.utils import translation
from django.utils.http import urlsafe_base64_decode
from django.utils.translation import gettext_lazy

import mail
from mail.models import Mail
from tests.conftest import PASSWORD, deliver_all, is_signed_in, link_in, registration, sign_in
from users import texts
from users.models import User

# In meaning the same, in grammar corrected.
REGISTERED = "입력하신 이메일 주소로 인증 메일을 보냅니다. 인증을 마치면 로그인할 수 있습니다."
ACTIVATED = "메일 인증이 완료되었습니다. 회원가입을 축하드립니다!"
ACTIVATION_FAILED = "메일 인증에 실패했습니다."
SUBJECT = "carol님의 회원가입 인증 메일입니다."


@pytest.fixture
def korean(db: None) -> Client:
    """A visitor who reads Korean."""
    return Client(headers={"accept-language": "ko-KR,ko;q=0.9,en;q=0.8"})


@pytest.mark.parametrize(
    ("text", "korean_text"),
    [
        (texts.ACTIVATED, ACTIVATED),
        (gettext_lazy("Mail verification failed."), ACTIVATION_FAILED),
    ],
)
def test_the_messages_are_translated_to_the_letter(text: str, korean_text: str) -> None:
    with translation.override("ko"):
        assert str(text) == korean_text


def test_a_member_registers_in_korean(korean: Client) -> None:
    page = korean.post("/users/register/", registration(), follow=True)
    assert page.redirect_chain == [("/users/register/success/", 302)]
    assert REGISTERED in page.text
    carol = User.objects.get()
    assert (carol.level, carol.department, carol.is_active) == ("2", "컴퓨터공학부", False)

    [letter] = deliver_all()
    assert letter.subject == SUBJECT
    assert letter.alternatives[0][1] == "text/html"
    _, _, _, uidb64, token, _ = link_in(letter).split("/")
    assert urlsafe_base64_decode(uidb64) == carol.pk.bytes
    assert default_token_generator.check_token(carol, token)

    opened = korean.get(link_in(letter), follow=True)
    assert not User.objects.get().is_active, "safer here: GET does not activate"
    page = korean.post(opened.wsgi_request.path, follow=True)
    assert ACTIVATED in page.text
    assert is_signed_in(korean)


def test_only_the_registering_session_opens_the_page(korean: Client) -> None:
    assert korean.get("/users/register/success/").status_code == 403


@pytest.mark.parametrize("path", ["/users/activate/MQ/x-y/", "/users/activate/x/open/"])
def test_a_bad_link_is_explained_in_korean(korean: Client, path: str) -> None:
    page = korean.get(path)
    assert page.status_code == 404
    assert ACTIVATION_FAILED in page.text
    assert 'href="/users/login/"' in page.text


def test_the_names_of_the_addresses() -> None:
    assert reverse("users:login") == "/users/login/"
    assert reverse("users:register_success") == "/users/register/success/"
    assert reverse("users:activate", args=["uid", "token"]) == "/users/activate/uid/token/"


def test_the_login_page_has_the_link_for_who_forgot(korean: Client) -> None:
    assert 'href="/users/password/reset/"' in korean.get("/users/login/").text


def test_the_letter_for_a_new_password_has_both_parts_and_an_absolute_link(alice: User) -> None:
    Client().post("/users/password/reset/", {"email": alice.email})
    [letter] = deliver_all()
    for part in (str(letter.body), str(letter.alternatives[0][0])):
        assert "http://127.0.0.1:8000/users/password/reset/" in part


def test_the_form_for_it_is_only_for_who_is_not_signed_in(korean: Client, alice: User) -> None:
    assert korean.get("/users/password/reset/").status_code == 200
    sign_in(korean, "alice", PASSWORD)
    assert korean.get("/users/password/reset/")["Location"] == "/"


def test_the_helper_for_operators_has_the_signature_of_the_note(db: None) -> None:
    parameters = inspect.signature(mail.send_mail).parameters
    assert [str(parameter).partition(":")[0] for parameter in parameters.values()] == [
        "subject",
        "recipient_list",
        "body",
        "from_email",
        "fail_silently",
        "html",
    ]
    assert mail.send_mail("제목", ["kim@example.com"], "본문", fail_silently=False) == 1
    assert Mail.objects.get().address == "kim@example.com"
    [letter] = deliver_all()
    assert (letter.subject, letter.body, letter.to) == ("제목", "본문", ["kim@example.com"])
