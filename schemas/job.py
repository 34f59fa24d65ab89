"""One delivery job: one alert for one recipient, on `jobs.<route>.<lane>.v1`."""

from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.bounds import SEGMENTS_MAX, TEXT_LENGTH_MAX, Milliseconds, Name, Names, Octet, VariantIndex

HIGHEST_ATTEMPT = 32_767
"""The audit keeps attempts in 16 bits; a retry each 5 s until the longest expiry needs 17,280."""


class Job(msgspec.Struct, omit_defaults=True, gc=False):
    """What a sender needs to submit one alert to one recipient.

    Key on Kafka: the recipient id in decimal. `msisdn` is E.164 with its plus sign. `variant` indexes
    the variants of the alert's control record, unless `text` carries a text of the job's own.
    `attempt` counts from 1. `segments` names the segments still to send (1-based); empty means all.
    `due_at` (milliseconds since the epoch) is set on delay topics only. `possible_duplicate` travels on
    through retries: an earlier copy may have reached the phone. `resends` counts the copies that were sent again
    because nothing answered, `copies` those that were sent whole because the session with some segments had ended.
    `refused_by` names the accounts that may not take it, `unanswered_by` those that left an earlier copy unanswered.
    `session` is the identity of the one session that may take `segments`. `withdrawn`: no job, but the record that
    withdraws the one with its alert, recipient and attempt.
    """

    alert_id: Annotated[str, Meta(min_length=36, max_length=36)]
    recipient_id: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    msisdn: Name
    variant: VariantIndex = 0
    attempt: Annotated[int, Meta(ge=1, le=HIGHEST_ATTEMPT)] = 1
    text: Annotated[str, Meta(max_length=TEXT_LENGTH_MAX)] = ""
    segments: Annotated[tuple[Octet, ...], Meta(max_length=SEGMENTS_MAX)] = ()
    due_at: Milliseconds = 0
    possible_duplicate: bool = False
    resends: Annotated[int, Meta(ge=0, le=HIGHEST_ATTEMPT)] = 0
    copies: Annotated[int, Meta(ge=0, le=HIGHEST_ATTEMPT)] = 0
    refused_by: Names = ()
    session: Name = ""
    withdrawn: bool = False
    unanswered_by: Names = ()
