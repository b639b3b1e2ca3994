"""The project's own rules: what people agreed on, held by a machine."""

import ast
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from django.core.management import call_command, get_commands

from mail.registry import letters
from tests.elsewhere import DEVELOPMENT, Site

ROOT = Path(__file__).resolve().parent.parent
LANGUAGES = ["ko", "zh_Hant"]
LINES_AT_MOST = 400


def files(*suffixes: str) -> Iterator[Path]:
    """Everything that is ours, without what tools and the running site have made."""
    for place in ROOT.iterdir():
        if not place.name.startswith(".") and place.name != "var":
            paths = place.rglob("*") if place.is_dir() else [place]
            yield from (path for path in paths if path.suffix in suffixes)


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# Imports

# Whom a package must not know.
ABOVE = {"mail": ("users", "cs_web"), "users": ("cs_web",)}


def names_in(source: str) -> Iterator[tuple[int, str]]:
    """Every module that a file imports, and every text that may be the name of one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Constant) and re.fullmatch(r"\w+(\.\w+)+", str(node.value)):
            yield node.lineno, str(node.value)


@pytest.mark.parametrize("package", ABOVE)
def test_imports_go_one_way(package: str) -> None:
    wrong = [
        f"{named(file)}:{line} knows {name}"
        for file in sorted((ROOT / package).rglob("*.py"))
        for line, name in names_in(file.read_text())
        if name.split(".")[0] in ABOVE[package]
    ]
    assert not wrong


@pytest.mark.parametrize(
    "source", ["import users.models", "from users import accounts", "x = 'users.User'"]
)
def test_the_test_above_would_notice(source: str) -> None:
    [(_, name)] = names_in(source)
    assert name.split(".")[0] == "users"


# Files


def test_no_file_is_too_long_to_be_read_in_one_go() -> None:
    lengths = {named(file): len(file.read_text().splitlines())
               for file in files(".py", ".html", ".txt", ".js")}  # fmt: skip
    assert not {name: length for name, length in lengths.items() if length >= LINES_AT_MOST}


def test_every_python_file_with_something_in_it_says_what_it_is_for() -> None:
    said_by_django = re.compile(r"/migrations/|/(apps|\w*urls|admin)\.py$|^conftest\.py$")
    silent = [
        named(file)
        for file in files(".py")
        if file.read_text().strip()
        and not said_by_django.search(named(file))
        and not ast.get_docstring(ast.parse(file.read_text()))
    ]
    assert not silent


@pytest.mark.django_db
def test_the_migrations_are_up_to_date() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


# Templates

TEMPLATES = ROOT / "templates"
DJANGO_RENDERS = {
    "400.html",
    "403.html",
    "404.html",
    "500.html",
    "admin/mail/mail/change_list.html",
}
# The Content-Security-Policy would block it, and so in silence take something from the page.
INLINE = re.compile(
    r"<style|<script(?![^>]*\bsrc=)|<[^>]*\s(?:on\w+|style)\s*=|javascript:", re.IGNORECASE
)


def template_names() -> list[str]:
    found = (path for path in TEMPLATES.rglob("*") if path.is_file())
    return sorted(path.relative_to(TEMPLATES).as_posix() for path in found)


@pytest.mark.parametrize("name", [name for name in template_names() if name[:5] != "mail/"])
def test_pages_have_no_inline_script_or_style(name: str) -> None:
    """Letters may: programs that show mail know no stylesheets."""
    assert not INLINE.findall((TEMPLATES / name).read_text())


@pytest.mark.parametrize(
    "html",
    [
        "<script>x</script>",
        '<a  onclick="x">',
        "<p STYLE = 'x'>",
        "<style>",
        "<a\nonclick=x>",
        '<a href="javascript:x">',
    ],
)
def test_an_inline_script_or_style_would_be_noticed(html: str) -> None:
    assert INLINE.search(html)
    assert not INLINE.search('<script src="/static/site.js" defer></script><p class="on">style=')


def test_every_template_is_rendered_by_something() -> None:
    sources = [
        file.read_text() for file in files(".py", ".html", ".txt") if "tests" not in named(file)
    ]
    of_letters = set(re.findall(r'_letter\(\s*"(\w+)"', (ROOT / "users/letters.py").read_text()))
    used = DJANGO_RENDERS | {
        f"mail/{stem}.{suffix}" for stem in of_letters for suffix in ("subject.txt", "txt", "html")
    }
    orphans = [
        name
        for name in template_names()
        if name not in used and not any(f'"{name}"' in source for source in sources)
    ]
    assert of_letters
    assert not orphans


def test_every_letter_to_a_person_has_subject_text_and_html() -> None:
    stems = {name.split("/")[1].split(".")[0] for name in template_names() if ".subject." in name}
    missing = [f"mail/{stem}.{suffix}" for stem in stems for suffix in ("txt", "html")
               if f"mail/{stem}.{suffix}" not in template_names()]  # fmt: skip
    assert not missing
    assert {"register", "password_reset", "password_change"} <= stems & set(letters)


# Translations


def catalog(language: str, folder: Path = ROOT) -> Catalog:
    with (folder / "locale" / language / "LC_MESSAGES" / "django.po").open("rb") as file:
        return read_po(file)


def texts(value: str | tuple[str, ...] | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|\{\w*\}|%%")


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_translation_is_missing_doubtful_or_left_over(language: str) -> None:
    found = catalog(language)
    assert not found.fuzzy
    assert not [message.id for message in found if message.id and message.fuzzy]
    assert not [message.id for message in found if not all(texts(message.string))]
    assert not list(found.obsolete)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_fills_in_what_the_original_does(language: str) -> None:
    wrong = [
        (message.id, text)
        for message in catalog(language)
        if message.id
        for text in texts(message.string)
        if set(PLACEHOLDER.findall(text)) != set(PLACEHOLDER.findall(texts(message.id)[-1]))
    ]
    assert not wrong


def test_every_text_in_the_source_is_in_the_translations_and_no_other(tmp_path: Path) -> None:
    if not shutil.which("xgettext"):
        reason = "xgettext is missing; on Debian and Ubuntu: sudo apt install gettext"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    site = Site(tmp_path, **DEVELOPMENT)
    done = site.manage("makemessages", "--no-obsolete", *(f"--locale={name}" for name in LANGUAGES))
    assert done.returncode == 0, done.stderr
    for language in LANGUAGES:
        wanted = {message.id for message in catalog(language, site.folder)}
        found = {message.id for message in catalog(language)}
        assert not wanted - found, f"{language}: run make messages and translate these"
        assert not found - wanted, f"{language}: run make messages, these are gone"


# README.md

README = (ROOT / "README.md").read_text() if (ROOT / "README.md").exists() else ""
CODE = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", README) + re.findall(r"(?m)^    (\S.*)$", README)
MADE_LATER = {"secrets.json", ".venv", ".venv/bin/python"}


def test_the_readme_gets_a_newcomer_started() -> None:
    assert {"make run", "make test"} <= set(CODE)


def test_every_make_target_in_the_readme_exists() -> None:
    said = {name for code in CODE for name in re.findall(r"\bmake ([a-z]+)\b(?!=)", code)}
    targets = set(re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text()))
    assert said
    assert not said - targets


def test_every_command_in_the_readme_exists() -> None:
    said = {name for code in CODE for name in re.findall(r"manage\.py (\w+)", code)}
    assert said
    assert not said - set(get_commands())


def test_every_file_that_the_readme_names_exists() -> None:
    linked = re.findall(r"\]\((?!http)([^)#]+)", README)
    looks_like_a_path = re.compile(r"[\w.-][\w./-]*(/|\.(py|md|json|txt|toml|ini|example))")
    said = {word for code in CODE for word in code.split() if looks_like_a_path.fullmatch(word)}
    here = {path.name for path in files(".py")}
    missing = [
        name
        for name in sorted({*linked, *said} - MADE_LATER)
        if not (ROOT / name).exists() and name not in here
    ]
    assert linked
    assert said
    assert not missing
