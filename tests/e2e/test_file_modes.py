"""Modes of files: secrets and the database are not for everybody on the machine."""

import os
import stat
from pathlib import Path

from tests.elsewhere import DEVELOPMENT, PRODUCTION, Site


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_the_site_writes_is_not_for_others(tmp_path: Path) -> None:
    site = Site(tmp_path, MAIL_ENGINE="threads", **DEVELOPMENT)
    before = os.umask(0)
    try:
        site.manage("migrate", "--verbosity", "0")
        site.manage("shell", "-c", "send_mail('s', ['a@example.com'], 'b')")
    finally:
        os.umask(before)
    written = [site.folder / "var", *(site.folder / "var").rglob("*")]
    assert {path.name for path in written} >= {"var", "db.sqlite3", "mailbox"}
    assert [str(path) for path in written if mode(path) & 0o027] == []


def test_a_stricter_umask_stays(tmp_path: Path) -> None:
    site = Site(tmp_path, **DEVELOPMENT)
    before = os.umask(0o077)
    try:
        site.manage("check")
    finally:
        os.umask(before)
    assert mode(site.folder / "var") == 0o700


def test_what_others_can_read_is_reported(tmp_path: Path) -> None:
    site = Site(tmp_path, **PRODUCTION)
    other = site.folder / "other.sqlite3"
    for file in (site.folder / "secrets.json", other):
        file.write_text("{}")
        file.chmod(0o640)
    (site.folder / "var").mkdir(mode=0o750)
    url = {"DATABASE_URL": f"sqlite:///{other}"}
    assert "W001" not in site.manage("check", **url).stderr
    for name in ("secrets.json", "var", "other.sqlite3"):
        path = site.folder / name
        path.chmod(mode(path) | 0o004)
        said = site.manage("check", **url).stderr
        assert f"(cs_web.W001) {path} is open to everybody on this machine" in said
        assert f"chmod o= {path}" in said
        assert said.count("W001") == 1
        path.chmod(mode(path) & ~0o004)
    path.chmod(mode(path) | 0o004)
    development = {"DEBUG": "true", "SITE_URL": "http://a.localhost"}
    assert "W001" not in site.manage("check", **url, **development).stderr
