"""make test: install what the tests need, then run them. The arguments go to pytest."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import environment as env

# Most end-to-end tests wait for something: five at a time keep two cores busy. Who begins with what
# is in tests/e2e/conftest.py. The unit tests calculate: one for each core.
WORKERS, WITHOUT_E2E = 5, "--ignore=tests/e2e"
# Whoever gives one of these wants few tests, or to look at them: workers would only cost time.
CHOOSING = ("-k", "-m", "-n", "-s", "--numprocesses", "--lf", "--last-failed", "--ff", "--pdb")


def main() -> int:
    env.say("1/4 Python packages")
    env.install(env.DEVELOPMENT)
    env.say("2/4 System packages")
    install_system_packages()
    install_checkers()
    env.say("3/4 Translations")
    env.compile_messages()
    env.say("4/4 Tests")
    arguments = sys.argv[1:]
    # Hundreds of processes would each compile the site anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [env.PYTHON, "-m", "pytest", *side_by_side(arguments), *arguments]
    return subprocess.run(command, cwd=env.ROOT).returncode


def side_by_side(arguments: list[str]) -> list[str]:
    """How the tests are shared by workers; not at all if only a few tests are asked for."""
    if any(one.startswith(CHOOSING) or ".py" in one for one in arguments):
        return []
    workers = os.cpu_count() if WITHOUT_E2E in arguments else WORKERS
    return [f"--numprocesses={workers}", "--dist=worksteal"]


def install_system_packages() -> None:
    """Install what is missing, as root. Otherwise list it; tests that need it are skipped."""
    missing = missing_packages()
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        env.say(f"    installing {' '.join(missing)}, which can take some minutes")
        apt_install(missing)
        missing = missing_packages()
    if missing and os.environ.get("CI") == "true":
        raise env.SetupError(f"CI runs every test, but this is missing here: {' '.join(missing)}")
    if missing:
        env.say(f"    some tests will be skipped without: sudo apt install {' '.join(missing)}")


def install_checkers() -> None:
    """From npm, into .venv: axe, the Nu checker and doiuse-email. Tests that need them are skipped
    if that fails; with CI=true they fail."""
    if not shutil.which("npm"):
        return
    folder, lock = env.VENV / "npm", env.ROOT / "package-lock.json"
    stamp = folder / "installed"
    if stamp.exists() and stamp.read_text() == lock.read_text():
        return
    folder.mkdir(exist_ok=True)
    for file in (env.ROOT / "package.json", lock):
        shutil.copy(file, folder)
    npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        env.run_quietly(npm, "The checkers of pages and letters could not be installed.", folder)
        stamp.write_text(lock.read_text())
    except env.SetupError as error:
        env.say(str(error))


def missing_packages() -> list[str]:
    """Debian packages whose programs are missing. How a program was installed does not matter."""
    present = {
        "chromium-headless-shell": shutil.which("chromium-headless-shell")
        or shutil.which("chromium"),
        "gettext": shutil.which("msgfmt") and shutil.which("xgettext"),
        "postgresql": shutil.which("initdb") or found("/usr/lib/postgresql", "*/bin/initdb"),
        "spamassassin": shutil.which("spamassassin"),
        "rabbitmq-server": shutil.which("rabbitmq-server") or found("/usr/lib/rabbitmq", "bin/*"),
        "redis-server": shutil.which("redis-server"),
        "npm": shutil.which("npm"),
        "default-jre-headless": shutil.which("java"),  # for the Nu checker
        "fonts-noto-cjk": has_korean_font(),  # without one, Chromium shows boxes
    }
    return [package for package, here in present.items() if not here]


def has_korean_font() -> bool:
    if shutil.which("fc-list"):
        return bool(subprocess.run(["fc-list", ":lang=ko"], capture_output=True).stdout)
    return found("/usr/share/fonts", "**/*CJK*")


def found(folder: str, pattern: str) -> bool:
    return any(Path(folder).glob(pattern))


def apt_install(packages: list[str]) -> None:
    # RUNLEVEL=1 keeps the packaged servers from starting: the tests start their own.
    env_of_apt = ["env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"]
    # Wait for another apt: a machine that just booted often runs one.
    apt = [*env_of_apt, "apt-get", "-y", "-o", "DPkg::Lock::Timeout=90"]
    try:
        env.run_quietly([*apt, "update"], "apt-get update failed.")
        install = [*apt, "install", "--no-install-recommends", *packages]
        env.run_quietly(install, "apt-get install failed.")
    except env.SetupError as error:
        env.say(str(error))  # not fatal: most tests run without


if __name__ == "__main__":
    env.start(main, interrupted=130)
