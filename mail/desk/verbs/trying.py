"""`mail test`, and the part of `mail status --check` that is the same."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.core.validators import validate_email

from mail import conf
from mail.causes import Cause
from mail.desk import trial
from mail.desk.terminal import Terminal
from mail.desk.verbs import GOOD, TROUBLE, Add
from mail.transport import faults
from mail.transport.remedies import remedy


def add_to(add: Add) -> None:
    parser = add(
        test,
        "send real letters through the real service, now, and show what it said",
        "They are about nobody, with links that open nothing. It touches neither the database "
        "nor any budget. On failure: what it means, and what to do.",
    )
    parser.add_argument("address", metavar="ADDRESS", help="to whom")
    which = parser.add_mutually_exclusive_group()
    names = trial.sample_names()
    which.add_argument("--letter", choices=names, default=names[0], help=f"default: {names[0]}")
    which.add_argument("--all", action="store_true", help="every letter")
    languages = [code for code, _ in settings.LANGUAGES]
    parser.add_argument("--language", choices=languages, default=settings.LANGUAGE_CODE)
    parser.add_argument(
        "--service",
        choices=list(conf.SERVICES),
        help="this time by another service than EMAIL_SERVICE; what it needs (a login, keys) "
        "comes from secrets.json or the environment, and what is missing is named",
    )


def test(options: dict[str, Any], terminal: Terminal) -> int:
    try:
        validate_email(options["address"])
    except ValidationError:
        raise CommandError(f"{options['address']!r} is not an e-mail address.") from None
    if options["service"] and options["service"] != conf.EMAIL_SERVICE:
        return _test_elsewhere(options)

    terminal.say(f"{'to':9} {options['address']}")

    def send(tried: trial.Trial) -> None:
        for name in trial.sample_names() if options["all"] else [options["letter"]]:
            seconds, answer = tried.send(name, options["language"], options["address"])
            terminal.say(f"{tried.doing:26} {seconds:7.3f} s  {answer}")

    if use(send, terminal) != GOOD:
        return TROUBLE
    terminal.say()
    terminal.good(trial.where_to_look())
    return GOOD


def use(do: Callable[[trial.Trial], None], terminal: Terminal) -> int:
    """Connects to the mail service and does that with it; if it fails, says what to do."""
    for name, value in trial.describe().items():
        terminal.say(f"{name:9} {value}")
    terminal.say()
    if server := trial.server():
        terminal.say(f"connecting to {server} …")
    tried = trial.Trial()
    try:
        seconds = tried.connect()
        if server:
            terminal.say(f"{tried.doing:26} {seconds:7.3f} s")
        do(tried)
    except Exception as error:
        cause, words = faults.explain(error)
        terminal.bad(f'{tried.doing} failed: "{words}"')
        terminal.say(f"For the mail of the site that means: {cause.kind.value}.")
        say_remedy(cause, terminal)
        return TROUBLE
    finally:
        tried.close()
    return GOOD


def say_remedy(cause: Cause, terminal: Terminal) -> None:
    found = remedy(cause)
    terminal.say(f"\n{found.meaning}")
    for number, step in enumerate(found.steps, 1):
        terminal.say(f"  {number}. {step}")


def _test_elsewhere(options: dict[str, Any]) -> int:
    """In a process with another EMAIL_SERVICE: the configuration itself says what it lacks."""
    letter = ["--all"] if options["all"] else ["--letter", options["letter"]]
    colour = [
        f"--{name}" for name in ("no-color", "force-color") if options[name.replace("-", "_")]
    ]
    arguments = ["test", options["address"], *letter, "--language", options["language"], *colour]
    path = os.pathsep.join(sys.path)
    environment = {**os.environ, "EMAIL_SERVICE": options["service"], "PYTHONPATH": path}
    command = [sys.executable, "-m", "django", "mail", *arguments]
    return subprocess.run(command, env=environment).returncode  # noqa: S603  our own words
