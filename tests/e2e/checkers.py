"""What the tests take from npm (package.json), which `make test` installs into .venv."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.elsewhere import ROOT, requires
from tests.servers import PATIENCE

NPM = ROOT / ".venv" / "npm" / "node_modules"
CLIENTS = ["gmail.*", "outlook.*", "apple-mail.*", "samsung-email.*", "yahoo.*", "aol.*"]
CLIENTS += ["thunderbird.*", "fastmail.*", "mail-ru.*", "laposte.*"]

# One process for all letters: what each of these programs does not support, by name.
LOOK_AT_LETTERS = """
import { readFileSync } from "node:fs";
const { doIUseEmail } = await import(process.argv[1]);
const { letters, emailClients } = JSON.parse(readFileSync(0, "utf8"));
const found = letters.flatMap((html) => doIUseEmail(html, { emailClients }).errors ?? []);
console.log(JSON.stringify([...new Set(found)].sort()));
"""


def tool(package: str, file: str) -> Path:
    path = NPM / package / file
    requires("npm", path.exists())
    return path


def axe() -> Path:
    return tool("axe-core", "axe.min.js")


def nu(folder: Path) -> list[str]:
    """What the Nu HTML checker says of the files in this folder."""
    jar = tool("vnu-jar", "build/dist/vnu.jar")
    requires("default-jre-headless", shutil.which("java"))
    # Its grammar is deep; and it runs too briefly for the second compiler.
    java = ["java", "-Xss4m", "-XX:TieredStopAtLevel=1", "-jar", jar]
    command = [*java, "--format", "json", "--exit-zero-always", folder]
    messages = json.loads(_output(command, of_errors=True))["messages"]
    place = "{0[url]}:{0[lastLine]}: {0[message]}"
    return [place.format(one).removeprefix(f"file:{folder}/") for one in messages]


def unsupported_in(letters: list[str]) -> set[str]:
    """What Can I email says that one of these programs does not support."""
    library = tool("doiuse-email", "index.js")
    node = ["node", "--input-type=module", "--eval", LOOK_AT_LETTERS, library]
    asked = json.dumps({"letters": letters, "emailClients": CLIENTS})
    return set(json.loads(_output(node, asked)))


def _output(command: list[Any], text: str = "", *, of_errors: bool = False) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stderr if of_errors else done.stdout
