"""What a spam filter makes of every letter in every language."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from django.core.mail import EmailMultiAlternatives

from mail.queue.letters import samples
from tests.elsewhere import requires
from tests.test_letter_score import EACH, sent

SCORE_AT_MOST = 0.5


# A text that every spam filter is agreed to take for spam, so that one knows that it works.
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


@pytest.fixture(autouse=True)
def _in_production(settings: Any) -> None:
    settings.SITE_URL = "https://cs.example.ac.kr"
    settings.DEFAULT_FROM_EMAIL = "컴퓨터공학부 <noreply@cs.example.ac.kr>"


def scores(letters: Iterable[bytes], home: Path) -> dict[str, str]:
    """What SpamAssassin says of each, by its own rules alone; by Message-ID, for it sorts them."""
    requires("spamassassin", shutil.which("spamassassin"))
    stamp = b"From noreply@cs.example.ac.kr Fri Nov 20 10:00:00 2026\n"
    done = subprocess.run(
        ["spamassassin", "--local", "--nocreate-prefs", "--mbox"],
        input=b"".join(stamp + one.replace(b"\r\n", b"\n") + b"\n\n" for one in letters),
        capture_output=True,
        env={**os.environ, "HOME": str(home)},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()
    marked = [message_from_bytes(one) for one in done.stdout.split(stamp)[1:]]
    return {one["Message-ID"]: " ".join(one["X-Spam-Status"].split()) for one in marked}


def test_spamassassin_finds_nothing_in_any_letter_in_any_language(tmp_path: Path) -> None:
    letters = [sent(samples[name](language)) for name, language in EACH]
    spam = sent(EmailMultiAlternatives("Hello", GTUBE, to=["reader@example.com"]))
    said = scores([*letters, spam], tmp_path)
    words = [said[message_from_bytes(one)["Message-ID"]] for one in [*letters, spam]]
    found = [float(re.findall(r"score=(\S+)", one)[0]) for one in words]
    assert found.pop() > 100, "it does look"
    assert not [one for one in zip(EACH, found, words, strict=False) if one[1] > SCORE_AT_MOST]
