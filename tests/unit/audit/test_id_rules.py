"""The detector of id rules: it names the rule that would have matched, whatever rule is set now."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.audit.receipts.id_rules import IdRule, SeenId, count_matches, read_rule
from broadcast.smpp.codec.message_ids import MessageIdRule, normalise_receipt_ids, normalise_response_ids

NUMBERS = [0x812FC7470000001B + 977 * number for number in range(40)]
FORMS = {
    MessageIdRule.AS_IS: ("%X", "%X"),
    MessageIdRule.CASE_INSENSITIVE: ("%x", "%X"),
    MessageIdRule.STRIP_ZEROS: ("%020X", "%X"),
    MessageIdRule.HEX_TO_DECIMAL: ("%X", "%d"),
    MessageIdRule.DECIMAL_TO_HEX: ("%d", "%X"),
}
AS_IS = IdRule(MessageIdRule.AS_IS)


def seen(form: str, rule: IdRule, normalise: object) -> list[SeenId]:
    assert callable(normalise)
    ids = normalise([(form % number).encode() for number in NUMBERS], rule.rule, rule.width)
    return [SeenId(message_id.decode(), number) for message_id, number in zip(ids, range(40), strict=True)]


@pytest.mark.parametrize("current", [IdRule(rule) for rule in MessageIdRule], ids=lambda rule: rule.name)
@pytest.mark.parametrize("true", list(MessageIdRule))
def test_the_rule_that_fits_is_found_whatever_rule_is_set(true: MessageIdRule, current: IdRule) -> None:
    response, receipt = FORMS[true]
    receipts = seen(receipt, current, normalise_receipt_ids)
    accepted = seen(response, current, normalise_response_ids)
    if {one.message_id for one in receipts} == {one.message_id for one in accepted}:
        return  # they match already
    found = [rule for rule, count in count_matches(receipts, accepted, current) if count == 40]
    ids = [(form % number).encode() for form in (response, receipt) for number in NUMBERS]
    fits = [
        rule
        for rule in found
        if normalise_response_ids(ids[:40], rule.rule) == normalise_receipt_ids(ids[40:], rule.rule)
    ]
    # From what a wrong rule has made of the ids two rules may follow; from ids as they came only the true one.
    assert fits
    assert current != AS_IS or found[0] in fits


def test_ids_that_receipts_cut_are_found_by_their_end() -> None:
    accepted = [SeenId(f"20260926-{number:010d}", number) for number in range(40)]
    receipts = [SeenId(f"{number:010d}", number) for number in range(40)]
    best, count = count_matches(receipts, accepted, AS_IS)[0]
    assert (best, count) == (IdRule(MessageIdRule.AS_IS, 10), 40)
    assert best.fields == 'message_id_rule = "as_is"\nmessage_id_width = 10'


def test_the_number_must_be_the_same() -> None:
    assert count_matches([SeenId("FF", 1)], [SeenId("255", 2)], AS_IS) == []
    assert count_matches([SeenId("255", 1)], [SeenId("FF", 1)], AS_IS) == [(IdRule(MessageIdRule.HEX_TO_DECIMAL), 1)]


def test_the_simplest_of_equal_rules_comes_first() -> None:
    found = count_matches([SeenId("AB", 1)], [SeenId("ab", 1)], AS_IS)
    assert found[0] == (IdRule(MessageIdRule.CASE_INSENSITIVE), 1)


@pytest.mark.parametrize("rule", [IdRule(rule, width) for rule in MessageIdRule for width in (0, 10)])
def test_a_rule_is_read_back_from_its_name(rule: IdRule) -> None:
    assert read_rule(rule.name) == rule
    assert read_rule("") == read_rule("made up/x") == AS_IS


@given(st.lists(st.tuples(st.text(max_size=300), st.integers(0, 3)), max_size=8), st.sampled_from(MessageIdRule))
def test_any_ids_leave_it_standing(ids: list[tuple[str, int]], rule: MessageIdRule) -> None:
    several = [SeenId(*one) for one in ids]
    for _, count in count_matches(several, several, IdRule(rule)):
        assert 0 < count <= len(several)
