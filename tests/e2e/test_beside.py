"""The senders beside the site: started, watched, and ended with it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cs_web.senders import Senders
from tests.elsewhere import PRODUCTION, Site
from tests.servers import PATIENCE, wait_for

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
        wait_for(lambda: "at work" in log.read_text(), "they work")
    finally:
        parent.kill()
        parent.communicate()
    wait_for(lambda: "is gone, and so are they" in log.read_text(), "they have noticed")
    wait_for(lambda: "stopped." in log.read_text(), "they have ended")
