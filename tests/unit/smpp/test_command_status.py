"""What each command_status means for a message."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.routing.answers import OwnMeaning
from broadcast.smpp.codec.command_status import (
    MEANINGS,
    OWN_MEANINGS,
    STATUS_NAMES,
    VENDOR,
    Follow,
    OutcomeClass,
    explain_status,
    meaning_of,
    name_status,
)

STATUSES = st.integers(0, 0xFFFFFFFF) | st.sampled_from([*MEANINGS, *VENDOR])


@pytest.mark.parametrize(
    ("status", "outcome_class", "follow"),
    [
        (0x00, OutcomeClass.ACCEPTED, Follow.NOTHING),
        (0x01, OutcomeClass.OF_MESSAGE, Follow.NOTHING),
        (0x0A, OutcomeClass.OF_ACCOUNT, Follow.OTHER_ACCOUNT),
        (0x0B, OutcomeClass.OF_NUMBER, Follow.NOTHING),
        (0x15, OutcomeClass.OF_ACCOUNT, Follow.OTHER_ACCOUNT),
        (0x50, OutcomeClass.OF_ACCOUNT, Follow.OTHER_ACCOUNT),
        (0x51, OutcomeClass.OF_ACCOUNT, Follow.OTHER_ACCOUNT),
        (0x58, OutcomeClass.THROTTLED, Follow.SAME_SESSION),
        (0x14, OutcomeClass.OF_NUMBER, Follow.NEXT_ATTEMPT),
        (0x08, OutcomeClass.FOR_NOW, Follow.NEXT_ATTEMPT),
        (0x64, OutcomeClass.FOR_NOW, Follow.NEXT_ATTEMPT),
        (0x45, OutcomeClass.FOR_NOW, Follow.NEXT_ATTEMPT),
        (0x04, OutcomeClass.SESSION, Follow.NEXT_ATTEMPT),
        (0x0E, OutcomeClass.SESSION, Follow.NEXT_ATTEMPT),
        (0x104, OutcomeClass.OF_ACCOUNT, Follow.OTHER_ACCOUNT),
        (0x400, OutcomeClass.FOR_NOW, Follow.NEXT_ATTEMPT),
        (0x4FF, OutcomeClass.FOR_NOW, Follow.NEXT_ATTEMPT),
        (0xFFFFFFFF, OutcomeClass.FOR_NOW, Follow.NEXT_ATTEMPT),
    ],
)
def test_outcome_classes_are_never_collapsed(status: int, outcome_class: OutcomeClass, follow: Follow) -> None:
    meaning = meaning_of(status)
    assert (meaning.outcome_class, meaning.follow) == (outcome_class, follow)


def test_every_value_of_smpp_3_4_and_5_0_has_a_line() -> None:
    of_3_4 = {
        *range(0x00, 0x09),
        *range(0x0A, 0x10),
        *(0x11, 0x13, 0x14, 0x15, 0x33, 0x34, 0x40, 0x42, 0x43, 0x44, 0x45, 0x48, 0x49, 0x50, 0x51, 0x53, 0x54, 0x55),
        *(0x58, *range(0x61, 0x68), *range(0xC0, 0xC5), 0xFE, 0xFF),
    }
    assert set(MEANINGS) == of_3_4 | set(range(0x100, 0x113))


@given(STATUSES)
def test_vendor_statuses_and_reserved_values_do_not_raise(status: int) -> None:
    meaning = meaning_of(status)
    assert meaning.words
    assert meaning.outcome_class is not OutcomeClass.UNKNOWN, "an answer has come"
    assert (meaning.outcome_class is OutcomeClass.ACCEPTED) is (status == 0)
    assert meaning.words in explain_status(status)


@given(STATUSES)
def test_a_value_that_is_not_defined_is_tried_again_and_never_accepted(status: int) -> None:
    if status not in MEANINGS:
        assert meaning_of(status)[1:3] == (OutcomeClass.FOR_NOW, Follow.NEXT_ATTEMPT)
        assert name_status(status) == f"0x{status:08X}"


@given(STATUSES, st.sampled_from(sorted(OWN_MEANINGS)))
def test_an_account_says_what_its_smsc_means(status: int, own: str) -> None:
    assert meaning_of(status, {status: own}) == OWN_MEANINGS[own]
    assert meaning_of(status, {status ^ 1: own}) == meaning_of(status)
    assert OWN_MEANINGS[own].outcome_class is not OutcomeClass.ACCEPTED


def test_what_an_account_may_say_is_checked_in_the_routes_file() -> None:
    assert set(get_args(OwnMeaning)) == set(OWN_MEANINGS)


def test_the_follow_of_each_class() -> None:
    lines = [*MEANINGS.values(), *OWN_MEANINGS.values()]
    follows = {each: {line.follow for line in lines if line.outcome_class is each} for each in OutcomeClass}
    assert follows == {
        OutcomeClass.ACCEPTED: {Follow.NOTHING},
        OutcomeClass.OF_MESSAGE: {Follow.NOTHING},
        OutcomeClass.OF_NUMBER: {Follow.NOTHING, Follow.NEXT_ATTEMPT},
        OutcomeClass.OF_ACCOUNT: {Follow.OTHER_ACCOUNT},
        OutcomeClass.FOR_NOW: {Follow.NEXT_ATTEMPT},
        OutcomeClass.THROTTLED: {Follow.SAME_SESSION},
        OutcomeClass.SESSION: {Follow.NEXT_ATTEMPT},
        OutcomeClass.UNKNOWN: {Follow.RESEND},
    }


def test_names_and_raw_numbers() -> None:
    assert name_status(0x58) == "ESME_RTHROTTLED"
    assert name_status(0x411) == "0x00000411"
    assert explain_status(0x0B) == "ESME_RINVDSTADR: the number is not valid"
    assert explain_status(0x411) == "0x00000411: an error of this SMSC's own"
    assert explain_status(0x411, {0x411: "number_for_now"}) == "0x00000411: the number cannot be reached for now"
    assert len(set(STATUS_NAMES.values())) == len(STATUS_NAMES)
