"""Real threads, each with its own connection to a database in a file, and processes that fork."""

from pathlib import Path

from mail.models import State
from tests.elsewhere import DEVELOPMENT, Site


def test_of_many_threads_that_ask_at_once_one_gets_the_probe(tmp_path: Path) -> None:
    """Real threads, with a connection each."""
    site = Site(tmp_path, **DEVELOPMENT).migrate()
    assert site.story(MANY_PROBES) == f"{[1] * 20}\n"


MANY_PROBES = """
django.setup()
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from django.db import connections
from mail.causes import Cause
from mail.queue.alarms import Alarms

now = datetime(2026, 3, 2, 12, tzinfo=UTC)
alarms = Alarms(lambda: now)
alarms.raise_(Cause.LOGIN, "the login was refused")
barrier, taken = Barrier(6), []

def ask():
    for minute in range(1, 21):
        global now
        if barrier.wait() == 0:
            now += timedelta(minutes=1)
        barrier.wait()
        if alarms.take_probe():
            taken.append(minute)
    connections.close_all()

threads = [Thread(target=ask) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print([taken.count(minute) for minute in range(1, 21)])
"""


def test_many_senders_at_once_send_each_message_once(tmp_path: Path) -> None:
    """Real threads and a real file, with the settings that the site has for it."""
    site = Site(tmp_path, **DEVELOPMENT).migrate()
    assert site.story(MANY_SENDERS) == "24\n"
    assert len(list((site.folder / "var" / "mailbox").glob("*.eml"))) == 24


MANY_SENDERS = """
django.setup()
from datetime import timedelta
from threading import Thread
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import connections
from mail.models import Mail, Priority
from mail.queue import delivering, posting
from mail.queue.letters import letter

@letter(useful_for=timedelta(hours=1), priority=Priority.NOTICE)
def note(mail):
    return lambda: EmailMultiAlternatives("note", "note", to=[mail.address])

settings.MAIL_ENGINE = "work"  # no sender but these
pks = [posting.post("note", address=f"{n}@example.com").pk for n in range(24)]

def send():
    for pk in pks:
        delivering.deliver(pk)
    connections.close_all()

threads = [Thread(target=send) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(Mail.objects.filter(state="sent", attempts=1).count())
"""


def test_a_message_that_takes_longer_than_a_lease_is_sent_once(tmp_path: Path) -> None:
    """Real threads and a real file: one sends for two leases and a half, the other wants it."""
    site = Site(tmp_path, **DEVELOPMENT).migrate()
    assert site.story(SLOW) == f"{State.SENT} 1 times\n"


SLOW = """
django.setup()
import threading, time
from django.conf import settings
from django.utils import timezone
from mail import send_mail
from mail.models import LEASE, Mail
from mail.queue import delivering, leases
from mail.transport import connection

settings.MAIL_ENGINE = "work"  # no sender but these
leases.RENEW_EVERY = leases.RENEW_FROM = 0.1
times, done = [], threading.Event()

def send_slowly(message, still_wanted):
    global now
    times.append(1)
    for _ in range(5):
        now += LEASE / 2
        while Mail.objects.get().due < now + LEASE:  # until it is renewed
            time.sleep(0.05)
    return True

def send():
    delivering.deliver(mail.pk)
    done.set()

connection.send = send_slowly
send_mail("s", ["a@example.com"], "b")
mail = Mail.objects.get()
now = timezone.now()
timezone.now = lambda: now  # it stands still, but for the sender's own steps
threading.Thread(target=send).start()
while not done.wait(0.05):
    if times:
        delivering.deliver(mail.pk)
print(Mail.objects.get().state, len(times), "times")
"""


def test_no_thread_exists_before_the_first_request(tmp_path: Path) -> None:
    """A server that loads the site and then forks would deadlock its workers in SQLite."""
    site = Site(tmp_path, MAIL_ENGINE="threads", MAIL_THREADS="2", **DEVELOPMENT).migrate()
    assert site.story(LATE).splitlines() == [
        "imported: MainThread",
        "requested: MainThread mail-sender-0 mail-sender-1 mail-sweeper",
    ]


LATE = """
import threading

def show(when):
    print(f"{when}:", *sorted(thread.name for thread in threading.enumerate()))

import cs_web.wsgi
from django.test import Client
show("imported")
assert Client(headers={"host": "127.0.0.1"}).get("/users/login/").status_code == 200
show("requested")
"""


def test_a_forked_process_starts_threads_of_its_own(tmp_path: Path) -> None:
    assert Site(tmp_path, **DEVELOPMENT).migrate().story(FORK).splitlines() == [
        "child begins with 0",
        "child ran its job",
        "child went with 0",
        "parent still works",
    ]


FORK = """
django.setup()
import os, sys, threading
from mail.queue import delivering
from mail.queue.engines import threads

delivering.overdue = list  # what SQLite's own locks do in a fork is not the pool's doing

delivering.deliver = lambda job: job()

def works():
    done = threading.Event()
    threads._pool.put(done.set)
    return done.wait(180)

assert works()
with threads._pool.jobs.mutex:  # the worst moment: a lock is held that nobody will ever release
    child = os.fork()
if not child:
    print("child begins with", len(threads._pool.threads))
    print("child ran its job" if works() else "child hangs")
    sys.stdout.flush()
    threads._pool.stop()
    os._exit(0)
print("child went with", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print("parent still works" if works() else "parent hangs")
"""


def test_a_process_ends_at_once_and_leaves_its_messages_to_the_next(tmp_path: Path) -> None:
    """Neither lost nor waited for: what was not begun is a row that the next process sweeps."""
    site = Site(tmp_path, **DEVELOPMENT).migrate()
    assert site.story(LEAVE) == "posted\n"
    assert site.story(TAKE_UP) == "sent\n"


LEAVE = """
django.setup()
from mail import send_mail
from mail.queue.engines.threads import Threads
Threads.hint = lambda *_: None  # lost, with the process
assert send_mail("s", ["alice@example.com"], "b") == 1
print("posted")
"""


TAKE_UP = """
django.setup()
from mail.models import Mail
from mail.queue.engines import threads
assert threads._pool.sweep_step() == 1
threads._pool.start()
assert threads.drain(180)
print(Mail.objects.get().state)
"""
