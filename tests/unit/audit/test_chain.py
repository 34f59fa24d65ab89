"""Evidence segments: what goes in comes out, and no byte changes unseen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.audit.evidence.chain import GENESIS, RawRecord, digest_of, pack, unpack
from broadcast.audit.evidence.segments import Position

records = st.lists(
    st.builds(
        RawRecord,
        st.integers(0, 2**62),
        st.integers(0, 2**44),
        st.none() | st.binary(max_size=40),
        st.none() | st.binary(max_size=200),
        st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=2).map(tuple),
    ),
    min_size=1,
    max_size=30,
)


@given(records)
def test_records_come_out_as_they_went_in(given_records: list[RawRecord]) -> None:
    assert unpack(pack(given_records)) == given_records


@pytest.mark.parametrize("packed", [b"", b"garbage", pack([RawRecord(0, 0, None, None)])[:-4]])
def test_what_is_no_segment_is_refused(packed: bytes) -> None:
    with pytest.raises(ValueError, match="not the records"):
        unpack(packed)


def test_every_part_of_a_segment_is_in_its_digest() -> None:
    packed = pack([RawRecord(5, 1, b"k", b"v")])
    place = ("statuses", 1, 0, 5, 6, 1)
    changed = [
        ("receipts", 1, 0, 5, 6, 1),
        ("statuses", 2, 0, 5, 6, 1),
        ("statuses", 1, 1, 5, 6, 1),
        ("statuses", 1, 0, 6, 6, 1),
        ("statuses", 1, 0, 5, 7, 1),
        ("statuses", 1, 0, 5, 6, 2),
    ]
    digest = digest_of(GENESIS, place, packed)
    others = [digest_of(b"\1" * 32, place, packed), digest_of(GENESIS, place, packed + b"\0")]
    others += [digest_of(GENESIS, other, packed) for other in changed]
    assert len({digest, *others}) == 1 + 2 + len(place)


def test_numbers_do_not_run_together() -> None:
    assert digest_of(GENESIS, ("t", 1, 11, 1, 1, 1), b"") != digest_of(GENESIS, ("t", 11, 1, 1, 1, 1), b"")


def test_a_position_continues_where_the_segment_ends() -> None:
    start = Position("statuses", 2)
    first, middle = start.extend(7, [RawRecord(0, 1, b"a", b"b")], 3)
    second, end = middle.extend(8, [RawRecord(3, 1, b"a", b"b"), RawRecord(4, 2, b"a", b"c")], 9)
    assert (first.from_offset, first.to_offset, second.from_offset, second.to_offset) == (0, 3, 3, 9)
    assert second.previous == first.digest
    assert (end.offset, end.digest, end.last) == (9, second.digest, RawRecord(4, 2, b"a", b"c"))
