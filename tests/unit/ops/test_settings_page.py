"""docs/settings.md says what the code says, and every setting says what it is for."""

import pytest
from pydantic import BaseModel, SecretStr

from broadcast.routing.answers import ResendUnanswered
from broadcast.routing.routes import Route
from broadcast.routing.smsc_account import Account, Tls
from broadcast.settings import Settings
from ops.settings_page import HEADINGS, PAGE, render

MODELS = (Settings, Route, Account, Tls, ResendUnanswered)


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "docs/settings.md is old: run `make docs`"


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_setting_has_a_description(model: type[BaseModel]) -> None:
    assert not [name for name, field in model.model_fields.items() if not (field.description or "").endswith(".")]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_number_has_bounds(model: type[BaseModel]) -> None:
    for name, field in model.model_json_schema()["properties"].items():
        for option in field.get("anyOf", [field]):
            if option.get("type") in {"integer", "number"}:
                assert {"minimum", "exclusiveMinimum"} & option.keys(), name


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_no_default_is_an_empty_secret(model: type[BaseModel]) -> None:
    defaults = {name: field.default for name, field in model.model_fields.items()}
    assert not [
        name for name, value in defaults.items() if isinstance(value, SecretStr) and not value.get_secret_value()
    ]


def test_every_heading_begins_at_a_setting() -> None:
    assert HEADINGS.keys() <= Settings.model_fields.keys()
