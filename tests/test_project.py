"""The project's own rules: what people agreed on, checked by a machine."""

import ast
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from django.apps import apps
from django.core.management import call_command, get_commands

from mail.queue.letters import letters
from tests.elsewhere import DEVELOPMENT, Site

ROOT = Path(__file__).resolve().parent.parent
LANGUAGES = ["ko", "zh_Hant"]


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
OUTSIDE_OF_MAIL = ("cs_web", "users", "scripts", "manage.py")  # tests and bench look inside
# What the others may name of mail; `mail.urls` only as the text of an include().
FACE_OF_MAIL = ("mail.api", "mail.breaker", "mail.conf", "mail.send_mail")
# Each room of mail knows those after it. The desk has no name of its own in a file's path only
# where Django demands another (apps, urls, admin, commands).
ROOMS = ("api", "desk", "queue", "transport", "ground")
GROUND = {"breaker", "causes", "conf", "models", "migrations"}
FACE = {"api", "send_mail", "__init__", ""}


def imports_in(source: str, package: str = "") -> Iterator[tuple[int, str]]:
    """Every module that a file imports, with the name that it takes from it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level]
            place = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            yield from ((node.lineno, f"{place}.{alias.name}") for alias in node.names)


def dotted_texts_in(source: str) -> Iterator[tuple[int, str]]:
    """Every text that may be the name of a module, or of something in one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and re.fullmatch(r"\w+(\.\w+)+", str(node.value)):
            yield node.lineno, str(node.value)


def texts_of_include_in(source: str) -> set[tuple[int, str]]:
    """The texts given to `include()`, with their lines."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    of_include = [call for call in calls if getattr(call.func, "id", "") == "include"]
    texts = [arg for call in of_include for arg in call.args if isinstance(arg, ast.Constant)]
    return {(text.lineno, str(text.value)) for text in texts}


def python_files(place: str) -> list[Path]:
    path = ROOT / place
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def package_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).parent.parts)


@pytest.mark.parametrize("package", ABOVE)
def test_imports_go_one_way(package: str) -> None:
    wrong = [
        f"{named(file)}:{line} knows {name}"
        for file in python_files(package)
        for read in (
            imports_in(file.read_text(), package_of(file)),
            dotted_texts_in(file.read_text()),
        )
        for line, name in read
        if name.split(".")[0] in ABOVE[package]
    ]
    assert not wrong


def test_unit_tests_start_nothing_of_e2e() -> None:
    """`--ignore=tests/e2e` leaves out what takes long."""
    unit_tests = (ROOT / "tests").glob("*.py")
    names = {name for file in unit_tests for _, name in imports_in(file.read_text())}
    assert "tests.conftest.PASSWORD" in names
    assert not [name for name in names if name.startswith("tests.e2e")]


def past_the_face(source: str) -> list[str]:
    """What a file outside of mail names of it that is not for others to name."""

    def is_open(name: str) -> bool:
        return any(name == face or name.startswith(f"{face}.") for face in FACE_OF_MAIL)

    def is_of_mail(text: str) -> bool:
        """Not the name of a task, a check or a logger, which may look like a module's."""
        package, second = text.split(".")[:2]
        here = {path.stem for path in (ROOT / "mail").iterdir()}
        models = {model.__name__ for model in apps.get_app_config("mail").get_models()}
        return package == "mail" and second in here | models

    included = texts_of_include_in(source)
    imported = [name for _, name in imports_in(source) if name.split(".")[0] == "mail"]
    said = [
        text
        for line, text in dotted_texts_in(source)
        if is_of_mail(text) and not (text == "mail.urls" and (line, text) in included)
    ]
    return [name for name in imported + said if not is_open(name)]


@pytest.mark.parametrize("place", OUTSIDE_OF_MAIL)
def test_mail_is_entered_by_its_face(place: str) -> None:
    wrong = {named(file): past_the_face(file.read_text()) for file in python_files(place)}
    assert not {file: names for file, names in wrong.items() if names}


@pytest.mark.parametrize(
    "source",
    [
        "import mail",
        "import mail.models",
        "from mail import models",
        "from mail.models import Mail",
        "def f():\n    from mail.queue import posting",
        "x = 'mail.transport.smtp.EmailBackend'",
        "x = 'mail.Mail'",
        "x = 'mail.urls'",
        "import mail.api_of_another",
    ],
)
def test_a_way_past_the_face_would_be_noticed(source: str) -> None:
    assert past_the_face(source)


@pytest.mark.parametrize(
    "source",
    [
        "from mail import api, conf, send_mail",
        "from mail.api import post",
        "x = 'mail.api.mailbox_context'",
        "include('mail.urls')",
        "x = 'mail.sweep'",
        "import mailbox",
    ],
)
def test_the_face_itself_is_open(source: str) -> None:
    assert not past_the_face(source)


@pytest.mark.parametrize(
    ("source", "package", "name"),
    [
        ("import users.models", "", "users.models"),
        ("from users import accounts", "", "users.accounts"),
        ("from . import limits", "mail.queue", "mail.queue.limits"),
        ("from ..transport import smtp", "mail.queue", "mail.transport.smtp"),
        ("def f():\n    from mail.desk.adhoc import send", "", "mail.desk.adhoc.send"),
    ],
)
def test_no_way_to_import_escapes_these_tests(source: str, package: str, name: str) -> None:
    assert [found for _, found in imports_in(source, package)] == [name]


# docs/rooms.md


def room_of(name: str) -> str:
    """The room of a module, by its dotted name; of a package outside of mail, its name."""
    package, _, rest = name.partition(".")
    within = rest.split(".")[0]
    if package != "mail":
        return package
    if within in FACE:
        return "api"
    if within in GROUND:
        return "ground"
    return within if within in ROOMS else "desk"  # apps, urls, admin, commands …


def arrows() -> set[tuple[str, str]]:
    """Which room imports from which, as it is."""
    ours = ("cs_web", "users", "mail")
    found = set()
    for file in (file for place in ours for file in python_files(place)):
        module = f"{package_of(file)}.{file.stem}"
        for _, name in imports_in(file.read_text(), package_of(file)):
            if name.split(".")[0] in ours:
                found.add((room_of(module), room_of(name)))
    return {(one, other) for one, other in found if one != other}


ROOMS_PAGE = (ROOT / "docs/rooms.md").read_text()


def test_the_arrows_of_the_page_about_rooms_are_the_imports() -> None:
    drawn = set(re.findall(r"(?m)^\| `(\w+) -> (\w+)` \|", ROOMS_PAGE))
    there = arrows()
    assert not there - drawn, "these imports are new: undo them, or draw them"
    assert not drawn - there, "nothing imports so any more"


def test_within_mail_every_arrow_goes_down() -> None:
    within = [(one, other) for one, other in arrows() if {one, other} <= set(ROOMS)]
    assert within
    assert not [pair for pair in within if ROOMS.index(pair[0]) > ROOMS.index(pair[1])]


def test_the_page_about_rooms_names_every_file_of_mail_and_no_other() -> None:
    said = set(re.findall(r"`([\w/]+\.py)`", ROOMS_PAGE))
    files_of_mail = {
        path.relative_to(ROOT / "mail").as_posix()
        for path in python_files("mail")
        if path.parent.name != "migrations" and (path.name != "__init__.py" or path.read_text())
    }
    assert said == files_of_mail


# The database


@pytest.mark.django_db
def test_the_migrations_are_up_to_date() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


# Templates

TEMPLATES = [ROOT / "templates", ROOT / "mail/templates"]  # the site's own come first
DJANGO_RENDERS = {
    "400.html",
    "403.html",
    "404.html",
    "500.html",
    "admin/mail/mail/change_list.html",
    "admin/pagination.html",
    "admin/search_form.html",
}
# The Content-Security-Policy would block it, and so in silence take something from the page.
INLINE = re.compile(
    r"<style|<script(?![^>]*\bsrc=)|<[^>]*\s(?:on\w+|style)\s*=|javascript:", re.IGNORECASE
)


def templates() -> list[tuple[str, Path]]:
    """Each with the name by which it is rendered. Two may have one name: the first wins."""
    found = [(folder, path) for folder in TEMPLATES for path in folder.rglob("*") if path.is_file()]
    return sorted((path.relative_to(folder).as_posix(), path) for folder, path in found)


def template_names() -> set[str]:
    return {name for name, _ in templates()}


PAGES = [path for name, path in templates() if not name.startswith("mail/")]


def test_pages_have_no_inline_script_or_style() -> None:
    """Letters may: programs that show mail know no stylesheets."""
    found = {named(page): INLINE.findall(page.read_text()) for page in PAGES}
    assert found
    assert not {page: inline for page, inline in found.items() if inline}


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
        for name in sorted(template_names())
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


KOREAN = (ROOT / "README.ko.md").read_text()
# What a translation leaves as it is, each with how to find it.
KEPT = {
    "headings": r"(?m)^(#+) ",
    "paragraphs, items and rows": r"(?m)^(\d\.|-|\||!)(?= |\[|-)",
    "blocks of code": r"(?ms)^```\n.*?^```|^    \S[^\n]*(?:\n    \S[^\n]*)*",
    "code in the text": r"(?<!`)`([^`\n]+)`(?!`)",
    "links": r"\]\(([^)]+)\)|<(http[^>]+)>",
}


@pytest.mark.parametrize("what", KEPT)
def test_the_korean_readme_is_in_step(what: str) -> None:
    """Whoever changes README.md changes the other: same order, section by section."""
    here, there = (re.split(r"(?m)^(?=## )", text) for text in (README, KOREAN))
    assert len(here) == len(there)
    for one, other in zip(here, there, strict=True):
        expected, found = re.findall(KEPT[what], one), re.findall(KEPT[what], other)
        if what == "links" and one is here[0]:  # each leads to the other
            expected.remove(("README.ko.md", ""))
            found.remove(("README.md", ""))
        if what == "code in the text":  # Korean has another order of words
            expected, found = sorted(expected), sorted(found)
        assert found == expected, one.splitlines()[0]


def test_the_korean_readme_is_in_korean() -> None:
    prose = re.sub(KEPT["blocks of code"], "", KOREAN)
    sentences = [part for part in prose.split("\n\n") if not re.match(r"[`\[]|#+ cs_web", part)]
    assert not [part for part in sentences if part.strip() and not re.search("[가-힣]", part)]


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
