"""The mail server of the benchmark: a private Exim on loopback, in a folder of its own.

Why Exim: it is a real server of many sites, in C, with STARTTLS, AUTH and PIPELINING, and one
process a connection, so that the two sides of a ratio compete for it in the same way. It takes
every mail into its spool before it says 250, as a server must; it delivers nothing. It needs root,
for the user it runs as.
"""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import trustme

HOST = "127.0.0.1"
USER, PASSWORD = "bench", "bench-password"
MISSING = "Exim is missing: apt install --no-install-recommends exim4-daemon-light"

CONFIG = """
exim_user = Debian-exim
exim_group = Debian-exim
keep_environment =
primary_hostname = bench.example
spool_directory = {folder}/spool
log_file_path = {folder}/log/%s
pid_file_path = {folder}/exim.pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
tls_advertise_hosts = *
tls_certificate = {folder}/server.pem
auth_advertise_hosts = *
host_lookup =
queue_only
smtp_accept_queue_per_connection = 0
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
begin acl
rcpt:
  accept authenticated = *
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and{{{{eq{{$auth2}}{{{user}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}
  server_set_id = $auth2
"""


@dataclass
class Server:
    port: int
    folder: Path

    @property
    def certificates(self) -> Path:
        return self.folder / "ca.pem"

    def taken(self) -> int:
        """How many mails it has said 250 to."""
        log = self.folder / "log" / "main"
        return log.read_text(errors="replace").count(" <= ") if log.exists() else 0

    def empty(self) -> None:
        """Throws the spool away, so that every run meets the same."""
        for file in (self.folder / "spool").glob("input/*"):
            file.unlink()


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Server]:
    exim = shutil.which("exim4") or shutil.which("exim4", path="/usr/sbin")
    if exim is None:
        raise SystemExit(MISSING)
    server = Server(free_port(), folder)
    write_certificates(folder)
    config = folder / "exim.conf"
    config.write_text(CONFIG.format(folder=folder, port=server.port, user=USER, password=PASSWORD))
    for name in ("spool", "log"):
        (folder / name).mkdir()
        shutil.chown(folder / name, "Debian-exim", "Debian-exim")
    folder.chmod(0o755)
    with stopped_at_the_end(subprocess.Popen([exim, "-C", str(config), "-bdf"])):
        wait_for(server.port)
        yield server


def write_certificates(folder: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    certificate = authority.issue_cert(HOST, "localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))


@contextlib.contextmanager
def stopped_at_the_end(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, within: float = 20) -> None:
    end = time.monotonic() + within
    while True:
        try:
            socket.create_connection((HOST, port), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
