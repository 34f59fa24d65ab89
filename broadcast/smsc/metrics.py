"""What the simulator counts; GET /stats gives these fields by their names."""

import msgspec


class BindMetrics(msgspec.Struct, kw_only=True):
    """One bind, past or present."""

    number: int
    system_id: str
    mode: str
    bound: bool = True
    bound_at: float = 0.0
    submits: int = 0
    unanswered: int = 0
    highest_unanswered: int = 0
    receipts_unanswered: int = 0


class SmscMetrics(msgspec.Struct, kw_only=True):
    """Totals since the start or the last reset; instants are Unix seconds, null before the first submit.

    submits = accepted + refused + unanswered (never answered: by its plan, or because the SMSC is silent). A submit
    whose response is delayed is already counted by what the response will say.
    """

    binds_total: int = 0
    binds_refused: int = 0
    submits: int = 0
    accepted: int = 0
    refused: int = 0
    unanswered: int = 0
    refused_by_status: dict[str, int] = {}
    # All that were scheduled, sent or not.
    receipts_owed: int = 0
    receipts_sent: int = 0
    receipts_answered: int = 0
    receipts_refused: int = 0
    receipts_resent: int = 0
    messages_sent: int = 0
    messages_answered: int = 0
    enquire_links: int = 0
    unreadable: int = 0
    first_submit_at: float | None = None
    last_submit_at: float | None = None
