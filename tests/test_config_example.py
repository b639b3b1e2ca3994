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
