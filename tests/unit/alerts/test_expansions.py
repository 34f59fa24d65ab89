"""What a record may say of a stored alert: what is stored, and nothing else."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.alerts.expansions import FIELDS, contradiction_of
from schemas.expansion import Expansion
from schemas.lane import Lane

STORED = Expansion(
    kind="audience",
    alert_id=UUID(int=7),
    lane=Lane.PRIORITY,
    status="Exercise",
    groups=("river", "hill"),
    expires_at=1_000,
    languages={"en": 0},
    participants_only=True,
    chunks=3,
)

OTHER = {
    "lane": Lane.IMMEDIATE,
    "status": "Actual",
    "groups": ("river",),
    "expires_at": 2_000,
    "participants_only": False,
}


@given(st.sets(st.sampled_from(FIELDS)), st.sampled_from(("audience", "chunk")))
def test_a_record_agrees_only_if_no_field_differs(changed: set[str], kind: str) -> None:
    asked = STORED.model_copy(update={"kind": kind, **{field: OTHER[field] for field in changed}})
    said = contradiction_of(asked, STORED)
    assert said.partition(":")[0] == next((field for field in FIELDS if field in changed), "")


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))
def test_a_chunk_agrees_only_if_it_is_one_of_the_stored(chunk: int, chunks: int, stored: int) -> None:
    asked = STORED.model_copy(update={"kind": "chunk", "chunk": chunk, "chunks": chunks})
    said = contradiction_of(asked, STORED.model_copy(update={"chunks": stored}))
    assert (said == "") is (chunk < chunks == stored)


@pytest.mark.parametrize("groups", [("river" * 1_000,), tuple(f"group {each}" for each in range(5_000))])
def test_what_is_said_of_large_groups_is_short(groups: tuple[str, ...]) -> None:
    said = contradiction_of(STORED.model_copy(update={"groups": groups}), STORED)
    assert len(said) < 300
