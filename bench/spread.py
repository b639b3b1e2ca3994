"""One, two and four sender processes on PostgreSQL, against a server that takes its time.

    python -m bench.spread [--messages 400]

Each is a `manage.py mail work` of four senders, as one machine of several would run it. All of them
look for the same rows; who claims one, sends it. The server takes 400 ms a message.
"""

import argparse
import os
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import conserve, server

ROOT = Path(__file__).resolve().parent.parent
PROCESSES = [1, 2, 4]
SENDERS = 4
SECONDS = 0.4  # a message: slow, so that the processes wait for it and not for a processor
WITHIN = 120.0


def measure(processes: int, messages: int, url: str, folder: Path) -> tuple[float, int]:
    """Messages a second, from the first to the last that the server took; and copies too many."""
    smtp = conserve.Server(time.monotonic)
    smtp.weather, smtp.takes = "slow", {"slow": SECONDS}
    environment = {
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "bench.apart_settings",
        "DATABASE_URL": url,
        "SECRET_KEY": secrets.token_urlsafe(50),
        **conserve.OURS,
        "EMAIL_PORT": str(smtp.port),
        "MAIL_THREADS": str(SENDERS),
        "MAIL_THREADS_AT_MOST": str(SENDERS),
    }
    started = []
    with (folder / "log").open("ab") as log:
        options: Any = {"cwd": ROOT, "env": environment, "stdout": log, "stderr": log}
        for command in (["manage.py", "migrate", "-v0"], ["-m", "bench.people", "0"]):
            subprocess.run([sys.executable, *command], check=True, **options)
        try:
            work = [sys.executable, "manage.py", "mail", "work"]
            started = [subprocess.Popen(work, **options) for _ in range(processes)]
            while (folder / "log").read_bytes().count(b"are at work") < processes:
                time.sleep(0.1)
            people = [sys.executable, "-m", "bench.people", str(messages)]
            subprocess.run(people, check=True, **options)
            deadline = time.monotonic() + WITHIN
            while len(smtp.taken) < messages and time.monotonic() < deadline:
                time.sleep(0.02)
        finally:
            for process in started:
                with server.stopped_at_the_end(process):
                    pass
    came = sorted(at for times in smtp.taken.values() for at in times)
    if len(smtp.taken) < messages:
        raise SystemExit(f"only {len(smtp.taken)} of {messages} came")
    return len(came) / (came[-1] - came[0] + SECONDS), len(came) - messages


def table(messages: int) -> list[str]:
    from tests.e2e.postgresql import PostgreSQL

    lines = ["| sender processes | messages a second | of what the server would take | doubled |",
             "|---|---|---|---|"]  # fmt: skip
    cluster = PostgreSQL()
    try:
        for processes in PROCESSES:
            with tempfile.TemporaryDirectory() as folder:
                url = cluster.new_database().url
                rate, doubled = measure(processes, messages, url, Path(folder))
            share = rate * SECONDS / (SENDERS * processes)
            lines.append(f"| {processes} | {rate:.0f} | {share:.0%} | {doubled} |")
            print(lines[-1], flush=True)
    finally:
        cluster.remove()
    return lines


def main() -> None:
    args = argparse.ArgumentParser()
    args.add_argument("--messages", type=int, default=400)
    print("\n".join(table(args.parse_args().messages)))


if __name__ == "__main__":
    main()
