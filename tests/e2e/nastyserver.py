"""A mail server with every bad habit there is, in an order that one seed decides.

It wants STARTTLS and a login, as Naver and Gmail do, and what it has said 250 to, it has. Around
that it delays, refuses for the moment, hangs up, and answers too late; for a while it takes no
login, and for half a minute it is gone. Each address meets one trouble at the most, and late in the
day only what costs it no attempt, so that the end can be waited for: each wait is twice the last.
"""

import asyncio
import random
import socket
import ssl
import threading
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import trustme

from tests.servers import LOGIN, PASSWORD

NOT_NOW = (421, 450, 451, 452)
DROP, LATE = "hangs up", "answers too late"
# What a fated address meets, and where; each as likely as the others.
FATES: list[tuple[str, int | str]] = [
    *((stage, code) for stage in ("RCPT", "DATA", "the dot") for code in NOT_NOW),
    *[("the body", DROP)] * 2,
    *[("the dot", DROP)] * 2,
    ("the dot", LATE),
]
FATED = 0.35  # of the addresses
MAILS_REFUSED = 0.15  # of the MAIL commands, until it is gone
GREETINGS_SPOILED = 0.25  # of the connections, until then
PIPELINING = 0.5  # of the connections

LOGINS_REFUSED_FOR = 6.0  # seconds
SILENT_FOR, GONE_FOR = 20.0, 10.0  # first it takes connections and says nothing, then not even that
# A client that is cut off so shortly after our 250 may not have read it: its machine may be busy.
UNREAD_FOR = 10.0
# Senders meet these with a new connection, at once, if they had kept the old one for a while.
COSTS_NO_ATTEMPT = (421, DROP, LATE)

STARTS_WITHIN = 60.0


@dataclass
class Taken:
    """A mail that is ours now, whether or not its sender heard of it."""

    at: float
    to: str
    content: bytes


class HangUp(Exception):
    """Closes the connection after what has been said."""


class NastyServer:
    def __init__(self, seed: int, folder: Path, client_timeout: float, crowd: int) -> None:
        self.seed = seed
        self.client_timeout = client_timeout
        dice = random.Random(f"{seed} weather")
        self.gone_after = round(dice.uniform(0.09, 0.19) * crowd)  # mails taken
        self.logins_refused_after = round(dice.uniform(0.45, 0.56) * crowd)

        self.taken: list[Taken] = []
        self.unanswered: Counter[str] = Counter()  # taken, but the sender may not know: by address
        self.refusals: Counter[str] = Counter()
        self.opened = self.transactions = 0  # connections, and mails begun
        self.weather: list[str] = []
        self.is_well = True  # but for single messages and connections

        self.early, self.late = True, False  # before it is gone; after refused log-ins
        self.logins_refused_until = 0.0
        self.waiting_for_first = False  # after refused log-ins; no mischief for the one who tries
        self.fated: set[str] = set()
        self.dialogues: dict[asyncio.Task[None], Dialogue] = {}

        authority = trustme.CA()
        self.authority_file = folder / "authority.pem"
        authority.cert_pem.write_to_path(self.authority_file)
        self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(self.tls)

        self.socket = _bound(0)
        self.port: int = self.socket.getsockname()[1]

    # From the test's thread

    def up(self) -> None:
        self.begun = time.monotonic()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="nasty-server", daemon=True)
        ready = threading.Event()
        self.loop.call_soon(lambda: self._task(self._listen(ready)))
        self.thread.start()
        assert ready.wait(STARTS_WITHIN), "the mail server is not up"

    def down(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(STARTS_WITHIN)
        assert not self.thread.is_alive()

    @property
    def receiving(self) -> int:
        """Mails that have been begun, and whose sender waits for our word."""
        return sum(bool(d.sender and not d.told) for d in list(self.dialogues.values()))

    # In the server's thread

    def _run(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        try:
            self.loop.run_forever()
            self.loop.run_until_complete(self._end())
        finally:
            self.socket.close()
            self.loop.close()

    async def _end(self) -> None:
        self.server.close()
        self._hang_up_on_all()
        for task in self.tasks:
            task.cancel()
        if left := [*self.tasks, *self.dialogues]:
            await asyncio.wait(left, timeout=STARTS_WITHIN)
        await asyncio.sleep(0.1)  # the transports say good-bye

    def _task(self, work: Awaitable[None]) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work, loop=self.loop)  # type: ignore[arg-type]
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _listen(self, ready: threading.Event | None = None) -> None:
        self.server = await asyncio.start_server(self._serve, sock=self.socket, backlog=128)
        if ready:
            ready.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        dialogue = Dialogue(self, reader, writer, f"{self.seed} connection {self.opened}")
        me = asyncio.current_task()
        assert me
        self.dialogues[me] = dialogue
        try:
            await dialogue.run()
            writer.close()
        except HangUp:
            writer.close()
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError, TimeoutError):
            writer.transport.abort()  # the client is gone, killed perhaps
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            del self.dialogues[me]

    def take(self, address: str, content: bytes) -> None:
        self.taken.append(Taken(time.monotonic(), address, content))
        self.waiting_for_first = False
        if len(self.taken) == self.gone_after:
            self._task(self._be_gone())
        if len(self.taken) == self.logins_refused_after:
            self._task(self._refuse_logins())

    def meets(self, address: str, stage: str, kept: bool) -> int | str | None:
        """The trouble that this address has here, once."""
        dice = random.Random(f"{self.seed} {address}")
        fate = dice.choice(FATES) if dice.random() < FATED else None
        if fate is None or fate[0] != stage or address in self.fated or self.waiting_for_first:
            return None
        if self.late and not (kept and fate[1] in COSTS_NO_ATTEMPT):
            return None
        self.fated.add(address)
        return fate[1]

    async def _be_gone(self) -> None:
        self._say("silent")
        self.is_well = False
        self.early = False
        self.server.close()
        self.socket.close()
        self._hang_up_on_all()
        self.socket = _bound(self.port)
        self.socket.listen(128)
        await asyncio.sleep(SILENT_FOR)
        self._say("gone")
        self.socket.close()
        self.socket = _bound(self.port)  # nobody else gets the port, and nobody is let in
        await asyncio.sleep(GONE_FOR)
        await self._listen()
        self._say("back")
        self.is_well = True

    async def _refuse_logins(self) -> None:
        self._say("log-ins refused")
        self.is_well = False
        self.logins_refused_until = time.monotonic() + LOGINS_REFUSED_FOR
        self.waiting_for_first = self.late = True
        self._hang_up_on_all()
        await asyncio.sleep(LOGINS_REFUSED_FOR)
        self.is_well = True
        self._say("log-ins taken again")

    def _hang_up_on_all(self) -> None:
        for task, dialogue in self.dialogues.items():
            dialogue.note_what_may_be_unread()
            dialogue.writer.transport.abort()
            task.cancel()

    def _say(self, what: str) -> None:
        seconds = time.monotonic() - self.begun
        self.weather.append(f"{what} at {seconds:.0f} s ({len(self.taken)} mails)")


class Dialogue:
    """One connection."""

    def __init__(
        self,
        server: NastyServer,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        seed: str,
    ) -> None:
        self.server, self.reader, self.writer = server, reader, writer
        self.dice = random.Random(seed)
        self.pipelining = self.dice.random() < PIPELINING
        self.secure = self.trusted = False
        self.kept = False  # whether it has brought a mail before
        self.sender = self.recipient = ""
        self.told: Taken | None = None  # the last mail we have said 250 to, until the next command

    async def run(self) -> None:
        commands: dict[bytes, Callable[[str], Awaitable[None]]] = {
            b"EHLO": self.ehlo,
            b"STAR": self.starttls,
            b"AUTH": self.auth,
            b"MAIL": self.mail,
            b"RCPT": self.rcpt,
            b"DATA": self.data,
            b"RSET": self.rset,
            b"QUIT": self.quit,
        }
        spoiled = self.server.early and self.dice.random() < GREETINGS_SPOILED
        if spoiled and self.dice.random() < 0.3:
            self.server.refusals["hung up, no greeting"] += 1
            raise HangUp
        if spoiled:
            await self.refuse("greeting", 421)
        await self.say("220 mail.example.com ESMTP")
        while line := await self.reader.readline():
            if self.told:
                self.told, self.sender = None, ""
            await asyncio.sleep(min(self.dice.expovariate(1 / 0.01), 0.5))
            command = commands.get(line[:4].upper(), self.unknown)
            await command(line.decode("ascii", "replace").strip())

    async def say(self, *lines: str) -> None:
        for number, line in enumerate(lines, 1):
            mark = "-" if number < len(lines) else " "
            self.writer.write(f"{line[:3]}{mark}{line[4:]}\r\n".encode())
        await self.writer.drain()

    async def refuse(self, stage: str, code: int) -> None:
        self.server.refusals[f"{code} {stage}"] += 1
        await self.say(f"{code} 4.3.2 not now")
        if code == 421:
            raise HangUp

    def meets(self, stage: str) -> int | str | None:
        return self.server.meets(self.recipient, stage, self.kept)

    def note_what_may_be_unread(self) -> None:
        if self.told and time.monotonic() - self.told.at < UNREAD_FOR:
            self.server.unanswered[self.told.to] += 1
            self.server.refusals["250 perhaps unread"] += 1

    # The commands

    async def ehlo(self, line: str) -> None:
        more = ["250 AUTH PLAIN"] if self.secure else ["250 STARTTLS"]
        if self.pipelining:
            more.append("250 PIPELINING")
        await self.say("250 mail.example.com", "250 8BITMIME", *more, "250 SIZE 1000000")

    async def starttls(self, line: str) -> None:
        await self.say("220 go ahead")
        await self.writer.start_tls(self.server.tls, ssl_handshake_timeout=60)
        self.secure = True

    async def auth(self, line: str) -> None:
        words = b64decode(line.split()[2]).split(b"\0")
        assert self.secure
        assert words[1:] == [LOGIN.encode(), PASSWORD.encode()]
        if time.monotonic() < self.server.logins_refused_until:
            self.server.refusals["535 AUTH"] += 1
            await self.say("535 5.7.8 user name and password not accepted")
            return
        self.trusted = True
        await self.say("235 welcome")

    async def mail(self, line: str) -> None:
        assert self.trusted, "a mail without a login"
        self.server.transactions += 1
        self.sender = self.recipient = ""
        if self.server.early and self.dice.random() < MAILS_REFUSED:
            await self.refuse("MAIL", self.dice.choice(NOT_NOW))
            return
        self.sender = line
        await self.say("250 sender ok")

    async def rcpt(self, line: str) -> None:
        if not self.sender:
            await self.say("503 MAIL first")
            return
        self.recipient = line[line.index("<") + 1 : line.index(">")]
        if code := self.meets("RCPT"):
            self.recipient = ""
            await self.refuse("RCPT", int(code))
            return
        await self.say("250 recipient ok")

    async def data(self, line: str) -> None:
        if not self.recipient:
            await self.say("503 RCPT first")
            return
        if code := self.meets("DATA"):
            await self.refuse("DATA", int(code))
            return
        await self.say("354 go ahead")
        if self.meets("the body"):
            await self.reader.readline()
            self.server.refusals["hung up in DATA, before the dot"] += 1
            self.writer.transport.abort()
            raise HangUp
        await self._answer_mail(await self._body())

    async def _body(self) -> bytes:
        lines = []
        while (line := await self.reader.readline()) != b".\r\n":
            if not line.endswith(b"\n"):
                raise HangUp  # the client was cut off: half a mail is no mail
            lines.append(line.removeprefix(b"."))
        return b"".join(lines)

    async def _answer_mail(self, content: bytes) -> None:
        address = self.recipient
        slow = self.dice.random() < 0.01
        await asyncio.sleep(self.dice.uniform(1, 3) if slow else self.dice.uniform(0.02, 0.3))
        trouble = self.meets("the dot")
        if isinstance(trouble, int):
            await self.refuse("the dot", trouble)
            self.sender = self.recipient = ""
            return
        if trouble:
            self.server.unanswered[address] += 1
            self.server.refusals[f"{trouble} after the dot, mail taken"] += 1
        self.server.take(address, content)
        if trouble == DROP:
            self.writer.transport.abort()
            raise HangUp
        if trouble == LATE:
            await asyncio.sleep(self.server.client_timeout + 1)
            raise HangUp
        self.told = self.server.taken[-1]
        self.recipient = ""
        self.kept = True
        await self.say("250 taken")

    async def rset(self, line: str) -> None:
        self.sender = self.recipient = ""
        await self.say("250 forgotten")

    async def quit(self, line: str) -> None:
        await self.say("221 bye")
        raise HangUp

    async def unknown(self, line: str) -> None:
        await self.say("502 what?")


def _bound(port: int) -> socket.socket:
    """Holds the port without listening on it: whoever connects is refused."""
    ours = socket.socket()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    ours.bind(("127.0.0.1", port))
    return ours
