"""command_status values: what each says of a submit, and what follows (SMPP 3.4, 5.1.3; SMPP 5.0, 4.7.6)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

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
RINVSYSTYP: Final = 0x53
RTHROTTLED: Final = 0x58
RX_T_APPN: Final = 0x64
RINVOPTPARSTREAM: Final = 0xC0
RUNKNOWNERR: Final = 0xFF

VENDOR: Final = range(0x400, 0x500)
"""Values that each SMSC defines for itself (5.1.3)."""


class OutcomeClass(StrEnum):
    """What an answer to a submit speaks of; `unknown` stands for the answer that did not come."""

    ACCEPTED = "accepted"
    OF_MESSAGE = "of_message"
    OF_NUMBER = "of_number"
    OF_ACCOUNT = "of_account"
    FOR_NOW = "for_now"
    THROTTLED = "throttled"
    SESSION = "session"
    UNKNOWN = "unknown"


class Follow(StrEnum):
    """What follows an answer.

    `next_attempt` comes after a pause that grows with the attempts, `same_session` when the rate allows it; `resend` is
    a possible duplicate.
    """

    NOTHING = "nothing"
    NEXT_ATTEMPT = "next_attempt"
    OTHER_ACCOUNT = "other_account"
    SAME_SESSION = "same_session"
    RESEND = "resend"


class Meaning(NamedTuple):
    """One line of the table; `words` are for people. `name` is the standard's, empty where it has none."""

    name: str
    outcome_class: OutcomeClass
    follow: Follow
    words: str


_ACCEPTED: Final = (OutcomeClass.ACCEPTED, Follow.NOTHING)
_MESSAGE: Final = (OutcomeClass.OF_MESSAGE, Follow.NOTHING)
_NUMBER: Final = (OutcomeClass.OF_NUMBER, Follow.NOTHING)
_NUMBER_FOR_NOW: Final = (OutcomeClass.OF_NUMBER, Follow.NEXT_ATTEMPT)
_ACCOUNT: Final = (OutcomeClass.OF_ACCOUNT, Follow.OTHER_ACCOUNT)
_FOR_NOW: Final = (OutcomeClass.FOR_NOW, Follow.NEXT_ATTEMPT)
_THROTTLED: Final = (OutcomeClass.THROTTLED, Follow.SAME_SESSION)
_SESSION: Final = (OutcomeClass.SESSION, Follow.NEXT_ATTEMPT)
_UNKNOWN: Final = (OutcomeClass.UNKNOWN, Follow.RESEND)

MEANINGS: Final[Mapping[int, Meaning]] = {
    0x00: Meaning("ESME_ROK", *_ACCEPTED, "accepted"),
    0x01: Meaning("ESME_RINVMSGLEN", *_MESSAGE, "the length of the message is not valid"),
    0x02: Meaning("ESME_RINVCMDLEN", *_ACCOUNT, "the length of the PDU is not valid"),
    0x03: Meaning("ESME_RINVCMDID", *_ACCOUNT, "the SMSC does not know submit_sm"),
    0x04: Meaning("ESME_RINVBNDSTS", *_SESSION, "the session is not bound for submits"),
    0x05: Meaning("ESME_RALYBND", *_SESSION, "the account is bound already"),
    0x06: Meaning("ESME_RINVPRTFLG", *_ACCOUNT, "priority_flag is not valid"),
    0x07: Meaning("ESME_RINVREGDLVFLG", *_ACCOUNT, "registered_delivery is not valid"),
    0x08: Meaning("ESME_RSYSERR", *_FOR_NOW, "the SMSC has a system error"),
    0x0A: Meaning("ESME_RINVSRCADR", *_ACCOUNT, "the sender's address is not valid"),
    0x0B: Meaning("ESME_RINVDSTADR", *_NUMBER, "the number is not valid"),
    0x0C: Meaning("ESME_RINVMSGID", *_MESSAGE, "the message id is not valid"),
    0x0D: Meaning("ESME_RBINDFAIL", *_SESSION, "the bind failed"),
    0x0E: Meaning("ESME_RINVPASWD", *_SESSION, "the password is not valid"),
    0x0F: Meaning("ESME_RINVSYSID", *_SESSION, "the system_id is not valid"),
    0x11: Meaning("ESME_RCANCELFAIL", *_MESSAGE, "the message could not be cancelled"),
    0x13: Meaning("ESME_RREPLACEFAIL", *_MESSAGE, "the message could not be replaced"),
    0x14: Meaning("ESME_RMSGQFUL", *_NUMBER_FOR_NOW, "the queue of the number is full"),
    0x15: Meaning("ESME_RINVSERTYP", *_ACCOUNT, "service_type is not valid"),
    0x33: Meaning("ESME_RINVNUMDESTS", *_MESSAGE, "the number of destinations is not valid"),
    0x34: Meaning("ESME_RINVDLNAME", *_MESSAGE, "the name of the distribution list is not valid"),
    0x40: Meaning("ESME_RINVDESTFLAG", *_MESSAGE, "the flag of the destination is not valid"),
    0x42: Meaning("ESME_RINVSUBREP", *_MESSAGE, "submit with replace is not valid"),
    0x43: Meaning("ESME_RINVESMCLASS", *_ACCOUNT, "esm_class is not valid"),
    0x44: Meaning("ESME_RCNTSUBDL", *_MESSAGE, "the distribution list takes no messages"),
    0x45: Meaning("ESME_RSUBMITFAIL", *_FOR_NOW, "the submit failed"),
    0x48: Meaning("ESME_RINVSRCTON", *_ACCOUNT, "the sender's type of number is not valid"),
    0x49: Meaning("ESME_RINVSRCNPI", *_ACCOUNT, "the sender's numbering plan is not valid"),
    0x50: Meaning("ESME_RINVDSTTON", *_ACCOUNT, "the recipient's type of number is not valid"),
    0x51: Meaning("ESME_RINVDSTNPI", *_ACCOUNT, "the recipient's numbering plan is not valid"),
    0x53: Meaning("ESME_RINVSYSTYP", *_ACCOUNT, "system_type is not valid"),
    0x54: Meaning("ESME_RINVREPFLAG", *_ACCOUNT, "replace_if_present is not valid"),
    0x55: Meaning("ESME_RINVNUMMSGS", *_MESSAGE, "the number of messages is not valid"),
    0x58: Meaning("ESME_RTHROTTLED", *_THROTTLED, "the rate of submits is too high"),
    0x61: Meaning("ESME_RINVSCHED", *_ACCOUNT, "schedule_delivery_time is not valid"),
    0x62: Meaning("ESME_RINVEXPIRY", *_ACCOUNT, "validity_period is not valid"),
    0x63: Meaning("ESME_RINVDFTMSGID", *_MESSAGE, "the predefined message does not exist"),
    0x64: Meaning("ESME_RX_T_APPN", *_FOR_NOW, "the receiver has an error for now"),
    0x65: Meaning("ESME_RX_P_APPN", *_MESSAGE, "the receiver has an error for good"),
    0x66: Meaning("ESME_RX_R_APPN", *_MESSAGE, "the receiver rejects the message"),
    0x67: Meaning("ESME_RQUERYFAIL", *_MESSAGE, "the query failed"),
    0xC0: Meaning("ESME_RINVOPTPARSTREAM", *_ACCOUNT, "the optional parameters cannot be read"),
    0xC1: Meaning("ESME_ROPTPARNOTALLWD", *_ACCOUNT, "an optional parameter is not allowed"),
    0xC2: Meaning("ESME_RINVPARLEN", *_ACCOUNT, "the length of an optional parameter is not valid"),
    0xC3: Meaning("ESME_RMISSINGOPTPARAM", *_ACCOUNT, "an optional parameter is missing"),
    0xC4: Meaning("ESME_RINVOPTPARAMVAL", *_ACCOUNT, "the value of an optional parameter is not valid"),
    0xFE: Meaning("ESME_RDELIVERYFAILURE", *_NUMBER_FOR_NOW, "the number was not reached"),
    0xFF: Meaning("ESME_RUNKNOWNERR", *_FOR_NOW, "the SMSC has an unknown error"),
    0x100: Meaning("ESME_RSERTYPUNAUTH", *_ACCOUNT, "the account may not use this service_type"),
    0x101: Meaning("ESME_RPROHIBITED", *_ACCOUNT, "the account may not submit"),
    0x102: Meaning("ESME_RSERTYPUNAVAIL", *_FOR_NOW, "the service_type is not available"),
    0x103: Meaning("ESME_RSERTYPDENIED", *_ACCOUNT, "the service_type is denied"),
    0x104: Meaning("ESME_RINVDCS", *_ACCOUNT, "data_coding is not valid"),
    0x105: Meaning("ESME_RINVSRCADDRSUBUNIT", *_ACCOUNT, "source_addr_subunit is not valid"),
    0x106: Meaning("ESME_RINVDSTADDRSUBUNIT", *_ACCOUNT, "dest_addr_subunit is not valid"),
    0x107: Meaning("ESME_RINVBCASTFREQINT", *_MESSAGE, "the interval of the cell broadcast is not valid"),
    0x108: Meaning("ESME_RINVBCASTALIAS_NAME", *_MESSAGE, "the alias of the cell broadcast is not valid"),
    0x109: Meaning("ESME_RINVBCASTAREAFMT", *_MESSAGE, "the area of the cell broadcast is not valid"),
    0x10A: Meaning("ESME_RINVNUMBCAST_AREAS", *_MESSAGE, "the number of areas of the cell broadcast is not valid"),
    0x10B: Meaning("ESME_RINVBCASTCNTTYPE", *_MESSAGE, "the content type of the cell broadcast is not valid"),
    0x10C: Meaning("ESME_RINVBCASTMSGCLASS", *_MESSAGE, "the class of the cell broadcast is not valid"),
    0x10D: Meaning("ESME_RBCASTFAIL", *_MESSAGE, "the cell broadcast failed"),
    0x10E: Meaning("ESME_RBCASTQUERYFAIL", *_MESSAGE, "the query of the cell broadcast failed"),
    0x10F: Meaning("ESME_RBCASTCANCELFAIL", *_MESSAGE, "the cell broadcast could not be cancelled"),
    0x110: Meaning("ESME_RINVBCAST_REP", *_MESSAGE, "the repetition of the cell broadcast is not valid"),
    0x111: Meaning("ESME_RINVBCASTSRVGRP", *_MESSAGE, "the service group of the cell broadcast is not valid"),
    0x112: Meaning("ESME_RINVBCASTCHANIND", *_MESSAGE, "the channel of the cell broadcast is not valid"),
}
"""All values that SMPP 3.4 and 5.0 define. Those of receivers, queries and cell broadcasts do not answer a submit."""

OF_VENDOR: Final = Meaning("", *_FOR_NOW, "an error of this SMSC's own")
RESERVED: Final = Meaning("", *_FOR_NOW, "an error that SMPP does not define")
UNANSWERED_MEANING: Final = Meaning("", *_UNKNOWN, "no answer")

OWN_MEANINGS: Final[Mapping[str, Meaning]] = {
    "of_message": Meaning("", *_MESSAGE, "the SMSC refuses the message"),
    "number_for_now": Meaning("", *_NUMBER_FOR_NOW, "the number cannot be reached for now"),
    "number_for_good": Meaning("", *_NUMBER, "the SMSC refuses the number"),
    "of_account": Meaning("", *_ACCOUNT, "the SMSC refuses the account"),
    "for_now": Meaning("", *_FOR_NOW, "the SMSC refuses it for now"),
    "throttled": Meaning("", *_THROTTLED, "the rate of submits is too high"),
    "session": Meaning("", *_SESSION, "the SMSC refuses the session"),
    "unknown": Meaning("", *_UNKNOWN, "the SMSC may have taken it"),
}
"""What an account may say of a value of its SMSC. None is an acceptance: a refusal has no message id."""

STATUS_NAMES: Final[Mapping[int, str]] = {value: meaning.name for value, meaning in MEANINGS.items()}

# A new attempt soon would lock accounts and fill the operator's log.
BIND_REFUSED: Final = frozenset([RBINDFAIL, RINVPASWD, RINVSYSID, RINVSYSTYP])


def meaning_of(command_status: int, own: Mapping[int, str] | None = None) -> Meaning:
    """What a command_status means, by the table; `own` has an account's keys of `OWN_MEANINGS`.

    A value without a line of its own is refused for now: the SMSC did not take the message, so another attempt cannot
    double it, and attempts end with the alert's expiry.
    """
    if own and command_status in own:
        return OWN_MEANINGS[own[command_status]]
    return MEANINGS.get(command_status) or (OF_VENDOR if command_status in VENDOR else RESERVED)


def name_status(command_status: int) -> str:
    """The standard's name, or the raw number in hex where it has none (5.1.3 leaves 0x400 to 0x4FF to vendors)."""
    return STATUS_NAMES.get(command_status) or f"0x{command_status:08X}"


def explain_status(command_status: int, own: Mapping[int, str] | None = None) -> str:
    """A command_status for people: its name or number, and what it says."""
    return f"{name_status(command_status)}: {meaning_of(command_status, own).words}"
