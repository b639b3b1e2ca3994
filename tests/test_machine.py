"""A state machine: owners, strangers and staff do whatever they can, in any order, with a clock.

It holds that nothing a stranger does changes what an owner can do within the hour; that an address
has one account; that a link works once; that a disabled account never acts; and that there is no
mail without its change and no change without its mail.

The same examples every time, and few. MACHINE=long looks for new ones (MACHINE_EXAMPLES=1000 of
them), and prints what it finds as a program.
"""

import logging
import os
import smtplib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
import time_machine
from django.core import mail as django_mail
from django.core.cache import cache
from django.db import DatabaseError, transaction
from django.test import override_settings
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mail.models import Budget, Mail, State, mailbox_of
from mail.queue import delivering, limits
from mail.queue.alarms import alarms
from tests.conftest import PASSWORD, registration
from tests.town import (
    ADDRESSES,
    LIVES,
    MAILBOX,
    OPEN,
    OWNERS,
    READER,
    SECOND,
    STRANGERS,
    VISITORS,
    Link,
    Seen,
    Town,
    browser,
    links_in,
    signed_in,
)
from users import guard, tokens
from users.models import User
from users.views.activate import ActivationLink

LONG = os.environ.get("MACHINE") == "long"
EXAMPLES = int(os.environ.get("MACHINE_EXAMPLES", "1000" if LONG else "6"))
STEPS = int(os.environ.get("MACHINE_STEPS", "50" if LONG else "30"))
# Making a failure short takes minutes, and is for whoever looks into it.
PHASES = [Phase.generate, Phase.shrink] if os.environ.get("MACHINE_SHRINK") else [Phase.generate]
START = datetime(2026, 11, 20, 9, tzinfo=timezone.get_fixed_timezone(0))
# So small that strangers of six networks can use up all of it, if they are let.
BUDGET = 30
# The last tenth, which resets in a browser of the owner's may use; those in others the one before.
TENTH = BUDGET // 10
LEAKED = "bora"  # whose first password eve knows
HOUR = timedelta(hours=1)
REPLIES = {
    "away": ConnectionRefusedError(),
    "login": smtplib.SMTPAuthenticationError(535, b"no"),
    "mailbox": smtplib.SMTPRecipientsRefused({"x": (550, b"5.1.1 no such user")}),
}

visitors, strangers = st.sampled_from(VISITORS), st.sampled_from(STRANGERS)
owners, numbers = st.sampled_from(OWNERS), st.sampled_from([0, 1])
addresses, some = st.sampled_from(ADDRESSES), st.integers(0, 5)
ASKING = {
    "password/reset/": {"password_reset"},
    "activate/resend/": {"activate_resend", "register"},
}
STAFF_ACTS = ["disable", "activate", "send_reset", "end_sessions"]
PAGES = [OPEN, OPEN, OPEN, "password", "decline", "renew"]
purposes = st.sampled_from(list(LIVES))


class Machine(RuleBasedStateMachine):
    begin: Town  # which `busy` has made

    def __init__(self) -> None:
        super().__init__()
        self.end = ExitStack()
        self.clock = self.end.enter_context(time_machine.travel(START, tick=False))
        self.end.enter_context(undone())
        logging.disable(logging.CRITICAL)  # thousands of refusals, each with its traceback
        self.end.callback(logging.disable, logging.NOTSET)
        self.town = self.begin.copy()
        self.staff = browser("root", 0)
        # Browsers: those that have registered something, and those that were signed in lately.
        self.claiming = [("trent", 0), ("mallory", 0)]
        self.members = sorted(signed_in(self.town.browsers))
        self.breaks, self.stormy, self.server = False, False, "up"

    def teardown(self) -> None:
        try:
            for name in OWNERS:
                self.comes_back(name)
        finally:
            self.end.close()

    # What visitors do

    @rule(who=visitors, number=numbers, email=addresses, user_id=st.sampled_from(["", "same"]))
    def register(self, who: str, number: int, email: str, user_id: str) -> None:
        password = self.town.new_password(who)
        form = registration(user_id=user_id or f"{who}-{self.town.chosen}", email=email)
        form |= {"password": password}
        with self.act(who, number, may_post={"register"}) as seen:
            self.post(who, number, "register/", form)
        for pk in self.town.look().people.keys() - seen.people.keys():
            self.town.passwords[pk] = (who, password)
            self.claiming.append((who, number))

    @precondition(lambda self: self.claiming)
    @rule(which=some, page=st.sampled_from(["resend", "address", "cancel"]), email=addresses)
    def go_on_with_a_claim(self, which: int, page: str, email: str) -> None:
        who, number = self.claiming[-1 - which % len(self.claiming)]
        with self.act(who, number, may_post={"register"}):
            self.post(who, number, f"register/{page}/", {"email": email})

    @rule(who=visitors, number=numbers, email=addresses, page=st.sampled_from(list(ASKING)))
    def ask_for_a_letter(self, who: str, number: int, email: str, page: str) -> None:
        with self.act(who, number, may_post=ASKING[page]):
            self.post(who, number, page, {"email": email})

    @rule(who=visitors, number=numbers, which=some, by_address=st.booleans())
    def sign_in_rightly(self, who: str, number: int, which: int, by_address: bool) -> None:
        if mine := self.town.accounts_of(who):
            person = mine[which % len(mine)]
            name = person.email if by_address else person.user_id
            self.sign_in(who, number, name, self.town.passwords[person.pk][1])

    @rule(who=visitors, number=numbers, at=owners, times=st.sampled_from([1, 12]))
    def guess(self, who: str, number: int, at: str, times: int) -> None:
        for _ in range(times):
            self.sign_in(who, number, at, "a wrong guess")
            if who in STRANGERS:
                assert at == LEAKED or self.inside(who, number) != self.town.people[at].pk

    @rule(number=numbers)
    def use_the_leaked_password(self, number: int) -> None:
        self.sign_in("eve", number, LEAKED, PASSWORD)

    @precondition(lambda self: self.members)
    @rule(which=some)
    def sign_out(self, which: int) -> None:
        who, number = self.members[which % len(self.members)]
        with self.act(who, number):
            self.post(who, number, "logout/")
        assert not self.inside(who, number)

    @precondition(lambda self: self.members)
    @rule(which=some, rightly=st.sampled_from([True, True, False]))
    def change_the_password(self, which: int, rightly: bool) -> None:
        who, number = self.members[which % len(self.members)]
        person = self.inside(who, number)
        by, old = self.town.passwords.get(person, ("", "x"))
        if by != who or not rightly:  # whoever has only the session does not know it
            old = "a wrong guess"
        new = self.town.new_password(who)
        form = {"old_password": old, "new_password": new}
        with self.act(who, number, may_post={"password_change", "login_failures"}):
            self.post(who, number, "password/change/", form)
        self.remember_password(person, who, new)

    @precondition(lambda self: self.members)
    @rule(which=some, everywhere=st.booleans())
    def end_the_sessions(self, which: int, everywhere: bool) -> None:
        if not (mine := self.mine(which)):
            return
        who, number, person, password = mine
        form = {"proof": password} | ({"everywhere": "on"} if everywhere else {})
        with self.act(who, number, may_post={"login_failures"}) as seen:
            self.post(who, number, "account/security/end/all/", form)
        if self.status == 302:
            theirs = [at for at, (whose, _) in seen.signed_in.items() if whose == person]
            ended = {seen.signed_in[at][1] for at in theirs if everywhere or at != (who, number)}
            self.town.ended |= ended
            assert not ended & {key for _, key in signed_in(self.town.browsers).values()}

    @precondition(lambda self: self.members)
    @rule(which=some, email=addresses, second=st.booleans())
    def ask_for_another_address(self, which: int, email: str, second: bool) -> None:
        """Owners move between their own two mailboxes; strangers try to get that of somebody."""
        if mine := self.mine(which):
            who, number, person, password = mine
            if who in OWNERS:
                email = SECOND[who] if second else MAILBOX[who]
            form = {"email": email, "proof": password}
            before = [one for one in self.town.links if one.person == person]
            with self.act(who, number, may_post={"address_confirm", "login_failures"}):
                self.post(who, number, "account/address/", form)
            if self.status == 302:  # its own link may have come meanwhile
                self.town.dead |= {one.path for one in before if one.purpose == "address"}

    @precondition(lambda self: self.members)
    @rule(which=some)
    def ask_for_deletion(self, which: int) -> None:
        if mine := self.mine(which):
            who, number, _, password = mine
            with self.act(who, number, may_post={"deletion", "login_failures"}):
                self.post(who, number, "account/deletion/", {"proof": password})
            assert self.status != 302 or not self.inside(who, number)

    def mine(self, which: int) -> tuple[str, int, Any, str] | None:
        """A browser in which somebody is signed in to an account with the password they chose. What
        a thief of one can do, and how its owner gets the account back, is in test_take_back.py."""
        who, number = self.members[which % len(self.members)]
        person = self.inside(who, number)
        by, password = self.town.passwords.get(person, ("", ""))
        return (who, number, person, password) if by == who else None

    # What the readers of a mailbox do with its links

    @precondition(lambda self: self.town.links)
    @rule(purpose=purposes, which=some, number=numbers, page=st.sampled_from(PAGES))
    def use_a_link(self, purpose: str, which: int, number: int, page: str) -> None:
        if link := self.pick(purpose, which):
            by, password = self.town.passwords.get(link.person, ("", ""))
            typed = password if by == READER[link.mailbox] else "a wrong guess"
            self.use(link, number, page, {"password": typed})

    def use(self, link: Link, number: int, page: str, form: dict[str, str]) -> None:
        who = READER[link.mailbox]
        new = self.town.new_password(who)
        form |= {"new_password": new}
        may_post = {"password_change", "login_failures", "address_changed", "take_back"}
        if page == "renew":
            may_post |= {"register", "password_reset"}
        with self.act(who, number):  # changes nothing, and posts nothing
            opened = self.town.browsers[who, number].get(link.path, follow=True)
            assert opened.status_code in (200, 404, 410)
            # A second click on the link that has activated the account leads home.
            if link.path in self.town.dead and opened.status_code == 200:
                assert opened.redirect_chain[-1][0] == "/"
        with self.act(who, number, link=link, may_post=may_post):
            self.post(who, number, link.beside(page).removeprefix("/users/"), form)
        self.remember_password(link.person, who, new)
        if link.purpose == "take-back" and self.status == 302:
            self.town.passwords.pop(link.person, None)  # nobody knows one until the next reset

    def pick(self, purpose: str, which: int) -> Link | None:
        """One of the newest."""
        links = [link for link in self.town.links if link.purpose == purpose]
        return links[-1 - which % len(links)] if links else None

    # Staff, the clock, the senders

    @rule(which=some, action=st.sampled_from(STAFF_ACTS))
    def staff_acts(self, which: int, action: str) -> None:
        everybody = list(User.objects.filter(is_staff=False).order_by("created_at"))
        person = everybody[which % len(everybody)]
        self.staff.post("/users/login/", {"username": "root", "password": PASSWORD})
        form = {"action": action, "_selected_action": [str(person.pk)]}
        with self.act("root", 0, may_post={"password_reset_by_staff"}):
            form["proof"] = PASSWORD
            assert self.staff.post("/admin/users/user/", form).status_code in (302, 500)
        if action == "end_sessions" and person.is_active:
            assert person.pk not in {whose for whose, _ in signed_in(self.town.browsers).values()}

    @rule(seconds=st.sampled_from([30, 90, 600, 1800, 3601, 86400, 3 * 86400]))
    def time_passes(self, seconds: int) -> None:
        self.clock.shift(seconds)
        self.mail_is_delivered()

    @rule(server=st.sampled_from(["up", "up", "late", *REPLIES]))
    def the_mail_server_is(self, server: str) -> None:
        self.server = server
        self.mail_is_delivered()

    def mail_is_delivered(self) -> None:
        if self.server in REPLIES:
            with patch("mail.transport.connection.send", side_effect=REPLIES[self.server]):
                self.deliver()
        elif self.server == "up":
            self.deliver()

    @rule(after_sending=st.booleans())
    def a_sender_crashes(self, after_sending: bool) -> None:
        due = Mail.objects.overdue().first()
        if due and after_sending:
            with patch("mail.queue.delivering._mark", side_effect=DatabaseError):
                self.deliver(due.pk)
        elif due:
            due.claim()

    @rule()
    def the_database_breaks_at_the_next_form(self) -> None:
        self.breaks = True

    @precondition(lambda self: not self.stormy)
    @rule()
    def strangers_use_up_what_they_can(self) -> None:
        """All of their networks register as many addresses as one network may cause letters to."""
        self.stormy = True
        for who, number in self.town.browsers:
            for one in range(BUDGET // 5 if who in STRANGERS else 0):
                visitor, user_id = browser(who, number), f"{who}-{number}-{one}"
                form = registration(user_id=user_id, email=f"{user_id}@example.com")
                assert visitor.post("/users/register/", form).status_code in (200, 302)
        self.deliver(keep=False)

    # What must hold for an owner

    @rule(name=owners)
    def an_owner_comes_back(self, name: str) -> None:
        self.comes_back(name)

    def comes_back(self, name: str) -> None:
        """Within the hour, whatever has happened: by the browser they know, and by a reset."""
        owner = User.objects.get(pk=self.town.people[name].pk)
        if owner.is_active:
            ways = [self.resets_within_the_hour]
            if owner.has_usable_password():
                ways.append(self.signs_in_within_the_hour)
            for way in ways:
                before, letters = timezone.now(), len(django_mail.outbox)
                with undone():
                    assert way(name, owner), f"{name}: {way.__name__}"
                self.clock.move_to(before)
                del django_mail.outbox[letters:]
                alarms.forget()

    def signs_in_within_the_hour(self, name: str, owner: User) -> bool:
        known = browser(name, 0)
        known.cookies["device"] = self.town.browsers[name, 0].cookies["device"].value
        form = {"username": owner.user_id, "password": self.town.passwords[owner.pk][1]}
        end = timezone.now() + HOUR
        while timezone.now() <= end:
            response = known.post("/users/login/", form)
            if "/users/deletion/" in response.get("Location", ""):
                known.post(response["Location"])  # "keep my account", and once more
            elif response.status_code == 429:
                self.clock.shift(int(response["Retry-After"]))
            else:
                return bool(signed_in({0: known}))
        return False

    def resets_within_the_hour(self, name: str, owner: User) -> bool:
        """They ask by their telephone, and again every ten minutes; a stranger asks, too."""
        phone, mallory = browser(name, 9), browser("mallory", 9)
        phone.cookies["device"] = self.town.browsers[name, 0].cookies["device"].value
        request = phone.get("/users/login/").wsgi_request
        known = guard.hashed(owner.email.lower()) in guard.names_known(request)
        links = [link for link in self.town.links if link.mailbox == mailbox_of(owner.email)]
        for minute in range(0, 61, 5):
            for visitor in (mallory, phone) if minute % 10 == 0 else ():
                visitor.post("/users/password/reset/", {"email": owner.email})
            links += self.deliver(keep=False)
            for link in links:
                if (link.person, link.purpose) == (owner.pk, "password/reset") and link.is_fresh:
                    phone.get(link.path)
                    new = {"new_password": "staple-horse-0"}
                    if phone.post(link.page, new).status_code == 302:
                        form = {"username": owner.user_id, "password": "staple-horse-0"}
                        if "/users/deletion/" in phone.post("/users/login/", form)["Location"]:
                            return True  # and may keep the account
                        return bool(signed_in({0: phone}))
            self.clock.shift(300)
        asked = {"sent_at__gt": timezone.now() - limits.DAY - HOUR}
        owners = Mail.objects.filter(budget=Budget.OWNER, **asked)
        # Only owners themselves can use up the last of it; of the rest docs/security.md says who.
        return (owners.filter(asker="") if known else owners).count() >= TENTH

    # How it is done, and what must hold after each act

    def post(self, who: str, number: int, page: str, form: dict[str, str] | None = None) -> None:
        response = self.town.browsers[who, number].post(f"/users/{page}", form or {})
        self.status = response.status_code
        assert self.status in (200, 302, 403, 404, 405, 410, 429) or (
            self.breaks and self.status == 500
        )

    def sign_in(self, who: str, number: int, username: str, password: str) -> None:
        with self.act(who, number, may_post={"login_failures", "new_device"}):
            self.post(who, number, "login/", {"username": username, "password": password})

    def inside(self, who: str, number: int) -> Any:
        """As whom this browser is signed in."""
        return signed_in(self.town.browsers).get((who, number), (None,))[0]

    def remember_password(self, pk: Any, who: str, new: str) -> None:
        person = User.objects.filter(pk=pk).first()
        if person and person.check_password(new):
            self.town.passwords[pk] = (who, new)

    def deliver(self, only: Any = None, keep: bool = True) -> list[Link]:
        before = len(django_mail.outbox)
        for pk in [only] if only else [pk for pk, _ in delivering.overdue()]:
            try:
                delivering.deliver(pk)
            except DatabaseError:
                assert only
        letters = django_mail.outbox[before:]
        rows = Mail.objects.in_bulk([one.extra_headers["Message-ID"][1:37] for one in letters])
        assert len(rows) == len(letters), "no letter without its row, and none twice"
        assert only or {row.state for row in rows.values()} <= {State.SENT}
        found = [link for letter in letters for link in links_in(letter)]
        if keep:
            self.town.links += found
        self.clock.shift(1)
        return found

    @contextmanager
    def act(
        self, who: str, number: int, *, link: Link | None = None, may_post: set[str] | None = None
    ) -> Iterator[Seen]:
        before, self.status = self.town.look(), 0
        with ExitStack() as stack:
            if self.breaks:
                broken = patch.object(transaction, "on_commit", side_effect=DatabaseError)
                stack.enter_context(broken)
            yield before
        after = self.town.look()
        was_broken, self.breaks = (
            self.breaks and self.status == 500,
            self.breaks and not self.status,
        )
        changed = before.people != after.people
        posted = {after.posted[one] for one in after.posted.keys() - before.posted.keys()}
        assert {letter for letter, *_ in posted} <= (may_post or set())
        if was_broken:
            assert not changed, "no change without its mail"
            alone = {"activate_resend", "password_reset"}  # here the mail is all that changes
            assert {letter for letter, *_ in posted} <= alone, "no mail without its change"
        if who in STRANGERS:
            ours = [self.town.people[name].pk for name in (*OWNERS, "root")]
            assert before.owners(ours) == after.owners(ours)
        for pk in before.people.keys() | after.people.keys():
            old, new = before.people.get(pk), after.people.get(pk)
            if old != new:
                self.of_a_change(who, number, pk, old, new, link, before, posted)
        for letter, pk, address in posted:
            if letter == "register":
                assert after.people[pk]["email"] == address
            if letter == "password_change":
                assert before.people[pk]["password"] != after.people[pk]["password"]
            if letter == "new_device":
                assert after.signed_in[who, number][0] == pk
                assert (who, number) not in before.signed_in, "only a sign-in is told"
        self.of_all_accounts(after)
        self.members = sorted(after.signed_in)
        self.clock.shift(1)
        self.mail_is_delivered()

    def of_a_change(
        self,
        who: str,
        number: int,
        pk: Any,
        old: dict[str, Any] | None,
        new: dict[str, Any] | None,
        link: Link | None,
        before: Seen,
        posted: set[tuple[str, Any, str]],
    ) -> None:
        by_staff, mine = who == "root", link is not None and link.person == pk
        if mine and link:
            assert link.path not in self.town.dead, "a link works once"
            assert link.is_fresh, "and in its time"
        if old is None:
            assert new
            assert ("register", pk, new["email"]) in posted
            return
        if new is None:
            assert old["activated_at"] is None, "no form deletes an account"
            return self.town.bury(pk, *LIVES)
        changed = {column for column in old if old[column] != new[column]}
        taken_back = mine and link is not None and link.purpose == "take-back"
        if "email" in changed and old["activated_at"] is None:
            assert ("register", pk, new["email"]) in posted
            self.town.bury(pk, "activate")
        elif "email" in changed:
            assert link
            assert link.mailbox == mailbox_of(new["email"]), "its reader has confirmed it"
            assert taken_back or (mine and link.purpose == "address")
            self.town.bury(pk, "password/reset", "address", "deletion", "notices")
            if taken_back:  # what was made for the address that is theirs again
                self.town.dig_out(link.mailbox, "notices")
        if taken_back:
            assert ("take_back", pk, new["email"]) in posted
            assert new["deletion_asked_at"] is None
            assert not User.objects.get(pk=pk).has_usable_password()
            self.town.bury(pk, "take-back", "password/reset", "address", "deletion")
        if "deletion_asked_at" in changed:
            self.of_a_deletion(who, number, pk, new, link if mine else None, before, posted)
        if "secured_at" in changed and not taken_back and link and link.purpose != "address":
            assert mine
            assert link.purpose == "password/reset", "only the reader of the mailbox"
            self.town.bury_of(link.mailbox, "take-back")
        if "password" in changed and not taken_back:
            session = before.signed_in.get((who, number))
            inside = session is not None and session[0] == pk
            opened = mine and link and link.purpose == "password/reset"
            by_activation = mine and "activated_at" in changed
            assert (inside or opened) != by_activation
            assert by_activation or ("password_change", pk, new["email"]) in posted
            assert by_activation or old["is_active"]
            self.town.bury(pk, "activate", "password/reset", "address")
        if "activated_at" in changed:
            assert by_staff or (mine and link and link.purpose == "activate")
            knows_it = "password" in changed or self.town.passwords.get(pk, ("",))[0] == who
            assert by_staff or knows_it, "only who holds the mailbox and the password"
            self.town.bury(pk, "activate")
        elif "is_active" in changed:
            assert by_staff, "only staff disables, and lets in again"
            if not new["is_active"]:
                self.town.bury(pk, "activate", "password/reset")
        if "taken_notices" in changed:
            assert mine
            self.town.bury(pk, "notices")
        if changed & {"password", "session_epoch"}:
            others = before.signed_in.items()
            ended = {key for at, (whose, key) in others if whose == pk and at != (who, number)}
            self.town.ended |= ended

    def of_a_deletion(
        self,
        who: str,
        number: int,
        pk: Any,
        new: dict[str, Any],
        link: Link | None,
        before: Seen,
        posted: set[tuple[str, Any, str]],
    ) -> None:
        if new["deletion_asked_at"]:
            assert before.signed_in[who, number][0] == pk, "by nobody but its owner"
            assert ("deletion", pk, new["email"]) in posted
            self.town.bury(pk, "password/reset", "address")
        else:
            by_link = link is not None and link.purpose in ("deletion", "take-back")
            assert by_link or not new["is_active"]
        self.town.bury(pk, "deletion")

    def of_all_accounts(self, after: Seen) -> None:
        proven = [one["email"].lower() for one in after.people.values() if one["activated_at"]]
        assert len(proven) == len(set(proven)), "an address has one account"
        for pk, session in after.signed_in.values():
            assert after.people[pk]["is_active"], "a disabled account never acts"
            assert session not in self.town.ended, "a session that was ended stays dead"


@contextmanager
def undone() -> Iterator[None]:
    """Whatever happens inside is undone in the database, and forgotten in the process."""
    savepoint = transaction.savepoint()
    cache.clear()
    alarms.forget()
    try:
        yield
    finally:
        transaction.savepoint_rollback(savepoint)


def busy(people: dict[str, User]) -> Town:
    """Everybody is in the midst of something, so that no example has to get there first."""
    browsers = {(name, number): browser(name, number) for name in VISITORS for number in (0, 1)}
    town = Town(people, browsers, {people[name].pk: (name, PASSWORD) for name in OWNERS})
    for at in (("alice", 0), ("bora", 0), ("bora", 1)):
        browsers[at].post("/users/login/", {"username": at[0], "password": PASSWORD})
    for who, email in (("trent", "new@example.com"), ("mallory", MAILBOX["alice"])):
        browsers[who, 0].post("/users/register/", registration(user_id=who, email=email))
        town.passwords[User.objects.get(user_id=who).pk] = (who, PASSWORD)
    browsers["bora", 1].post("/users/logout/")
    browsers["alice", 0].post("/users/account/address/", {"email": SECOND["alice"]})
    browsers["bora", 1].post("/users/password/reset/", {"email": MAILBOX["bora"]})
    for pk, _ in delivering.overdue():
        delivering.deliver(pk)
    town.links = [link for letter in django_mail.outbox for link in links_in(letter)]
    assert {link.purpose for link in town.links} == {*LIVES} - {"deletion"}
    return town


@pytest.fixture
def town(cast: Any) -> None:
    with time_machine.travel(START - timedelta(days=30), tick=False):
        people = {name: cast(name, email=MAILBOX[name]) for name in OWNERS}
        people["root"] = User.objects.create_superuser("root", "root@example.com", PASSWORD)
    with time_machine.travel(START - timedelta(minutes=5), tick=False):
        Machine.begin = busy(people)


@override_settings(EMAIL_DAILY_LIMIT=BUDGET)
def test_nothing_that_strangers_do_costs_an_owner_anything(town: None) -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            derandomize=not LONG,
            database=None,
            deadline=None,
            print_blob=LONG,
            phases=PHASES,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


# It can fail: with a fault planted, a short story is enough.


@pytest.fixture
def machine(town: None, settings: Any) -> Iterator[Machine]:
    settings.EMAIL_DAILY_LIMIT = BUDGET
    machine = Machine()
    yield machine
    machine.end.close()


def test_it_sees_strangers_use_up_what_is_reserved(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FOR_STRANGERS", 1.0)
    monkeypatch.setattr(limits, "FOR_ALL_BUT_OWNERS", 1.0)
    machine.strangers_use_up_what_they_can()
    with pytest.raises(AssertionError, match="alice: resets_within_the_hour"):
        machine.comes_back("alice")


def test_it_sees_a_link_that_works_twice(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(  # the same before and after
        tokens.ResetTokenGenerator, "_make_hash_value", lambda self, user, made: str(made)
    )
    with machine.act("bora", 1, may_post={"password_reset"}):
        machine.post("bora", 1, "password/reset/", {"email": MAILBOX["bora"]})
    link = machine.pick("password/reset", 0)
    assert link
    machine.use(link, 1, OPEN, {})
    with pytest.raises(AssertionError):
        machine.use(link, 1, OPEN, {})


def test_it_sees_an_account_that_opens_without_its_password(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ActivationLink, "same_browser", True)
    form = registration(user_id="trap", email=MAILBOX["trent"])
    with machine.act("mallory", 1, may_post={"register"}):
        machine.post("mallory", 1, "register/", form)
    machine.town.passwords[User.objects.get(user_id="trap").pk] = ("mallory", PASSWORD)
    link = machine.pick("activate", 0)
    assert link
    with pytest.raises(AssertionError, match="only who holds the mailbox and the password"):
        machine.use(link, 1, OPEN, {"password": "a wrong guess"})
