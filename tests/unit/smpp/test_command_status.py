"""What each command_status means for a message."""

import pytest

from broadcast.smpp.codec.command_status import STATUS_NAMES, OutcomeClass, classify_status, name_status


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (0x00, OutcomeClass.ACCEPTED),
        (0x01, OutcomeClass.REFUSED),
        (0x0A, OutcomeClass.REFUSED),
        (0x0B, OutcomeClass.REFUSED),
        (0x50, OutcomeClass.REFUSED),
        (0x51, OutcomeClass.REFUSED),
        (0x15, OutcomeClass.REFUSED),
        (0x58, OutcomeClass.REFUSED_FOR_NOW),
        (0x14, OutcomeClass.REFUSED_FOR_NOW),
        (0x08, OutcomeClass.REFUSED_FOR_NOW),
        (0x64, OutcomeClass.REFUSED_FOR_NOW),
        (0x45, OutcomeClass.REFUSED_FOR_NOW),
        (0x04, OutcomeClass.BIND_PROBLEM),
        (0x0E, OutcomeClass.BIND_PROBLEM),
        (0x400, OutcomeClass.REFUSED_FOR_NOW),
        (0x4FF, OutcomeClass.REFUSED_FOR_NOW),
        (0xFFFFFFFF, OutcomeClass.REFUSED_FOR_NOW),
    ],
)
def test_outcome_class(status: int, outcome: OutcomeClass) -> None:
    assert classify_status(status) is outcome


def test_every_defined_status_but_rok_is_no_acceptance() -> None:
    assert [status for status in STATUS_NAMES if classify_status(status) is OutcomeClass.ACCEPTED] == [0]


def test_names_and_raw_numbers() -> None:
    assert name_status(0x58) == "ESME_RTHROTTLED"
    assert name_status(0x411) == "0x00000411"
