"""secrets.json.example: what an operator starts from is right, apart from the secrets."""

import json
import secrets
from pathlib import Path

from cs_web import config
from cs_web.config import Config
from tests.test_config import report_of

EXAMPLE = Path(__file__).parent.parent / "secrets.json.example"


def test_the_example_file_lacks_only_its_secrets() -> None:
    said = report_of(EXAMPLE, {})
    assert {line.split(":")[0].strip() for line in said.splitlines() if line[2:3].isupper()} == {
        "SECRET_KEY",
        "EMAIL_HOST_PASSWORD",
    }
    filled = {"SECRET_KEY": secrets.token_urlsafe(50), "EMAIL_HOST_PASSWORD": "app password"}
    assert config.load(EXAMPLE, filled).EMAIL_SERVICE == "naver"


def test_the_example_file_holds_only_known_names() -> None:
    assert set(json.loads(EXAMPLE.read_text())) <= set(Config.model_fields)


def test_whoever_has_no_configuration_yet_learns_how_to_get_one(tmp_path: Path) -> None:
    said = report_of(tmp_path / "secrets.json", {})
    assert "make run" in said
    assert "secrets.json.example" in said
    assert said.index("make run") < said.index("SECRET_KEY")


def test_whoever_has_one_is_not_sent_back_to_the_beginning(tmp_path: Path) -> None:
    here = tmp_path / "secrets.json"
    by_environment = report_of(here, {"SECRET_KEY": "k3y" * 20})
    here.write_text("{}")
    for said in (by_environment, report_of(here, {})):
        assert "Fix these" in said
        assert "make run" not in said
