"""command_status values and what each means for a message (SMPP 3.4, 5.1.3)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

ROK: Final = 0x00
RINVMSGLEN: Final = 0x01
RINVCMDLEN: Final = 0x02
RINVCMDID: Final = 0x03
RINVBNDSTS: Final = 0x04
RALYBND: Final = 0x05
RSYSERR: Final = 0x08
RINVSRCADR: Final = 0x0A
RINVDSTADR: Final = 0x0B
RBINDFAIL: Final = 0x0D
RINVPASWD: Final = 0x0E
RINVSYSID: Final = 0x0F
RMSGQFUL: Final = 0x14
RSUBMITFAIL: Final = 0x45
RTHROTTLED: Final = 0x58
RX_T_APPN: Final = 0x64
RX_P_APPN: Final = 0x65
RINVOPTPARSTREAM: Final = 0xC0
RUNKNOWNERR: Final = 0xFF

STATUS_NAMES: Final[Mapping[int, str]] = {
    0x00: "ESME_ROK",
    0x01: "ESME_RINVMSGLEN",
    0x02: "ESME_RINVCMDLEN",
    0x03: "ESME_RINVCMDID",
    0x04: "ESME_RINVBNDSTS",
    0x05: "ESME_RALYBND",
    0x06: "ESME_RINVPRTFLG",
    0x07: "ESME_RINVREGDLVFLG",
    0x08: "ESME_RSYSERR",
    0x0A: "ESME_RINVSRCADR",
    0x0B: "ESME_RINVDSTADR",
    0x0C: "ESME_RINVMSGID",
    0x0D: "ESME_RBINDFAIL",
    0x0E: "ESME_RINVPASWD",
    0x0F: "ESME_RINVSYSID",
    0x11: "ESME_RCANCELFAIL",
    0x13: "ESME_RREPLACEFAIL",
    0x14: "ESME_RMSGQFUL",
    0x15: "ESME_RINVSERTYP",
    0x33: "ESME_RINVNUMDESTS",
    0x34: "ESME_RINVDLNAME",
    0x40: "ESME_RINVDESTFLAG",
    0x42: "ESME_RINVSUBREP",
    0x43: "ESME_RINVESMCLASS",
    0x44: "ESME_RCNTSUBDL",
    0x45: "ESME_RSUBMITFAIL",
    0x48: "ESME_RINVSRCTON",
    0x49: "ESME_RINVSRCNPI",
    0x50: "ESME_RINVDSTTON",
    0x51: "ESME_RINVDSTNPI",
    0x53: "ESME_RINVSYSTYP",
    0x54: "ESME_RINVREPFLAG",
    0x55: "ESME_RINVNUMMSGS",
    0x58: "ESME_RTHROTTLED",
    0x61: "ESME_RINVSCHED",
    0x62: "ESME_RINVEXPIRY",
    0x63: "ESME_RINVDFTMSGID",
    0x64: "ESME_RX_T_APPN",
    0x65: "ESME_RX_P_APPN",
    0x66: "ESME_RX_R_APPN",
    0x67: "ESME_RQUERYFAIL",
    0xC0: "ESME_RINVOPTPARSTREAM",
    0xC1: "ESME_ROPTPARNOTALLWD",
    0xC2: "ESME_RINVPARLEN",
    0xC3: "ESME_RMISSINGOPTPARAM",
    0xC4: "ESME_RINVOPTPARAMVAL",
    0xFE: "ESME_RDELIVERYFAILURE",
    0xFF: "ESME_RUNKNOWNERR",
}


class OutcomeClass(StrEnum):
    """What a response to a submit says about the message; without a response the outcome is unknown."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    REFUSED_FOR_NOW = "refused_for_now"
    BIND_PROBLEM = "bind_problem"


# The message is wrong for these: the same bytes would be refused again.
REFUSED: Final = frozenset(
    {
        *(0x01, 0x02, 0x03, 0x06, 0x07, 0x0A, 0x0B, 0x0C, 0x11, 0x13, 0x15, 0x33, 0x34, 0x40, 0x42, 0x43, 0x44),
        *(0x48, 0x49, 0x50, 0x51, 0x53, 0x54, 0x55, 0x61, 0x62, 0x63, 0x65, 0x66, 0x67, 0xC0, 0xC1, 0xC2, 0xC3, 0xC4),
    }
)
BIND_PROBLEMS: Final = frozenset([RINVBNDSTS, RALYBND, RBINDFAIL, RINVPASWD, RINVSYSID])
# A new attempt soon would lock accounts and fill the operator's log.
BIND_REFUSED: Final = frozenset([RBINDFAIL, RINVPASWD, RINVSYSID, 0x53])


def classify_status(command_status: int) -> OutcomeClass:
    """The outcome class of a response's command_status.

    Values that the standard does not define (reserved, vendor 0x400 to 0x4FF) are refused for now: the SMSC did not
    take the message, so another attempt cannot double it, and retries end with the alert's expiry.
    """
    if command_status == ROK:
        return OutcomeClass.ACCEPTED
    if command_status in REFUSED:
        return OutcomeClass.REFUSED
    if command_status in BIND_PROBLEMS:
        return OutcomeClass.BIND_PROBLEM
    return OutcomeClass.REFUSED_FOR_NOW


def name_status(command_status: int) -> str:
    """The standard's name, or the raw number in hex where it has none (5.1.3 leaves 0x400 to 0x4FF to vendors)."""
    return STATUS_NAMES.get(command_status) or f"0x{command_status:08X}"
