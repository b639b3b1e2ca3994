"""Many register at once, and the mail server is slow or takes few connections: who waits how long?

    python -m bench.burst

A minute. It prints how long after their post the letters have left, for the senders of one process
as they are set up by default, beside one sender alone.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WITHIN = 200.0  # seconds
# Milliseconds a message, connections that the server takes, people, at least.
BURSTS = {"slow": (600, 1000, 320), "crowded": (100, 2, 60)}
ONE = {"MAIL_THREADS": "1", "MAIL_THREADS_AT_MOST": "1"}


def main() -> None:
    if sys.argv[1:2] == ["send"]:
        return send(int(sys.argv[2]))
    print("\n".join(table()))


def table() -> list[str]:
    slow = run(*BURSTS["slow"])
    crowded = run(*BURSTS["crowded"])
    alone = run(*BURSTS["crowded"], **ONE)
    rows = [
        ("320 people, 600 ms a message", slow, "the last within 10 s"),
        ("60 people, 100 ms, two connections", crowded, "p95 at most 1.5 times that of one sender"),
        ("60 people, 100 ms, one sender alone", alone, ""),
    ]
    head = ["burst", "p95, s", "the last, s", "left", "senders at the end", "asked"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for what, figures, asked in rows:
        seconds = [f"{figures[key]:.1f}" for key in ("p95", "last")]
        counts = [str(figures[key]) for key in ("left", "senders")]
        lines.append(f"| {' | '.join([what, *seconds, *counts, asked])} |")
    return lines


def run(milliseconds: int, connections: int, people: int, **environment: str) -> dict[str, Any]:
    from bench import server

    port = server.free_port()
    command = [sys.executable, "-m", "bench.slow_smtp"]
    command += map(str, [port, milliseconds, connections])
    with (
        tempfile.TemporaryDirectory() as folder,
        server.stopped_at_the_end(subprocess.Popen(command, cwd=ROOT)),
    ):
        server.wait_for(port)
        settings = {
            "DJANGO_SETTINGS_MODULE": "bench.settings",
            "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
            "EMAIL_HOST": server.HOST,
            "EMAIL_PORT": str(port),
            "EMAIL_USE_TLS": "false",
        }
        environment = {**os.environ, **settings, **environment}
        for step in (["manage.py", "migrate", "-v0"], ["-m", "bench.burst", "send", str(people)]):
            done = subprocess.run(
                [sys.executable, *step],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
            )
            done.check_returncode()
        return dict(json.loads(done.stdout))


def send(people: int) -> None:
    """All at once, to the senders of this process; when each has left."""
    import django

    django.setup()
    from bench.people import queue
    from mail.models import Mail, State
    from mail.queue.engines import threads

    threads.SWEEP_EVERY = 0.25  # as `mail work` sweeps
    mails = queue(people, "burst")
    pool = threads.Pool(0.25)
    for mail in mails:
        pool.put(mail.pk)
    deadline = time.monotonic() + WITHIN
    while Mail.objects.filter(state=State.PENDING).exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    most = len(pool.threads) - 1
    pool.stop()
    times = Mail.objects.filter(state=State.SENT).values_list("sent_at", "created_at")
    waits = sorted((sent - made).total_seconds() for sent, made in times)
    p95 = statistics.quantiles(waits, n=20)[-1]
    figures = {"p95": p95, "last": waits[-1], "left": len(waits), "senders": most}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
