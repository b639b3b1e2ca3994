"""What each flow costs: milliseconds of a processor, in the site and in PostgreSQL.

    python -m bench.costs

From these docs/scaling.md and `bench.storm` reckon. Time on a processor does not depend on who else
uses the machine (a little: caches are shared). Hashes apart; they are a line of their own.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench.growth_visits import Visits

ROOT = Path(__file__).resolve().parent.parent
VISITORS, LETTERS = 60, 200
FLOWS = {
    "status page": "a page with a form",
    "home, signed in": "home, signed in",
    "register": "register, without the hash",
    "activate": "activate",
    "login": "sign in, without the hash",
    "reset, asked": "ask for a reset",
    "message": "send a message, without TLS",
    "hash": "a password hash (Argon2)",
}
Costs = dict[str, tuple[float, float]]  # ms of the site, ms of the database


def inside() -> None:
    import django

    django.setup()
    from django.conf import settings

    from bench import people
    from mail.queue import delivering
    from mail.transport import connection as to_server

    for _ in range(2):  # the first warms up
        busy = Visits()
        for number in range(VISITORS):
            busy.visitor(str(int(time.time() * 1000) % 10_000_000_000 * 100 + number))
    settings.EMAIL_BACKEND = "mail.transport.smtp.EmailBackend"
    for letter in people.queue(LETTERS, "letter"):
        busy.timed("message", lambda pk=letter.pk: delivering.deliver(pk))
    to_server.close()
    print(
        json.dumps(
            {
                name: (statistics.mean(busy.here[name]), statistics.mean(busy.behind[name]))
                for name in FLOWS
                if name != "hash"
            }
        )
    )


HASH = """
import time, django
django.setup()
from django.contrib.auth.hashers import make_password
make_password("warm")
began = time.process_time()
for number in range(5):
    make_password("correct-horse-battery")
print(200 * (time.process_time() - began))
"""


def measure() -> Costs:
    from bench import conserve, growth
    from tests.e2e.postgresql import PostgreSQL

    smtp = conserve.Server(time.monotonic)
    cluster = PostgreSQL()
    try:
        url = cluster.new_database().url
        growth.child(url, "manage.py", "migrate", "--verbosity=0")
        more = {
            "EMAIL_SERVICE": "smtp",
            "EMAIL_HOST": "127.0.0.1",
            "EMAIL_PORT": str(smtp.port),
            "EMAIL_USE_TLS": "false",
            "DEFAULT_FROM_EMAIL": "noreply@cs.example.ac.kr",
        }
        environment = growth.environment(url) | more
        found = {}
        for name, command in (("flows", ["-m", "bench.costs", "--inside"]), ("hash", ["-c", HASH])):
            if name == "hash":
                environment["DJANGO_SETTINGS_MODULE"] = "cs_web.settings"
            done = subprocess.run(
                [sys.executable, "-W", "ignore", *command],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                check=True,
            )
            found[name] = json.loads(done.stdout)
    finally:
        cluster.remove()
    return {
        **{name: tuple(both) for name, both in found["flows"].items()},
        "hash": (found["hash"], 0),
    }


def table(costs: Costs) -> list[str]:
    lines = ["| | the site, ms | PostgreSQL, ms |", "|---|---|---|"]
    for name, title in FLOWS.items():
        site, database = costs[name]
        lines.append(f"| {title} | {site:.1f} | {database:.1f} |")
    return lines


def main() -> None:
    args = argparse.ArgumentParser()
    args.add_argument("--inside", action="store_true")
    if args.parse_args().inside:
        return inside()
    print("\n".join(table(measure())))


if __name__ == "__main__":
    main()
