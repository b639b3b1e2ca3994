"""Register: a claim, a mail, and a page that only this browser may open."""

import pytest
from django.test import Client

from mail.models import Mail
from tests.conftest import PASSWORD, deliver_all, link_in, registration
from users.models import User


def test_a_visitor_registers_reads_the_mail_and_is_signed_in(browser: Client) -> None:
    response = browser.post("/users/register/", registration(), follow=True)
    assert response.redirect_chain == [("/users/register/success/", 302)]
    assert "carol@example.com" in response.text

    carol = User.objects.get(user_id="carol")
    assert carol.is_waiting
    assert (carol.level, carol.department) == ("2", "컴퓨터공학부")

    [letter] = deliver_all()
    assert letter.to == ["carol@example.com"]
    page = browser.get(link_in(letter), follow=True)
    assert page.status_code == 200
    assert not User.objects.get().is_active, "opening a link changes nothing"

    response = browser.post(page.wsgi_request.path, follow=True)
    assert response.redirect_chain == [("/", 302)]
    assert response.wsgi_request.user == carol
    assert "Your e-mail address is verified." in response.text
