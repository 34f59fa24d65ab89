"""What the simulator counts."""

import msgspec


class BindFigures(msgspec.Struct, kw_only=True):
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


class Figures(msgspec.Struct, kw_only=True):
    """Totals since the start or the last reset. Instants are Unix seconds, null before the first submit.

    submits = accepted + refused + unanswered (never answered: hung or silent); those still to be answered are counted
    by the fate that is already decided.
    """

    binds_total: int = 0
    binds_refused: int = 0
    submits: int = 0
    accepted: int = 0
    refused: int = 0
    unanswered: int = 0
    refused_by_status: dict[str, int] = {}
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
