"""Message brokers of our own on loopback, to be killed, frozen and started again."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.elsewhere import requires
from tests.servers import PATIENCE, free_port, wait_for

# Debian's, without their `su`.
RABBITMQ_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
RABBITMQCTL = RABBITMQ_SERVER.with_name("rabbitmqctl")
# Erlang's schedulers would spin for want of work, on a machine where others have some.
NO_SPINNING = "+sbwt none +sbwtdcpu none +sbwtdio none"


class Broker:
    """A server on a port that stays the same while it is killed and comes up again."""

    person = ""  # whose it is where we are root

    def __init__(self) -> None:
        self.port = free_port()
        # Not tmp_path: other people cannot look into it.
        self.folder = Path(tempfile.mkdtemp(prefix="cs_web-broker-"))
        self.processes: list[subprocess.Popen[bytes]] = []
        self.as_person: dict[str, Any] = {}
        if os.geteuid() == 0:
            self.as_person = {"user": self.person, "group": self.person, "extra_groups": []}
            shutil.chown(self.folder, self.person, self.person)

    def up(self) -> None:
        if not self.processes:
            self._start()
        wait_for(lambda: self._answers() or self._ended(), f"{type(self).__name__} is up")
        assert not self._ended(), f"the broker did not start:\n{self._log()}"

    def kill(self) -> None:
        """kill -9: as if the power went."""
        while self.processes:
            process = self.processes.pop()
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        wait_for(lambda: not self._answers(), "the broker is gone")

    def freeze(self) -> None:
        """It keeps its connections, and answers nothing: the worst way to be away."""
        for process in self.processes:
            os.killpg(process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for process in self.processes:
            os.killpg(process.pid, signal.SIGCONT)

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder)

    def _start(self) -> None:
        raise NotImplementedError

    def _run(self, *command: object, **env: object) -> None:
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [str(part) for part in command],
                cwd=self.folder,
                env={**os.environ, "HOME": str(self.folder), **{k: str(v) for k, v in env.items()}},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a group of its own, for kill() to reach its children
                **self.as_person,
            )
        self.processes.append(process)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _ended(self) -> bool:
        return any(process.poll() is not None for process in self.processes)

    def _log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-2000:]


class RabbitMQ(Broker):
    person = "rabbitmq"

    def __init__(self) -> None:
        requires("rabbitmq-server", RABBITMQ_SERVER.exists())
        super().__init__()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self.node = f"cs_web_{self.port}@localhost"
        self.names = {"ERL_EPMD_PORT": free_port(), "ERL_EPMD_ADDRESS": "127.0.0.1"}

    def _start(self) -> None:
        # Erlang's name server first, so that it is a child of ours and not a daemon for ever.
        self._run("epmd", **self.names)
        self._run(
            RABBITMQ_SERVER,
            **self.names,
            RUNNING_UNDER_SYSTEMD="1",  # no shell between us and the server
            RABBITMQ_NODENAME=self.node,
            RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
            RABBITMQ_NODE_PORT=self.port,
            RABBITMQ_DIST_PORT=free_port(),
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=(
                f"{NO_SPINNING} -kernel inet_dist_use_interface {{127,0,0,1}}"
            ),
            RABBITMQ_MNESIA_BASE=self.folder / "mnesia",
            RABBITMQ_LOG_BASE=self.folder / "log.d",
            RABBITMQ_ENABLED_PLUGINS_FILE=self.folder / "plugins",
            RABBITMQ_CONFIG_FILE=self.folder / "rabbitmq",
        )

    def block(self) -> None:
        """It has no memory left, it says, and reads nothing from whoever publishes."""
        self._set_memory_limit("0.00001")

    def unblock(self) -> None:
        self._set_memory_limit("0.4")

    def _set_memory_limit(self, share: str) -> None:
        names = {name: str(value) for name, value in self.names.items()}
        subprocess.run(
            [RABBITMQCTL, "--node", self.node, "set_vm_memory_high_watermark", share],
            env={**os.environ, "HOME": str(self.folder), **names},
            check=True,
            capture_output=True,
            timeout=PATIENCE,
            **self.as_person,
        )


class Redis(Broker):
    """As forgetful as a Redis without a disk: a kill loses every hint."""

    person = "redis"

    def __init__(self) -> None:
        requires("redis-server", shutil.which("redis-server"))
        super().__init__()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def _start(self) -> None:
        where = ["--port", self.port, "--bind", "127.0.0.1", "--dir", self.folder]
        self._run("redis-server", *where, "--save", "", "--appendonly", "no")
