"""make test: install what the tests need, then run them. The arguments go to pytest."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import environment as env


def main() -> int:
    env.say("1/4 Python packages")
    env.install(env.DEVELOPMENT)
    env.say("2/4 System packages")
    install_system_packages()
    env.say("3/4 Translations")
    env.compile_messages()
    env.say("4/4 Tests")
    return subprocess.run([env.PYTHON, "-m", "pytest", *sys.argv[1:]], cwd=env.ROOT).returncode


def install_system_packages() -> None:
    """Install what is missing where we may. Elsewhere name it; the tests skip what they cannot."""
    missing = missing_packages()
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        env.say(f"    installing {' '.join(missing)}, which can take some minutes")
        apt_install(missing)
        missing = missing_packages()
    if missing and os.environ.get("CI") == "true":
        raise env.SetupError(f"CI runs every test, but this is missing here: {' '.join(missing)}")
    if missing:
        env.say(f"    some tests will be skipped without: sudo apt install {' '.join(missing)}")


def missing_packages() -> list[str]:
    """Debian's names for what is not here. Programs count, however they came."""
    present = {
        "chromium": shutil.which("chromium"),
        "gettext": shutil.which("msgfmt") and shutil.which("xgettext"),
        "postgresql": shutil.which("initdb") or found("/usr/lib/postgresql", "*/bin/initdb"),
        "spamassassin": shutil.which("spamassassin"),
        "rabbitmq-server": shutil.which("rabbitmq-server") or found("/usr/lib/rabbitmq", "bin/*"),
        "redis-server": shutil.which("redis-server"),
        "fonts-noto-cjk": has_korean_font(),  # without one, Chromium draws boxes
    }
    return [package for package, here in present.items() if not here]


def has_korean_font() -> bool:
    if shutil.which("fc-list"):
        return bool(subprocess.run(["fc-list", ":lang=ko"], capture_output=True).stdout)
    return found("/usr/share/fonts", "**/*CJK*")


def found(folder: str, pattern: str) -> bool:
    return any(Path(folder).glob(pattern))


def apt_install(packages: list[str]) -> None:
    # The runlevel keeps the servers among the packages from starting: the tests start their own.
    env_of_apt = ["env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"]
    # With patience for another apt, which a machine just started often runs.
    apt = [*env_of_apt, "apt-get", "-y", "-o", "DPkg::Lock::Timeout=90"]
    try:
        env.run_quietly([*apt, "update"], "apt-get update failed.")
        install = [*apt, "install", "--no-install-recommends", *packages]
        env.run_quietly(install, "apt-get install failed.")
    except env.SetupError as error:
        env.say(str(error))  # not the end: most tests run without


if __name__ == "__main__":
    env.start(main, interrupted=130)
