"""The crawler (`tests/crawler.py`) against real servers over bare sockets: no library tidies up
what it sends. No answer is a 500, and no traceback is in the log.

CRAWLER_REQUESTS=20000 lets it run for longer, CRAWLER_SEED repeats a run.
"""

import json
import os
import re
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

from tests.crawler import RUBBISH, TOPIC, Crawler, Stage
from tests.e2e.sites import GUNICORN, PYTHON, ROOT, UVICORN, Site
from tests.elsewhere import IN_CI
from tests.servers import PATIENCE

REQUESTS = int(os.environ.get("CRAWLER_REQUESTS", "800"))
SEED = int(os.environ.get("CRAWLER_SEED", "7"))
AGAIN = 200  # requests after which the stage is set anew: some of them sign out, or delete people
NO_LIMIT = str(10**6)
# Nothing is sent: it is not the letters that are tried here.
SETTINGS = {"MAIL_ENGINE": "work", "MAIL_BESIDE": "false", "AWS_SNS_TOPIC_ARN": TOPIC}
SETTINGS |= {"FORMS_PER_NETWORK_LIMIT": NO_LIMIT, "SIGN_INS_PER_NETWORK_LIMIT": NO_LIMIT}
SERVERS = {"gunicorn": (*GUNICORN, "--threads", "2"), "uvicorn": UVICORN}
PAIRS = [("gunicorn", "postgresql"), ("uvicorn", "sqlite")]
if IN_CI or "CRAWLER_REQUESTS" in os.environ:
    PAIRS += [("gunicorn", "sqlite"), ("uvicorn", "postgresql")]
TOKEN = "x" * 32
CSRF = f"csrftoken={TOKEN}".encode()
STATUS = re.compile(rb"HTTP/1\.[01] (\d\d\d) ")
COOKIE = re.compile(rb"(?i)\r\nset-cookie: (link_token=[^;\r]+)")
# What a client library would never let pass: names, lengths and encodings that are none.
BROKEN = [
    b"Content-Length: -1", b"Content-Length: 1e3", b"Content-Length: 9" * 2, b"Content-Length: 0",
    b"Content-Length: 1\r\nContent-Length: 2", b"Content-Length: 999999",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: x", b"Transfer-Encoding: gzip, chunked",
    b"Expect: 100-continue", b"Expect: rubbish", b"Upgrade: websocket\r\nConnection: Upgrade",
    b": no name", b"no colon", b" folded", b"Under_score: x", b"Na\0me: x", b"\xff\xfe: \xff",
    b"Cookie: sessionid=\"\\000\"", b"Cookie: a" + b"=" * 3000, b"X: " + b"x" * 9000,
    b"Script_Name: /admin", b"SCRIPT_NAME: /x", b"PATH_INFO: /x", b"X-Forwarded-For: " + b"1," * 99,
]  # fmt: skip


class Rubbish:
    """Requests as bytes, each over a connection of its own."""

    def __init__(self, site: Site, prepare: Callable[[], dict[str, Any]]) -> None:
        self.site, self.prepare = site, prepare
        self.answers: Counter[str] = Counter()
        self.broken: dict[str, bytes] = {}
        self.cookies: dict[str, list[bytes]] = {}
        self.crawler = Crawler(Stage([], []), SEED)
        self.chance = self.crawler.chance

    def begin(self) -> None:
        found = self.prepare()
        self.crawler.known, self.crawler.links = found["known"], found["links"]
        sessions = {who: f"sessionid={key}".encode() for who, key in found["sessions"].items()}
        self.cookies = {"nobody": [], "waiting": []} | {who: [s] for who, s in sessions.items()}
        for link in self.crawler.links:
            lines = [f"GET {link} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", "", ""]
            answer = self.exchange("\r\n".join(lines).encode(), False)
            self.cookies["waiting"] += COOKIE.findall(answer)
        assert len(self.cookies["waiting"]) == len(self.crawler.links), "its links work"

    def crawl(self, requests: int) -> None:
        for number in range(requests):
            if number % AGAIN == 0:
                self.begin()
            raw, is_broken = self.request(self.chance.choice(sorted(self.cookies)))
            answer = self.exchange(raw, is_broken)
            status = STATUS.match(answer)
            word = status[1].decode() if status else "none"
            self.answers[word] += 1
            if not (self.is_fine(answer, raw, word) or (is_broken and not answer)):
                first = answer.partition(b"\r\n")[0]
                self.broken.setdefault(f"{first!r} to {raw[:12]!r}", raw[:2000])

    def is_fine(self, answer: bytes, raw: bytes, status: str) -> bool:
        if status == "503":  # no senders run here, and a form with a password may find no room
            return b" /healthz" in raw[:30] or b"\r\nretry-after:" in answer.lower()
        # A server refuses an encoding that it does not know by 501.
        return status != "none" and (status < "500" or (status == "501" and b"Transfer" in raw))

    def request(self, who: str) -> tuple[bytes, bool]:
        """As bytes; and whether it is so broken that a server may hang up without a word."""
        chance, request = self.chance, self.crawler.request(who)
        target = (request["path"] + "?" * ("query" in request) + request.get("query", "")).encode()
        if chance.random() < 0.1:  # as it was typed: what of it can be in a line at all
            target = unquote_to_bytes(target).translate(None, b" \r\n\0") or b"/"
        headers = {"host": "127.0.0.1", **request["headers"]}
        headers.pop("content-length", None)
        if "cookie" not in headers:
            headers["cookie"] = b"; ".join([CSRF, *self.cookies[who]]).decode()
            headers.setdefault("x-csrftoken", TOKEN)
        lines = [f"{name}: {value}".encode("latin-1") for name, value in headers.items()]
        body = request.get("data", "").encode("utf-8", "surrogatepass")
        if kind := request.get("content_type"):
            lines.append(f"Content-Type: {kind}".encode())
        is_broken = chance.random() < 0.1
        if is_broken:
            lines.append(chance.choice(BROKEN))
        elif chance.random() < 0.05:
            word = chance.choice(RUBBISH).encode("utf-8", "surrogatepass")
            lines.append(b"X-Rubbish: " + word)
            is_broken = True
        if not is_broken or chance.random() < 0.5:
            lines.append(f"Content-Length: {len(body)}".encode())
        first = request["method"].encode() + b" " + target + b" HTTP/1.1"
        return b"\r\n".join([first, *lines, b"Connection: close", b"", body]), is_broken

    def exchange(self, raw: bytes, is_broken: bool) -> bytes:
        answer = b""
        with socket.create_connection(("127.0.0.1", self.site.port), PATIENCE) as connection:
            try:
                connection.sendall(raw)
                if is_broken:  # so that nobody waits for a body that never comes
                    connection.shutdown(socket.SHUT_WR)
                while some := connection.recv(65536):
                    answer += some
            except (ConnectionResetError, BrokenPipeError):
                pass  # it has answered before it had read all of it
        return answer


@pytest.fixture
def stage_of() -> Iterator[Callable[[Site], Callable[[], dict[str, Any]]]]:
    """For a site: what sets the stage in its database."""
    running: list[subprocess.Popen[str]] = []

    def start(site: Site) -> Callable[[], dict[str, Any]]:
        process = subprocess.Popen(
            [PYTHON, "-m", "tests.e2e.crawling"],
            cwd=ROOT,
            env=site.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        running.append(process)

        def set_up() -> dict[str, Any]:
            assert process.stdin
            assert process.stdout
            process.stdin.write("\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        return set_up

    yield start
    for process in running:
        process.communicate()


@pytest.mark.parametrize(("server", "on"), PAIRS)
def test_rubbish_over_a_socket_is_no_500(
    server: str, on: str, new_site: Any, stage_of: Any, request: pytest.FixtureRequest
) -> None:
    database = {}
    if on == "postgresql":
        database = {"DATABASE_URL": request.getfixturevalue("database").url}
    site = new_site(SERVERS[server], **SETTINGS, **database).start()
    rubbish = Rubbish(site, stage_of(site))
    rubbish.crawl(REQUESTS)
    print(f"{server}, {on}: {dict(rubbish.answers.most_common())}")
    assert not rubbish.broken, "\n".join(f"{raw!r}\n{how}" for how, raw in rubbish.broken.items())
    assert rubbish.answers.keys() >= {"200", "302", "400", "403", "404", "405"}, "it gets around"
    assert "Traceback" not in site.log.read_text(errors="replace")
