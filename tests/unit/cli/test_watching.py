"""What a person who watches an alert sees while an account does not work."""

from io import StringIO

from rich.console import Console

from broadcast.cli.terminal.watching import _table

DETAIL = "0 of 1 binds: h:1 refused the bind of [s]: ESME_RINVPASWD; next try at 10:00:00 UTC"


def printed(queued: int) -> list[str]:
    progress = {
        "alert_id": "a",
        "state": "active",
        "reason": "",
        "audience": 10,
        "counts": {"queued": queued, "delivered": 10 - queued},
        "possible_duplicates": 0,
        "receipt_overdue": 0,
        "gap": 0,
        "unusable_accounts": [{"kind": "bind_down", "subject": "operator, sender a", "detail": DETAIL}],
    }
    output = StringIO()
    Console(file=output, width=200).print(_table(progress))
    return output.getvalue().splitlines()


def test_under_the_queued_stands_which_account_is_not_bound_why_and_the_next_try() -> None:
    lines = printed(8)
    at = next(number for number, line in enumerate(lines) if line.strip().startswith("queued"))
    assert f"operator, sender a: {DETAIL}" in lines[at + 1]


def test_when_nobody_is_queued_no_account_is_shown() -> None:
    assert "operator" not in "".join(printed(0))
