"""docs/carriers.md says for each field of an account what in a carrier's form it is, and explains each bind error."""

from pathlib import Path

import pytest

from broadcast.routing.smsc_account import Account, Tls
from broadcast.smpp.codec.command_status import BIND_REFUSED, MEANINGS, RALYBND
from broadcast.smpp.codec.message_ids import MessageIdRule

PAGE = (Path(__file__).parents[3] / "docs" / "carriers.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("field", [*Account.model_fields, *Tls.model_fields])
def test_every_field_of_an_account_is_on_the_page(field: str) -> None:
    assert f"`{field}`" in PAGE


@pytest.mark.parametrize("status", sorted({*BIND_REFUSED, RALYBND}))
def test_every_error_of_a_bind_is_on_the_page(status: int) -> None:
    assert MEANINGS[status].name in PAGE


@pytest.mark.parametrize("rule", MessageIdRule)
def test_every_id_rule_is_on_the_page(rule: MessageIdRule) -> None:
    assert f"`{rule}`" in PAGE
