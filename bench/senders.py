"""Sends a number of mails in one of three ways, as a process of its own, and prints its figures.

    python -m bench.senders fresh|kept|site COUNT [--together]
    python -m bench.senders letter

fresh: smtplib, a connection a mail. kept: smtplib, connections kept open. Both send the bytes of
one letter that the site has written (`letter` prints it), and do nothing else. site: our rows, from
the hint that follows a commit to the row that says "sent", by the sender threads of the site.
"""

import json
import os
import smtplib
import ssl
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django

from bench import people, server

THREADS = 4
WARM_UP = 3 * THREADS
POSTS = 40  # mails whose latency is taken one by one
PAUSE = 0.03  # seconds between them: everybody is idle again
FROM, TO = "noreply@cs.example.ac.kr", "bench@mailbox.example"
WITHIN = 240  # seconds

Figures = dict[str, float]


# Bare smtplib


def connect() -> smtplib.SMTP:
    port = int(os.environ["EMAIL_PORT"])
    connection = smtplib.SMTP(server.HOST, port, local_hostname="127.0.0.1", timeout=20)
    connection.starttls(context=CONTEXT)
    connection.login(server.USER, server.PASSWORD)
    return connection


CONTEXT = ssl.create_default_context()  # once: it reads files


def fresh(count: int) -> Figures:
    letter = Path(os.environ["BENCH_LETTER"]).read_bytes()

    def send(number: int) -> None:
        with connect() as connection:
            connection.sendmail(FROM, [TO], letter)

    def send_unclosed() -> None:
        opened.append(connect())
        opened[-1].sendmail(FROM, [TO], letter)

    opened: list[smtplib.SMTP] = []
    figures = timed(lambda: in_threads(send, count), count)
    return figures | {"cold_ms": latency(send_unclosed, lambda: opened.pop().quit())}


def kept(count: int) -> Figures:
    letter = Path(os.environ["BENCH_LETTER"]).read_bytes()
    connections = [connect() for _ in range(THREADS)]

    def send(number: int) -> None:
        connections[number % THREADS].sendmail(FROM, [TO], letter)

    in_threads(send, WARM_UP)
    figures = timed(lambda: in_threads(send, count), count)
    return figures | {"latency_ms": latency(lambda: send(0))}


def in_threads(send: Callable[[int], None], count: int) -> None:
    """Each thread sends its share: the first one the mails 0, 4, 8, …"""

    def work(first: int) -> None:
        for number in range(first, count, THREADS):
            send(number)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# The site


def site(count: int) -> Figures:
    from mail.models import Mail, State
    from mail.queue import engines
    from mail.queue.engines import threads

    engine = engines.named("threads")

    def send(mails: list[Mail]) -> None:
        for mail in mails:
            engine.hint(mail)
        if not threads.drain(WITHIN):
            raise SystemExit("the senders were not done in time")

    stem = f"p{os.getpid()}x"  # two of these may share a database
    send(people.queue(WARM_UP, f"{stem}warm"))  # each sender opens its connection
    mails = people.queue(count, f"{stem}main")
    if "--together" in sys.argv:  # the figure of several begins when all of them are ready
        print("ready", flush=True)
        sys.stdin.readline()
        return timed(lambda: send(mails), count)
    figures = timed(lambda: send(mails), count)
    figures["latency_ms"] = site_latency(f"{stem}open")
    threads.IDLE_FOR = PAUSE / 3  # now every sender has closed its connection before the next mail
    figures["cold_ms"] = site_latency(f"{stem}cold")
    threads.drain(WITHIN)
    unsent = Mail.objects.filter(user__user_id__startswith=stem).exclude(state=State.SENT)
    if unsent.exists():
        raise SystemExit(f"{unsent.count()} mails were not sent: {unsent[0].error}")
    return figures


def site_latency(stem: str) -> float:
    """From the commit to the 250; the senders' own call says when that was."""
    from mail.queue import delivering, posting

    answered = threading.Event()
    send_one = delivering.connection.send

    def send_and_tell(message: Any, still_wanted: Any) -> bool:
        taken = send_one(message)
        answered.set()
        return taken

    def post() -> None:
        posting.post("register", user=next(waiting))
        if not answered.wait(WITHIN):
            raise SystemExit("no 250")

    waiting = iter(people.claims(POSTS, stem))
    delivering.connection.send = send_and_tell
    try:
        return latency(post, answered.clear)
    finally:
        delivering.connection.send = send_one


def letter() -> bytes:
    """What the site sends, so that the others send as much."""
    from mail.queue import delivering
    from mail.queue.letters import letters

    [mail] = people.queue(1, "letter")
    write = letters[mail.letter].decide(mail)
    assert callable(write)
    message = delivering.write(mail, write)
    return bytes(message.message().as_bytes(linesep="\r\n"))  # type: ignore[call-arg]


# Clocks


def timed(run: Callable[[], Any], count: int) -> Figures:
    began, cpu = time.monotonic(), time.process_time()
    run()
    ended, cpu = time.monotonic(), time.process_time() - cpu
    return {
        "mails_per_second": count / (ended - began),
        "cpu_ms": 1000 * cpu / count,
        "began": began,  # one clock for all processes of a machine
        "ended": ended,
    }


def latency(send: Callable[[], Any], afterwards: Callable[[], Any] = lambda: None) -> float:
    figures = []
    for _ in range(POSTS):
        time.sleep(PAUSE)
        began = time.monotonic()
        send()
        figures.append(1000 * (time.monotonic() - began))
        afterwards()
    return statistics.median(figures)


if __name__ == "__main__":
    way = sys.argv[1]
    if way in ("site", "letter"):
        django.setup()
    if way == "letter":
        sys.stdout.buffer.write(letter())
    else:
        print(json.dumps({"fresh": fresh, "kept": kept, "site": site}[way](int(sys.argv[2]))))
