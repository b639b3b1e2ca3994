"""Every state of every page, made by Django's test client: to be checked, and to be looked at.

A story yields the pages that it passes, each with a name, or an address if it is part of another.
It begins at noon with an empty database. A template that is in no story is a page that nobody
looks at, and fails a test (`tests/e2e/test_gallery.py`).
"""

import logging
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import time_machine
from django.core.cache import cache
from django.db import transaction
from django.http import HttpResponse
from django.test import Client, override_settings
from django.test.signals import template_rendered
from django.urls import include, path
from django.utils import timezone, translation
from django.views.generic import TemplateView

from cs_web.urls import urlpatterns as site_urlpatterns
from mail.causes import Cause
from mail.desk import mailbox
from mail.models import Attempt, Mail, Report, State, Suppression
from mail.queue import posting
from mail.queue.alarms import alarms
from mail.queue.letters import samples
from tests.conftest import (
    NEW_PASSWORD,
    PASSWORD,
    activation_link,
    registration,
    reset_link,
    sign_in,
    uid,
)
from users import accounts, guard, hashing, tokens
from users.models import FailedSignIn, User

NOON = datetime.fromisoformat("2026-11-20T05:03:12Z")  # 14:03:12 in Seoul
SOON, MINUTE, DAYS = timedelta(seconds=6), timedelta(minutes=1), timedelta(days=2)
LANGUAGES = ("ko", "en", "zh-hant")
NAMES = {"ko": "김민지", "en": "Minji Kim", "zh-hant": "金敏智"}
REGISTER, STATUS = "/users/register/", "/users/register/success/"

# What cs_web.urls is with DEBUG and EMAIL_SERVICE=file.
urlpatterns = [*site_urlpatterns, path("mailbox/", include((mailbox.urls, "mailbox")))]

Pages = Iterator[tuple[str, Any]]


@dataclass(frozen=True)
class Stage:
    """Who plays, in which language. Their name and address may be as long as any."""

    language: str
    name: str
    user_id: str = "minji"
    address: str = "minji@naver.com"
    clock: Any = field(default=None, compare=False)

    def visitor(self, **options: Any) -> Client:
        return Client(headers={"accept-language": self.language}, **options)

    def register(self, address: str = "") -> Client:
        browser = self.visitor()
        browser.post(REGISTER, self.form(email=address or self.address))
        return browser

    def form(self, **changes: str) -> dict[str, str]:
        mine = {"user_id": self.user_id, "name": self.name, "email": self.address}
        return registration(**{**mine, **changes})

    def person(self, state: str = "active", user_id: str = "", email: str = "") -> User:
        person = accounts.register(
            user_id=user_id or self.user_id,
            email=email or self.address,
            name=self.name,
            password=PASSWORD,
            language=self.language,
            consent="2026-11-21",
        )
        return person if state == "waiting" else accounts.activate(person)

    def signed_in(self) -> Client:
        browser = self.visitor()
        browser.force_login(self.person())
        return browser

    def after(self, time: timedelta) -> None:
        self.clock.shift(time)


def stage(language: str, *, long: bool = False) -> Stage:
    here = Stage(language, NAMES[language])
    if not long:
        return here
    name = "Wolfeschlegelsteinhausenbergerdorff"
    return replace(here, name=name, user_id="a" * 30, address=f"{'m' * 50}@naver.com")


# What visitors see


def open_pages(on: Stage) -> Pages:
    browser = on.visitor()
    for name, address in {
        "home": "/",
        "terms": "/terms/",
        "privacy": "/privacy/",
        "register": REGISTER,
        "login": "/users/login/",
        "activate_resend": "/users/activate/resend/",
        "activate_resend_sent-plain": "/users/activate/resend/sent/",
        "password_reset": "/users/password/reset/",
        "password_reset_sent-plain": "/users/password/reset/sent/",
        "password_reset_done": "/users/password/reset/done/",
    }.items():
        yield name, browser.get(address)
    free = f"/users/register/id/?user_id={on.user_id}"
    yield free, browser.get(free)


def mistakes(on: Stage) -> Pages:
    on.person()
    browser = on.visitor()
    wrong = {"user_id": "관리자", "name": "", "email": "nobody@localhost", "password": "short"}
    yield "register-errors", browser.post(REGISTER, wrong)
    yield "register-taken", browser.post(REGISTER, on.form(email="new@example.com"))
    yield "login-errors", sign_in(browser, on.user_id, "whatever it is")
    yield "activate_resend-errors", browser.post("/users/activate/resend/", {"email": "x"})
    yield "password_reset-errors", browser.post("/users/password/reset/", {"email": "x"})


def links_asked_for(on: Stage) -> Pages:
    for form in ("activate_resend", "password_reset"):
        address = f"/users/{form.replace('_', '/')}/"
        for name, typed in (("", on.address), ("-suggestion", "minji@gmial.com")):
            yield f"{form}_sent{name}", on.visitor().post(address, {"email": typed}, follow=True)


def the_mail_page(on: Stage) -> Pages:
    """Every state that the message of a registration can be in."""
    browser = on.register()
    mail = Mail.objects.all()
    yield "register_success-waiting", browser.get(STATUS)
    on.after(SOON)
    mail.update(state=State.SENT, sent_at=timezone.now())
    yield "register_success-sent", browser.get(STATUS)
    wrong = {"email": "minji@localhost"}
    yield "register_success-wrong_address", browser.post("/users/register/address/", wrong)
    browser.post("/users/register/resend/")
    on.after(SOON)
    mail.filter(state=State.PENDING).update(cause=Cause.TURN, due=NOON + MINUTE)
    yield "register_success-turn", browser.get(STATUS)


def the_mail_page_when_it_goes_wrong(on: Stage) -> Pages:
    browser = on.register("minji@gmial.com")
    mail = Mail.objects.all()
    on.after(SOON)
    mail.update(cause=Cause.DISCONNECTED, attempts=1, due=timezone.now() + 4 * MINUTE)
    yield "register_success-later", browser.get(STATUS)
    mail.update(due=timezone.now() + DAYS)
    yield "register_success-later_with_date", browser.get(STATUS)
    mail.update(cause=Cause.BUDGET)
    yield "register_success-held", browser.get(STATUS)
    mail.update(state=State.REFUSED, cause=Cause.NO_MAILBOX)
    yield "register_success-refused_suggestion", browser.get(STATUS)
    User.objects.update(email="minji@example.com")
    mail.update(address="minji@example.com")
    yield "register_success-refused", browser.get(STATUS)
    yield (
        "register_success-refused_wrong_address",
        browser.post("/users/register/address/", {"email": "minji@localhost"}),
    )
    mail.update(state=State.FAILED, cause=Cause.RECIPIENT)
    yield "register_success-failed", browser.get(STATUS)
    on.after(DAYS)
    yield "register_success-expired", browser.get(STATUS)


def the_mail_page_in_the_end(on: Stage) -> Pages:
    browser = on.register("minji@gmial.com")
    on.after(SOON)
    Mail.objects.update(state=State.SENT, sent_at=timezone.now())
    yield "register_success-sent_suggestion", browser.get(STATUS)
    accounts.activate(User.objects.get())
    yield "register_success-confirmed", browser.get(STATUS)
    User.objects.all().delete()
    yield "register_success-ended", browser.get(STATUS)


def activation(on: Stage) -> Pages:
    browser, phone = on.register(), on.visitor()
    claim = User.objects.get()
    link = activation_link(claim)
    yield "login-waiting", sign_in(on.visitor(), on.user_id)
    elsewhere = phone.get(link, follow=True)
    yield "activate-elsewhere", elsewhere
    here = elsewhere.wsgi_request.path
    yield "activate-elsewhere_wrong", phone.post(here, {"password": "wrong"})
    choose = here.replace("/open/", "/password/")
    yield "activate_password", phone.get(choose)
    yield "activate_password-errors", phone.post(choose, {"new_password": on.user_id})
    yield "activate", browser.get(link, follow=True)
    yield "home-activated", browser.post(here, follow=True)
    yield "link_bad-done", phone.get(link)
    claim.refresh_from_db()
    notices = f"/users/notices/{uid(claim)}/{tokens.notices.make_token(claim)}/"
    yield "notices", phone.get(notices, follow=True)


def activation_refused(on: Stage) -> Pages:
    browser = on.register()
    link = activation_link(User.objects.get())
    yield "link_bad-activation", on.visitor().get(f"{link[:-3]}/")
    cancelled = on.visitor()
    cancelled.get(link)
    on.after(DAYS)
    yield "link_expired-activation", on.visitor().get(link, follow=True)
    browser.post("/users/register/resend/")
    yield "home-cancelled", browser.post("/users/register/cancel/", follow=True)


def passwords(on: Stage) -> Pages:
    person = on.person()
    link = reset_link(person)
    browser = on.visitor()
    page = browser.get(link, follow=True)
    yield "password_reset_confirm", page
    here = page.wsgi_request.path
    yield "password_reset_confirm-errors", browser.post(here, {"new_password": "password"})
    on.after(timedelta(hours=1))
    yield "link_expired-reset", browser.get(here)
    yield "link_bad-reset", browser.get(f"{link[:-3]}/")


def signed_in(on: Stage) -> Pages:
    browser = on.signed_in()
    yield "home-signed_in", browser.get("/")
    change = "/users/password/change/"
    yield "password_change", browser.get(change)
    wrong = {"old_password": "wrong", "new_password": "password"}
    yield "password_change-errors", browser.post(change, wrong)
    right = {"old_password": PASSWORD, "new_password": NEW_PASSWORD}
    yield "home-password_changed", browser.post(change, right, follow=True)
    yield "403-staff_only", browser.get("/admin/login/")


ACCOUNT = "/users/account/"


def account(on: Stage) -> Pages:
    browser = on.visitor()
    person = on.person()
    sign_in(on.visitor(), on.user_id)
    sign_in(browser, on.user_id, "wrong")
    sign_in(browser, on.user_id)
    browser.get("/")
    for name, tab in {"": "", "_security": "security/", "_activity": "activity/"}.items():
        yield f"account{name}", browser.get(f"{ACCOUNT}{tab}")
    yield "account-errors", browser.post(ACCOUNT, {"name": "", "language": "x"})
    form = {"email": "minji@gmial.com"}
    yield "address", browser.get(f"{ACCOUNT}address/")
    yield "address-errors", browser.post(f"{ACCOUNT}address/", {"email": on.address})
    yield "address-pending", browser.post(f"{ACCOUNT}address/", form, follow=True)
    accounts.confirm_address(User.objects.get(pk=person.pk))
    yield "account_data", browser.get(f"{ACCOUNT}data/")
    yield "account_data-all", browser.get(f"{ACCOUNT}data/?part=all")
    yield "deletion", browser.get(f"{ACCOUNT}deletion/")
    on.after(timedelta(minutes=11))
    yield "proof", browser.post(f"{ACCOUNT}address/", form)
    yield "proof-errors", browser.post(f"{ACCOUNT}address/", {**form, "proof": "wrong"})


def links_of_an_account(on: Stage) -> Pages:
    person, browser = on.person(), on.visitor()
    accounts.request_address(person, "minji@example.com")
    person = User.objects.get(pk=person.pk)

    def link(name: str, whose: User, keys: Any) -> str:
        return f"/users/{name}/{uid(whose)}/{keys.make_token(whose)}/"

    page = browser.get(link("address", person, tokens.address), follow=True)
    yield "address_confirm-elsewhere", page
    wrong = browser.post(page.wsgi_request.path, {"password": "wrong"})
    yield "address_confirm-elsewhere_wrong", wrong
    person = accounts.confirm_address(person)
    past = person.selves()[1]
    taken = link("take-back", past, tokens.take_back)
    page = browser.get(taken, follow=True)
    yield "take_back", page
    yield "home-taken_back", browser.post(page.wsgi_request.path, follow=True)
    yield "link_bad-take_back", browser.get(taken)
    accounts.request_deletion(person)
    person = User.objects.get(pk=person.pk)
    page = browser.get(link("deletion", person, tokens.deletion), follow=True)
    yield "deletion_undo", page
    yield "login-kept", browser.post(page.wsgi_request.path, follow=True)


def refusals(on: Stage) -> Pages:
    browser = on.visitor()
    yield "400", browser.get("/?x=%00")
    yield "403", browser.get(STATUS)
    yield "403_csrf", on.visitor(enforce_csrf_checks=True).post(REGISTER, {})
    yield "404", browser.get("/nothing/here/")
    yield "405", browser.get("/users/register/cancel/")
    with override_settings(FORMS_PER_NETWORK_LIMIT=0):
        yield "429", browser.post(REGISTER, {})
    for name, refusal in {
        "login_later-seconds": guard.TooMany(45),
        "login_later-minutes": guard.TooMany(2400),
        "503": hashing.Busy(3),
    }.items():
        with mock.patch("users.guard._check", side_effect=refusal):
            yield name, sign_in(browser, on.user_id)


def faults(on: Stage) -> Pages:
    browser = on.visitor(raise_request_exception=False)
    locked = sqlite3.OperationalError("database is locked")
    locked.sqlite_errorcode = sqlite3.SQLITE_LOCKED
    for name, error in {"500": RuntimeError("a fault"), "503_database": locked}.items():
        with mock.patch.object(TemplateView, "get", side_effect=error):
            yield name, browser.get("/")


def development(on: Stage) -> Pages:
    """What EMAIL_SERVICE=file adds."""
    with (
        tempfile.TemporaryDirectory() as folder,
        override_settings(
            DEBUG=True, EMAIL_SERVICE="file", MAILBOX_DIR=Path(folder), ROOT_URLCONF=__name__
        ),
    ):
        browser = on.visitor()
        yield "mailbox-empty", browser.get("/mailbox/")
        name = f"{int(NOON.timestamp())}000000000-{LANGUAGES.index(on.language):08}"
        message = samples["register"](on.language).message().as_bytes()
        (Path(folder) / f"{name}.eml").write_bytes(message)
        yield "mailbox-list", browser.get("/mailbox/")
        yield "mailbox-message", browser.get(f"/mailbox/{name}/")
        yield f"/mailbox/{name}/html/", browser.get(f"/mailbox/{name}/html/")
        yield "register_success-mailbox", on.register().get(STATUS)


OF_VISITORS: list[Callable[[Stage], Pages]] = [
    open_pages,
    mistakes,
    links_asked_for,
    the_mail_page,
    the_mail_page_when_it_goes_wrong,
    the_mail_page_in_the_end,
    activation,
    activation_refused,
    passwords,
    signed_in,
    account,
    links_of_an_account,
    refusals,
    faults,
    development,
]


# What staff sees


def admin_pages(on: Stage) -> Pages:
    office = on.visitor()
    root = User.objects.create_superuser("root", "root@example.com", PASSWORD, name="Root")
    User.objects.update(language=on.language)
    office.force_login(root)
    yield "/admin/jsi18n/", office.get("/admin/jsi18n/")
    yield "admin-index", office.get("/admin/")
    for model in ("mail/mail", "mail/suppression", "mail/report"):
        yield f"admin-{model[5:]}-empty", office.get(f"/admin/{model}/")
    person = on.person()
    waiting = on.person("waiting", "jiwoo", "jiwoo@example.com")
    FailedSignIn.objects.create(
        name=guard.hashed(person.user_id), network="203.0.113.7", times=3, day=timezone.localdate()
    )
    mail = posting.post("register", user=waiting)
    Mail.objects.filter(pk=mail.pk).update(attempts=2, error="the mail server hung up")
    for number in (1, 2):
        Attempt.objects.create(mail=mail, number=number, what="the mail server hung up")
    Suppression.objects.suppress("eve@example.com", Suppression.Reason.DECLINED)
    Suppression.objects.suppress(waiting.email, Suppression.Reason.BOUNCED)
    report = Report.objects.create(fault="ValueError in users/views/login.py:12", times=3)
    lists = {"user": "users/user", "mail": "mail/mail", "suppression": "mail/suppression"}
    lists["report"] = "mail/report"
    for name, model in lists.items():
        yield f"admin-{name}", office.get(f"/admin/{model}/")
    yield "admin-user-found", office.get("/admin/users/user/?state=waiting&q=jiwoo")
    yield "admin-user-active", office.get(f"/admin/users/user/{person.pk}/change/")
    yield "admin-user-waiting", office.get(f"/admin/users/user/{waiting.pk}/change/")
    yield "admin-user-delete", office.get(f"/admin/users/user/{person.pk}/delete/")
    chosen = {"action": "send_reset", "_selected_action": [str(person.pk), str(waiting.pk)]}
    yield "admin-user-done", office.post("/admin/users/user/", chosen, follow=True)
    yield "admin-user-history", office.get(f"/admin/users/user/{person.pk}/history/")
    selected = {**chosen, "action": "delete_selected"}
    yield "admin-user-delete_selected", office.post("/admin/users/user/", selected)
    yield "admin-mail-message", office.get(f"/admin/mail/mail/{mail.pk}/change/")
    refused = Suppression.objects.get(address="eve@example.com")
    yield "admin-suppression-one", office.get(f"/admin/mail/suppression/{refused.pk}/change/")
    yield "admin-report-one", office.get(f"/admin/mail/report/{report.pk}/change/")
    preview, which = "/admin/mail/mail/preview/", f"?letter=register&language={on.language}"
    yield "admin-preview", office.get(f"{preview}{which}")
    yield f"{preview}html/{which}", office.get(f"{preview}html/{which}")
    alarms.raise_(Cause.LOGIN, "the login was refused: 535 5.7.8 authentication failed")
    yield "admin-trouble", office.get("/admin/users/user/")
    alarms.forget()


OF_STAFF = [admin_pages]


# All of them


@dataclass(frozen=True)
class Page:
    name: str
    language: str
    status: int
    html: str
    headers: dict[str, str]

    @property
    def is_part(self) -> bool:
        return self.name.startswith("/")

    @property
    def path(self) -> str:
        return self.name if self.is_part else f"/{self.language}/{self.name}"


def pages(
    on: Stage, stories: list[Callable[[Stage], Pages]], seen: set[str] | None = None
) -> list[Page]:
    """Plays the stories and takes back what they wrote. `seen` gets the templates' names."""

    def note(template: Any, **_: Any) -> None:
        if seen is not None and template.name:
            seen.add(template.name)

    found = []
    template_rendered.connect(note)
    logging.disable()
    try:
        for story in stories:
            cache.clear()
            with (
                time_machine.travel(timezone.localtime(NOON), tick=False) as clock,
                translation.override(on.language),
                transaction.atomic(),
            ):
                for name, response in story(replace(on, clock=clock)):
                    found.append(_page(name, on.language, response))
                transaction.set_rollback(True)
    finally:
        logging.disable(logging.NOTSET)
        template_rendered.disconnect(note)
        alarms.forget()
        cache.clear()
    return found


def _page(name: str, language: str, response: HttpResponse) -> Page:
    text, headers = response.content.decode(), dict(response.headers)
    return Page(name, language, response.status_code, text, headers)
