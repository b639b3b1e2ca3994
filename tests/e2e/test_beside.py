"""The senders beside the site: started, watched, and ended with it."""

import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cs_web.senders import Senders
from tests.elsewhere import DEVELOPMENT, PRODUCTION, ROOT, Site
from tests.servers import PATIENCE, free_port, wait_for

# Says when it is there, and waits for SIGTERM as `mail work` does.
ANSWERING = """
import os, pathlib, signal, sys
folder = pathlib.Path(sys.argv[1])
(folder / str(os.getpid())).touch()
signal.sigwait({signal.SIGTERM})
(folder / "ended").touch()
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def senders_of(tmp_path: Path) -> Iterator[Callable[..., Senders]]:
    made: list[Senders] = []

    def make(program: str = ANSWERING) -> Senders:
        made.append(Senders(command=("-c", program, str(tmp_path)), pause=0.01))
        return made[-1]

    yield make
    for senders in made:
        senders.stop()


def pids(folder: Path) -> list[int]:
    return [int(file.name) for file in folder.iterdir() if file.name.isdecimal()]


def test_they_are_started_again_when_they_die(
    senders_of: Callable[..., Senders], tmp_path: Path
) -> None:
    senders_of().start()
    [first] = wait_for(lambda: pids(tmp_path), "the first")
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: len(pids(tmp_path)) == 2, "the second")
    assert not alive(first)


def test_what_ends_at_once_is_tried_ever_more_rarely(
    senders_of: Callable[..., Senders], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dying = "import os, sys; open(f'{sys.argv[1]}/{os.getpid()}', 'w'); sys.exit(1)"
    senders_of(dying).start()
    wait_for(lambda: len(pids(tmp_path)) == 3, "three of them")
    waits = [record.args for record in caplog.records if record.name == "cs_web.senders"]
    assert waits[:2] == [(0.02,), (0.04,)]


def test_they_are_asked_to_stop_and_finish_what_they_do(
    senders_of: Callable[..., Senders], tmp_path: Path
) -> None:
    senders = senders_of().start()
    [pid] = wait_for(lambda: pids(tmp_path), "them")
    senders.stop()
    assert (tmp_path / "ended").exists()
    assert not alive(pid)
    senders.watcher.join(PATIENCE)
    assert not senders.watcher.is_alive()
    assert len(pids(tmp_path)) == 1, "none is started after that"


def test_who_ends_with_the_site_is_not_announced_to_start_again(
    senders_of: Callable[..., Senders], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Ctrl-C reaches every process of the terminal, and the senders may be the first to end."""
    senders = senders_of()
    senders.pause = 60.0
    senders.start()
    [pid] = wait_for(lambda: pids(tmp_path), "them")
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: senders.pid is None, "their end was noticed")
    senders.stop()
    assert not senders.watcher.is_alive()
    assert caplog.records == []


def test_who_does_not_stop_is_killed(senders_of: Callable[..., Senders], tmp_path: Path) -> None:
    deaf = ANSWERING.replace("sigwait({signal.SIGTERM})", "sigwait({signal.SIGUSR1})")
    senders = senders_of(deaf).start()
    [pid] = wait_for(lambda: pids(tmp_path), "them")
    senders.stop(within=0.1)
    senders.watcher.join(PATIENCE)
    assert not alive(pid)


def test_with_new_code_comes_a_new_process(
    senders_of: Callable[..., Senders], tmp_path: Path
) -> None:
    senders = senders_of().start()
    wait_for(lambda: pids(tmp_path), "the old code")
    senders.restart()
    wait_for(lambda: len(pids(tmp_path)) == 2, "the new code")


def test_a_program_that_is_not_there_stops_no_site(caplog: pytest.LogCaptureFixture) -> None:
    senders = Senders("/nowhere/python", pause=0.01).start()
    wait_for(lambda: "cannot be started" in caplog.text, "the log says so")
    senders.stop()
    senders.watcher.join(PATIENCE)
    assert not senders.watcher.is_alive()


def test_a_machine_without_a_thread_to_spare_serves_and_says_so(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    senders = Senders()

    def none() -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(senders.watcher, "start", none)
    senders.start()
    assert "can't start new thread" in caplog.text
    senders.stop()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks into Linux's /proc")
def test_they_inherit_no_socket(senders_of: Callable[..., Senders], tmp_path: Path) -> None:
    """Or a new web server could not listen while they live."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.set_inheritable(True)  # as gunicorn does
        senders_of().start()
        [pid] = wait_for(lambda: pids(tmp_path), "them")
        files = [fd.readlink() for fd in Path(f"/proc/{pid}/fd").iterdir()]
    assert not [file for file in files if str(file).startswith("socket:")]


def test_what_was_never_started_can_be_stopped() -> None:
    Senders().stop()


ORPHANING = """
import os, subprocess, sys
subprocess.Popen([sys.executable, "manage.py", "mail", "work", "--with-parent", str(os.getpid())])
input()
"""


def _pulses(site: Site) -> list[Any]:
    """Under a server they do not say in the log that they are at work."""
    with contextlib.closing(sqlite3.connect(site.folder / "var" / "db.sqlite3")) as database:
        return database.execute("SELECT 1 FROM mail_pulse WHERE id = 1").fetchall()


def test_they_do_not_outlive_who_started_them(tmp_path: Path) -> None:
    """A web server that is killed cannot stop them."""
    site, log = Site(tmp_path, **PRODUCTION), tmp_path / "log"
    assert site.manage("migrate", "--verbosity=0").returncode == 0
    with log.open("w") as file:
        parent = subprocess.Popen(
            [sys.executable, "-c", ORPHANING],
            cwd=site.folder,
            env=site.environment,
            stdin=subprocess.PIPE,
            stderr=file,
        )
    try:
        wait_for(lambda: _pulses(site), "they work")
    finally:
        parent.kill()
        parent.communicate()
    wait_for(lambda: "is gone, and so are they" in log.read_text(), "they have noticed")
    wait_for(lambda: "stopped." in log.read_text(), "they have ended")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into Linux's /proc")
def test_they_go_on_after_a_pause_and_a_hangup_is_a_stop(tmp_path: Path) -> None:
    site, log = Site(tmp_path, **DEVELOPMENT).migrate(), tmp_path / "log"
    with log.open("w") as file:
        work = subprocess.Popen(
            [sys.executable, "manage.py", "mail", "work"],
            cwd=site.folder,
            env=site.environment,
            stderr=file,
        )

    def is_stopped() -> bool:
        stat = Path(f"/proc/{work.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    try:
        wait_for(lambda: "at work" in log.read_text(), "they work")
        for _ in range(3):
            work.send_signal(signal.SIGSTOP)
            wait_for(is_stopped, "they stand still")
            work.send_signal(signal.SIGCONT)
            wait_for(lambda: not is_stopped(), "they go on")
        site.story("django.setup()\nfrom mail import send_mail\nsend_mail('x', ['a@example.com'])")
        wait_for(lambda: list((site.folder / "var").glob("mailbox/*")), "and send")
        work.send_signal(signal.SIGHUP)
        assert work.wait(60) == 0
        assert "stopped. 1 messages sent" in log.read_text()
    finally:
        work.kill()
        work.wait()


RUN = """
import sys
sys.path.insert(0, "scripts")
import run
run.serve(sys.argv[1])
"""


def test_a_killed_make_run_leaves_nothing_on_its_port(tmp_path: Path) -> None:
    site, port = Site(tmp_path, **DEVELOPMENT).migrate(), free_port()
    shutil.copytree(ROOT / "scripts", site.folder / "scripts")
    (site.folder / ".venv").symlink_to(sys.prefix)
    (site.folder / "secrets.json").write_text("{}")

    def is_open() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    run = subprocess.Popen(
        [sys.executable, "-c", RUN, str(port)],
        cwd=site.folder,
        env=site.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(is_open, "it serves")
    finally:
        run.kill()
        run.wait()
    wait_for(lambda: not is_open(), "the server has ended, too")
