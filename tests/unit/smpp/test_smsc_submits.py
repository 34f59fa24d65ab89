"""What the simulator counts, and that its plans have the shares that were asked for."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.smpp.codec.message import ShortMessage, encode_message
from broadcast.smpp.codec.pdu import SUBMIT_SM, encode_pdu
from broadcast.smpp.codec.receipts import MessageState
from broadcast.smpp.codec.tlv import SAR_SEGMENT_SEQNUM, encode_tlvs
from broadcast.smsc.behaviour import Behaviour
from broadcast.smsc.counts.submit_counts import SubmitCounts, TextKey
from broadcast.smsc.pdus.receipt_texts import format_ids
from broadcast.smsc.pdus.submit_layout import SubmitLayout, read_part
from broadcast.smsc.submit_plan import SubmitPlanner

keys = st.builds(TextKey, st.sampled_from([b"a", b"b", b"c"]), st.sampled_from([1, 1, 2]))


@given(st.lists(st.tuples(keys, st.lists(st.integers(1, 6), max_size=5)), max_size=15))
def test_counts_agree_with_a_plain_list(batches: list[tuple[TextKey, list[int]]]) -> None:
    counts = SubmitCounts()
    submits: list[tuple[TextKey, int]] = []
    for key, destinations in batches:
        counts.add(key, destinations)
        submits += [(key, destination) for destination in destinations]
    assert counts.duplicates == len(submits) - len(set(submits))
    by_segment = Counter((key.segment, destination) for key, destination in submits)
    assert counts.repeats == len(submits) - len(by_segment)
    expected: dict[int, int] = {}
    for (_, destination), count in by_segment.items():
        expected[destination] = max(count, expected.get(destination, 0))
    assert dict(counts.numbers()) == expected
    exact = Counter(submits)
    assert counts.repeated(2) == {
        destination: max(count for (_, other), count in exact.items() if other == destination)
        for (_, destination), count in exact.items()
        if count >= 2
    }
    for key, destination in set(submits):
        assert counts.count(key, destination) == exact[key, destination]


@given(st.integers(0, 255), st.binary(min_size=1, max_size=50), st.integers(1, 9))
def test_a_segment_is_known_by_its_text_and_number_whatever_its_reference(ref: int, text: bytes, number: int) -> None:
    def key(**fields: object) -> TextKey:
        part = read_part(ShortMessage(**fields))  # type: ignore[arg-type]
        return TextKey(part.digest, part.number)

    eight = bytes([5, 0, 3, ref, 9, number]) + text
    sixteen = bytes([6, 8, 4, ref, ref ^ 255, 9, number]) + text
    after_another = bytes([9, 0x24, 1, 1, 8, 4, ref, 0, 9, number]) + text
    sar = encode_tlvs([(SAR_SEGMENT_SEQNUM, bytes([number]))])
    found = {key(esm_class=0x40, short_message=each) for each in (eight, sixteen, after_another)}
    assert found == {key(short_message=text, optional=sar)}
    assert found.pop().segment == number
    assert key(short_message=text).segment == 1


@given(st.binary(max_size=30), st.integers(1, 15))
def test_a_layout_reads_what_it_was_made_from(text: bytes, digits: int) -> None:
    message = ShortMessage(service_type=b"CMT", source=b"TOCSIN", destination=b"7" * digits, short_message=text)
    pdu = encode_pdu(SUBMIT_SM, 0, 5, encode_message(message))
    layout = SubmitLayout(pdu)
    assert layout.message == message
    assert layout.struct.unpack(pdu)[3:] == (5, layout.head, b"7" * digits, layout.tail)


def test_shares_come_out_as_asked() -> None:
    behaviour = Behaviour(error_shares={"throttled": 0.1, "0x45": 0.05}, hang_share=0.02, undelivered_share=0.25)
    plans = [SubmitPlanner(3, behaviour).plan(4915100000000 + number, 0) for number in range(20_000)]
    statuses = Counter(plan.status for plan in plans)
    assert statuses[0x58] == pytest.approx(2000, rel=0.1)
    assert statuses[0x45] == pytest.approx(1000, rel=0.15)
    assert sum(plan.unanswered for plan in plans) == pytest.approx(400, rel=0.2)
    assert not any(plan.unanswered and plan.status for plan in plans)
    assert sum(plan.receipt.state is MessageState.UNDELIVERABLE for plan in plans) == pytest.approx(5000, rel=0.1)


def test_a_submit_sent_again_has_a_new_plan() -> None:
    planner = SubmitPlanner(1, Behaviour(error_shares={"throttled": 0.5}))
    assert len({planner.plan(49151, repetition).status for repetition in range(20)}) == 2


def test_ids_are_distinct_in_every_form_and_repeat_only_by_modulus() -> None:
    for form in ("decimal", "hex", "uuid"):
        assert len(set(format_ids(range(1, 1001), form, 0))) == 1000
        assert len(set(format_ids(range(1, 1001), form, 10))) == 10
