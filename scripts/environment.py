"""Sets up the working environment: .venv, its packages, secrets.json, compiled messages.

Every function is idempotent, so all may be called at each start.
Standard library only: this runs before anything is installed.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

# Before anything that an older Python cannot parse or import. Not sys.version_info: linters would
# call this dead code.
if sys.hexversion < 0x030B0000:
    sys.exit(
        f"{sys.executable} is Python {platform.python_version()}; 3.11 or newer is needed.\n"
        "If you have one, name it: make run PYTHON=python3.11"
    )

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UNFINISHED = VENV / "unfinished"  # exists while pip runs, and after an interruption
SECRETS = ROOT / "secrets.json"

RUNTIME = ["requirements.txt"]
DEVELOPMENT = ["requirements.txt", "requirements-dev.txt"]

Command = Sequence[str | Path]


class SetupError(Exception):
    """Something that the person has to fix; the message says what, and how."""


def start(main: Callable[[], int], *, interrupted: int) -> None:
    """Run a script's main and exit, without a traceback for errors of people or their machines.

    `interrupted` is the exit code after Ctrl-C: success where that is the normal end.
    """
    try:
        code = main()
    except SetupError as error:
        print(f"\n{error}", file=sys.stderr, flush=True)
        code = 1
    except KeyboardInterrupt:
        say("\nStopped.")
        sys.exit(interrupted)
    if code:
        silence_make()
    sys.exit(code)


def silence_make() -> None:
    """Keep "make: *** Error 1" from a person who has just read what is wrong.

    make has no option for that. Of SIGPIPE it dies at once, and neither it nor a shell says
    anything; what the shell gets is not 0 then either. Elsewhere than at a terminal, as in CI, it
    ends as it always does. MAKE_PID is from the Makefile: nobody else's parent is to die.
    """
    if sys.stderr.isatty() and os.environ.get("MAKE_PID") == str(os.getppid()):
        os.kill(os.getppid(), signal.SIGPIPE)


def say(line: str) -> None:
    print(line, flush=True)  # at once, even into a pipe: people watch this


def run_quietly(command: Command, advice: str, folder: Path = ROOT) -> None:
    """Run a command and show its output only if it fails, with `advice` below it."""
    # No input: a prompt that is not shown would look like a hang.
    env = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    done = subprocess.run(
        command,
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        raise SetupError(f"{done.stdout.decode(errors='replace')}\n{advice}")


# .venv and its packages


def install(requirements: Sequence[str]) -> None:
    """Make sure that .venv exists and has what these requirement files list."""
    with _one_at_a_time():
        # pip may take half a package for a whole one, so start again.
        if UNFINISHED.exists() or not _venv_can("pass"):
            _make_venv()
        wanted = {VENV / f"{name}.installed": _fingerprint(name) for name in requirements}
        if all(stamp.exists() and stamp.read_text() == wanted[stamp] for stamp in wanted):
            return
        say("    installing, which takes a minute the first time")
        _pip_install(requirements)
        for stamp, fingerprint in wanted.items():
            stamp.write_text(fingerprint)


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Lock, so that `make run` and `make test` wait for each other. Ends with the process."""
    descriptor = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _venv_can(code: str) -> bool:
    try:
        return subprocess.run([PYTHON, "-c", code], stderr=subprocess.DEVNULL).returncode == 0
    except OSError:  # no .venv, or it links to a Python that is gone
        return False


def _make_venv() -> None:
    # pip comes later: Debian without python3-venv can make a .venv, but not one with pip.
    run_quietly(
        [sys.executable, "-m", "venv", "--clear", "--without-pip", VENV],
        "Python could not make .venv. On Debian and Ubuntu: sudo apt install python3-venv",
    )


def _fingerprint(name: str) -> str:
    version = subprocess.check_output([PYTHON, "-VV"])
    return hashlib.sha256(version + (ROOT / name).read_bytes()).hexdigest()


def _pip_install(requirements: Sequence[str]) -> None:
    files = [f"--requirement={name}" for name in requirements]
    UNFINISHED.touch()
    try:
        run_quietly(
            [*_pip(), "install", "--quiet", *files],
            "The Python packages could not be installed; see pip's output above.\n"
            "If the network was down, try again when it is up.",
        )
    except SetupError:
        UNFINISHED.unlink()  # pip failed by itself, and has cleaned up
        raise
    UNFINISHED.unlink()


def _pip() -> Command:
    """The start of a command line for a pip that installs into .venv."""
    if not _venv_can("import pip"):
        subprocess.run([PYTHON, "-m", "ensurepip", "--default-pip"], capture_output=True)
    if _venv_can("import pip"):
        return [PYTHON, "-m", "pip"]
    if importlib.util.find_spec("pip"):  # of the Python that runs this script
        return [sys.executable, "-m", "pip", "--python", PYTHON]
    raise SetupError("Python has no pip here. On Debian and Ubuntu: sudo apt install python3-venv")


# secrets.json and translations


def write_secrets() -> None:
    """Write a secrets.json for development, unless there is one."""
    try:
        SECRETS.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        return
    values = {"SECRET_KEY": secrets.token_urlsafe(48), "DEBUG": True, "EMAIL_SERVICE": "file"}
    SECRETS.write_text(json.dumps(values, indent=2) + "\n")


def compile_messages() -> None:
    """Compile translations that changed. With Babel, which needs no gettext on the machine."""
    if not _stale_messages():
        return
    run_quietly(
        [PYTHON, "-m", "babel.messages.frontend", "compile", "-D", "django", "-d", "locale"],
        "The translations could not be compiled; see pybabel's output above.",
    )
    stale = ", ".join(_stale_messages())
    if stale:  # pybabel skips a file whose header is fuzzy, as a new one's is
        raise SetupError(f"Not compiled: {stale}. Remove '#, fuzzy' above its first msgid.")


def _stale_messages() -> list[str]:
    sources = ROOT.glob("locale/*/LC_MESSAGES/django.po")
    return [str(po.relative_to(ROOT)) for po in sources if _is_newer(po, po.with_suffix(".mo"))]


def _is_newer(source: Path, result: Path) -> bool:
    return not result.exists() or source.stat().st_mtime > result.stat().st_mtime


def main() -> int:
    """Prepare what `make lint`, `make format` and `make messages` need."""
    say("1/2 Python packages")
    install(DEVELOPMENT)
    say("2/2 Translations")
    compile_messages()
    return 0


if __name__ == "__main__":
    start(main, interrupted=130)
