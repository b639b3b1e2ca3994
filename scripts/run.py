"""make run: from a fresh clone to a running site. Usage: run.py [PORT]"""

import errno
import json
import os
import signal
import socket
import subprocess
import sys

import environment as env

sys.path.insert(0, str(env.ROOT))
from cs_web.senders import Senders

HOST = "127.0.0.1"
DEFAULT_PORT = "8000"  # the one in SITE_URL's default
RELOAD = 3  # exit code of Django's server when a file changed
STOP_SECONDS = 15  # longer than a message in flight may take


def main() -> int:
    port = sys.argv[1] if len(sys.argv) > 1 else DEFAULT_PORT
    check_port(port)  # first: nobody wants to wait a minute for this error
    env.say("1/5 Python packages")
    env.install(env.RUNTIME)
    env.say("2/5 Secrets")
    env.write_secrets()
    env.say("3/5 Translations")
    env.compile_messages()
    env.say("4/5 Database")
    migrate()
    env.say("5/5 Server")
    return serve(port)


def check_port(port: str) -> None:
    if not (port.isdecimal() and 0 < int(port) < 65536):
        raise env.SetupError(f"PORT must be a number from 1 to 65535, not {port!r}.")
    try:
        with socket.socket() as probe:
            # As runserver does: without it, the port of a server that just stopped is still in use.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, int(port)))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = "is in use, maybe by this site in another window"
        else:
            why = f"cannot be used ({error.strerror})"
        other = int(port) + 1 if 1024 <= int(port) < 65535 else 8001
        message = f"Port {port} {why}.\nChoose another one: make run PORT={other}"
        raise env.SetupError(message) from None


def migrate() -> None:
    env.run_quietly(
        [env.PYTHON, "manage.py", "migrate"],
        "The database could not be migrated; see Django's output above.",
    )


def senders_are_ours() -> bool:
    """Whether the site is to start the senders of mail beside it."""
    beside = setting("MAIL_BESIDE", "true").lower() in ("true", "1", "yes", "on", "y", "t")
    return beside and setting("MAIL_ENGINE", "work") == "work"


def setting(name: str, default: str) -> str:
    # The environment wins over secrets.json, as in the settings.
    settings = {**json.loads(env.SECRETS.read_text("utf-8-sig")), **os.environ}
    return str(settings.get(name) or default)


def serve(port: str) -> int:
    """Run the server until it ends, and beside it the senders of mail; restart both whenever a file
    of the site changes.

    This replaces the outer one of runserver's two processes, because of Ctrl-C: that one shows
    tracebacks while Django starts, and later kills a server that is still shutting down.
    """
    command = [str(env.PYTHON), "manage.py", "runserver", f"{HOST}:{port}"]
    variables = server_variables(port)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM ends it as Ctrl-C does
    senders = Senders(env.PYTHON, environment=variables)
    if senders_are_ours():
        senders.start()
    try:
        while (code := run_server(command, variables)) == RELOAD:
            senders.restart()
    finally:
        senders.stop(STOP_SECONDS)
    return code


def run_server(command: list[str], variables: dict[str, str]) -> int:
    # Ctrl-C reaches every process in the terminal, and only this one should act on it. The
    # server inherits the blocked signal; here, a Ctrl-C in between is delayed and not lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    variables = {**variables, "RUN_PARENT": str(os.getpid())}  # or it outlives a kill of this one
    server = subprocess.Popen(command, cwd=env.ROOT, env=variables)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        return server.wait()
    finally:
        stop(server)


def server_variables(port: str) -> dict[str, str]:
    variables = {**os.environ, "RUN_MAIN": "true"}  # makes runserver the inner process
    if port != DEFAULT_PORT:  # or the links in messages lead to the default port
        variables.setdefault("SITE_URL", f"http://{HOST}:{port}")
    return variables


def stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(STOP_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):  # Ctrl-C again: kill it now
        server.kill()


if __name__ == "__main__":
    env.start(main, interrupted=0)
