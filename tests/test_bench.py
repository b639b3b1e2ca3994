"""What the bench says must be so: its model, its mail server, its simulation."""

import random
import smtplib
import time
from xml.etree import ElementTree

import pytest

from bench import charts, conserve, storm
from bench.growth_visits import make_old
from mail.queue import chores
from tests.servers import wait_for
from users.models import User

COSTS = {
    "status page": (10.0, 1.0),
    "register": (10.0, 1.0),
    "message": (10.0, 2.0),
    "hash": (30.0, 0.0),
}


def test_the_model_tells_lost_from_given_up_and_stranded() -> None:
    posted = dict.fromkeys(("came", "lost", "lied", "failed", "stranded", "twice", "cut"), 0.0)
    rows = {"lied": "sent", "failed": "failed", "stranded": "waiting", "twice": "waiting"}
    taken = {"came": [1.0], "twice": [1.0, 2.0], "cut": [3.0, 4.0, 5.0]}
    found = conserve.judged(posted, taken, {"cut"}, rows, now=60.0)
    assert found == {
        "silent": 2,
        "failed": 1,
        "stranded": 1,
        "since": 60.0,
        "killed": 1,
        "cut": 1,
        "copies": 3,
        "waits": [3.0, 3.0],
    }


@pytest.fixture
def server() -> conserve.Server:
    server = conserve.Server(time.monotonic)
    server.takes = {"slow": 0.0}
    return server


def send(server: conserve.Server) -> None:
    with smtplib.SMTP("127.0.0.1", server.port, timeout=20) as connection:
        connection.sendmail("a@example.com", ["b@example.com"], "Subject: x\r\n\r\nx")


def test_the_mail_server_takes_what_it_says_it_takes(server: conserve.Server) -> None:
    for number, weather in enumerate(("well", "slow"), 1):
        server.weather = weather
        send(server)
        assert len(server.taken["b@example.com"]) == number
    assert server.receiving == 0


@pytest.mark.parametrize(
    ("weather", "error"),
    [("away", smtplib.SMTPConnectError), ("not now", smtplib.SMTPRecipientsRefused)],
)
def test_the_mail_server_takes_nothing_in_bad_weather(
    server: conserve.Server, weather: str, error: type[Exception]
) -> None:
    server.weather = weather
    with pytest.raises(error):
        send(server)
    assert not server.taken


def test_the_mail_server_takes_a_message_and_hangs_up(server: conserve.Server) -> None:
    server.weather = "cut"
    server.dice.random = iter([0.9, 0.1]).__next__  # type: ignore[method-assign]
    send(server)
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send(server)
    wait_for(lambda: len(server.taken["b@example.com"]) == 2, "both are taken")
    assert server.cut == {"b@example.com"}


def a_storm(part: float, **changes: float) -> tuple[float, float]:
    """When somebody is answered, and their message has come, at the latest."""
    fields = {"web": 4, "senders": 1, "database": 1, "connections": 8, "message_seconds": 0.1}
    site = storm.Site("a site", **{**fields, **changes})  # type: ignore[arg-type]
    rate = part * min(storm.carries(site, COSTS).values())
    world = storm.World(site, rate, random.Random(1), COSTS).run()
    answered = max(p.answered - p.came for p in world.people)
    return answered, max(p.mailed - p.answered for p in world.people)


def test_below_what_a_site_carries_nobody_waits_long() -> None:
    answered, mailed = a_storm(0.5)
    assert answered < 1
    assert mailed < 1


def test_above_it_people_wait_or_their_mail_does() -> None:
    answered, mailed = a_storm(1.5)
    assert answered > 30
    assert mailed < 5
    answered, mailed = a_storm(1.5, a_second=5)
    assert answered < 1
    assert 40 < mailed < 80  # half as much again, for two minutes


def test_charts_are_svg(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "FOLDER", tmp_path)
    assert charts.bars("one", "A & B", [("x < y", 1.0), ("this site", 2.0)], "ms").startswith("![")
    charts.lines("two", "T", {"a": [(0, 0), (1, 5)]}, "x", "y")
    for name in ("one", "two"):
        root = ElementTree.parse(f"{tmp_path}/{name}.svg").getroot()
        assert root.tag.endswith("svg")
    widths = [
        float(bar.get("width", "0"))
        for bar in ElementTree.parse(f"{tmp_path}/one.svg").iter("{http://www.w3.org/2000/svg}rect")
    ]
    assert widths[1] == pytest.approx(2 * widths[0], abs=0.2)


@pytest.mark.django_db
def test_every_chore_finds_the_old_rows_that_were_made_for_it(alice: User) -> None:
    done = {do.__name__: do(5) for do in chores.chores if make_old(do.__name__, 3)}
    assert set(done.values()) == {3}
    assert {do.__name__ for do in chores.chores} - done.keys() == {"prune_leaving"}
