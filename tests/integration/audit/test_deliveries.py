"""Pages of deliveries, one recipient's history, and the same from the command line."""

import asyncio
import csv
import io
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from click.testing import CliRunner, Result

from broadcast.audit import UnknownAlertError, deliveries, history, rebuild_check, summary
from broadcast.cli import root
from schemas.receipt import RawDelivery, Receipt, ReceiptState
from schemas.status import DeliveryState, Outcome, Status
from tests.support.recorder_without_kafka import Alerts, RecorderWithoutKafka

Run = Callable[..., Awaitable[Result]]
T = 1_760_000_000_000


@pytest.fixture
async def recorded_alert(recorder: RecorderWithoutKafka, alerts: Alerts) -> UUID:
    """1 delivered, 2 submitted, 3 undelivered, 4 retried, 5 marked, 6 failed, 7 queued, 8 suppressed."""
    alert_id: UUID = await alerts.make([1, 2, 3, 4, 5, 6, 7, 8], suppressed={8: "opted out"})

    def accepted(recipient_id: int, **changes: Any) -> Status:
        values: dict[str, Any] = {
            "attempt": 1,
            "account": "sim",
            "message_id": f"m{recipient_id}",
            "number_hash": recipient_id,
        }
        return Status(
            str(alert_id),
            recipient_id,
            outcome=Outcome.ACCEPTED,
            **(values | {"submitted_at": T, "at": T + 1} | changes),
        )

    def receipt(recipient_id: int, state: ReceiptState, at: int, error: str = "") -> Receipt:
        return Receipt("sim", f"m{recipient_id}", state, recipient_id, error, received_at=at)

    await recorder.write([accepted(1), accepted(2), accepted(3)], [receipt(1, ReceiptState.ENROUTE, T + 5)])
    await recorder.write(
        [
            Status(str(alert_id), 4, 1, Outcome.REFUSED_FOR_NOW, error=0x58, submitted_at=T, at=T + 2),
            Status(str(alert_id), 5, 1, Outcome.UNKNOWN, submitted_at=T, at=T + 2),
            Status(str(alert_id), 6, 1, Outcome.FAILED, segment=0, reason="no route", at=T),
        ],
        [receipt(1, ReceiptState.DELIVERED, T + 9), receipt(3, ReceiptState.UNDELIVERABLE, T + 9, "042")],
    )
    await recorder.write([accepted(4, attempt=2, at=T + 7), accepted(5, attempt=2, possible_duplicate=True)])
    return alert_id


async def test_pages_hold_everyone_once_and_in_order(recorded_alert: UUID, connection: asyncpg.Connection) -> None:
    found, cursor = [], None
    while True:
        page = await deliveries(connection, recorded_alert, cursor=cursor, limit=3)
        found += page.rows
        cursor = page.next_cursor
        if cursor is None:
            break
    assert [(one.recipient_id, one.state.value, one.possible_duplicate) for one in found] == [
        (1, "delivered", False),
        (2, "submitted", False),
        (3, "undelivered", False),
        (4, "submitted", False),
        (5, "submitted", True),
        (6, "failed", False),
        (7, "queued", False),
        (8, "suppressed", False),
    ]
    assert (found[3].attempts, found[5].reason, found[7].reason) == (2, "no route", "opted out")
    counts = (await summary(connection, recorded_alert, exact=True)).counts
    assert {state: sum(one.state is state for one in found) for state in DeliveryState} == counts


async def test_a_summary_says_when_asked_why_recipients_failed(
    recorded_alert: UUID, connection: asyncpg.Connection
) -> None:
    assert (await summary(connection, recorded_alert)).failed_reasons == {}
    assert (await summary(connection, recorded_alert, reasons=True)).failed_reasons == {"no route": 1}


async def test_a_state_is_a_filter_and_the_last_full_page_has_no_next(
    recorded_alert: UUID, connection: asyncpg.Connection
) -> None:
    page = await deliveries(connection, recorded_alert, state=DeliveryState.SUBMITTED, limit=2)
    assert ([one.recipient_id for one in page.rows], page.next_cursor) == ([2, 4], 4)
    page = await deliveries(connection, recorded_alert, state=DeliveryState.SUBMITTED, limit=2, cursor=4)
    assert ([one.recipient_id for one in page.rows], page.next_cursor) == ([5], None)
    page = await deliveries(connection, recorded_alert, state=DeliveryState.EXPIRED)
    assert (page.rows, page.next_cursor) == ([], None)


async def test_history_comes_from_the_evidence(recorded_alert: UUID, connection: asyncpg.Connection) -> None:
    events = await history(connection, recorded_alert, 1)
    assert [(event.kind, event.facts.get("outcome") or event.facts.get("state")) for event in events] == [
        ("status", "accepted"),
        ("receipt", "enroute"),
        ("receipt", "delivered"),
        ("audience", None),
    ]
    status = events[0]
    assert json.loads(status.raw)["message_id"] == "m1"
    assert (status.source["topic"], status.source["offset"]) == ("broadcast.statuses.v1", 0)
    stored = await connection.fetchval("SELECT digest FROM evidence WHERE id = $1", status.source["segment"])
    assert stored.hex() == status.source["digest"]
    retried = [event for event in await history(connection, recorded_alert, 4) if event.kind == "status"]
    assert [event.facts["outcome"] for event in retried] == ["refused_for_now", "accepted"]
    (member,) = await history(connection, recorded_alert, 8)
    assert member.facts["suppressed"] == "opted out"


@pytest.mark.parametrize("timestamp", [-(10**17), 10**17], ids=["before all time", "after it"])
async def test_what_cannot_be_read_or_dated_hides_no_history(
    alerts: Alerts, recorder: RecorderWithoutKafka, connection: asyncpg.Connection, timestamp: int
) -> None:
    alert_id = await alerts.make([1, 2])
    poison = b'{"alert_id":"1\xff"}'
    told = Status(str(alert_id), 1, 1, Outcome.ACCEPTED, account="sim", message_id="m1", number_hash=1)
    await recorder.write(
        [told, poison], [Receipt("sim", "m1", ReceiptState.DELIVERED, 1, ""), poison], timestamp=timestamp
    )
    kinds = {event.kind for event in await history(connection, alert_id, 1)}
    assert kinds == {"audience", "status", "receipt"}
    assert (await summary(connection, alert_id, exact=True)).counts[DeliveryState.DELIVERED] == 1
    assert (await rebuild_check(connection)).sound


async def test_an_alert_that_is_not_known_is_an_error_of_ours(connection: asyncpg.Connection) -> None:
    for question in (summary(connection, uuid4()), deliveries(connection, uuid4()), history(connection, uuid4(), 1)):
        with pytest.raises(UnknownAlertError, match="broadcast alert list"):
            await question


@pytest.fixture
def run_command(database_url: str, tmp_path: Path) -> Run:
    async def run(*arguments: str) -> Result:
        environment = {"BROADCAST_DATABASE_URL": database_url, "BROADCAST_DATA_DIR": str(tmp_path)}
        call = lambda: CliRunner().invoke(root, ["audit", *map(str, arguments)], env=environment)  # noqa: E731
        return await asyncio.to_thread(call)

    return run


async def test_commands(recorded_alert: UUID, connection: asyncpg.Connection, run_command: Any) -> None:
    shown = await run_command("summary", recorded_alert, "--exact")
    assert shown.exit_code == 0, shown.output
    assert "every recipient is accounted for" in shown.output
    as_json = json.loads((await run_command("summary", recorded_alert, "--json")).stdout)
    assert as_json["counts"]["submitted"] == 3
    assert (as_json["audience"], as_json["possible_duplicates"], as_json["sound"]) == (8, 1, True)

    rows = list(
        csv.DictReader(io.StringIO((await run_command("deliveries", recorded_alert, "--format", "csv")).stdout))
    )
    assert [row["recipient_id"] for row in rows] == [str(number) for number in range(1, 9)]
    assert (rows[2]["receipt_state"], rows[2]["error"], rows[2]["account"]) == ("undeliverable", "042", "sim")
    lines = (
        await run_command("deliveries", recorded_alert, "--format", "json", "--state", "delivered")
    ).stdout.splitlines()
    assert [json.loads(line)["recipient_id"] for line in lines] == [1]
    limited = await run_command("deliveries", recorded_alert, "--limit", 2)
    assert len(limited.stdout.splitlines()) == 3
    assert "--cursor 2" in limited.stderr

    told = await run_command("history", recorded_alert, 1)
    assert "delivered" in told.output
    assert len(json.loads((await run_command("history", recorded_alert, 1, "--json")).stdout)) == 4
    verified = await run_command("verify")
    assert (verified.exit_code, verified.stdout.splitlines()[-1]) == (0, "sound")
    assert (await run_command("rebuild", "--check")).exit_code == 0

    await connection.execute("DELETE FROM attempts WHERE recipient_id = 2")
    for command in (("summary", recorded_alert, "--exact"), ("rebuild", "--check")):
        assert (await run_command(*command)).exit_code == 1
    await connection.execute("DELETE FROM chunks WHERE chunk = 0")
    broken = await run_command("verify", recorded_alert)
    assert broken.exit_code == 1
    assert "chunk 0 is missing" in broken.stdout


async def test_numbers_are_shown_only_when_asked_for(
    recorded_alert: UUID, connection: asyncpg.Connection, run_command: Any
) -> None:
    await connection.execute("INSERT INTO recipients (msisdn) VALUES ('+4915112345678')")
    plain = await run_command("deliveries", recorded_alert, "--format", "csv")
    assert "+49151" not in plain.output
    with_numbers = await run_command("deliveries", recorded_alert, "--format", "csv", "--numbers", "--limit", 1)
    assert "1,+4915112345678,delivered" in with_numbers.stdout


async def test_what_does_not_match_and_what_nobody_can_read_are_shown(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection, run_command: Any
) -> None:
    assert (await run_command("unreadable")).stdout == "every delivery was read\n"
    assert (await run_command("unmatched")).stdout == "every receipt names a message\n"
    alert_id = await alerts.make([1])
    await recorder.write(
        [Status(str(alert_id), 1, 1, Outcome.ACCEPTED, 1, 1, "sim", "FF01", 7, 0, "", T, T)],
        [
            Receipt("sim", "65281", ReceiptState.DELIVERED, 7, received_at=T + 9),
            Receipt("sim", "", ReceiptState.UNKNOWN, 7, received_at=T, raw=RawDelivery("no id", 4, 8, b"ab\xff")),
        ],
    )
    young = await run_command("unmatched")
    assert young.stdout.splitlines() == [
        "every receipt that is a minute old names a message",
        "account sim: 1 receipt names no message yet: under a minute old, so look again then",
    ]
    assert json.loads((await run_command("unmatched", "--json")).stdout) == [
        {"account": "sim", "count": 0, "waiting": 1}
    ]
    await connection.execute("UPDATE parked_receipts SET parked_at = now() - interval '2 min'")
    unmatched = await run_command("unmatched", "--account", "sim")
    assert "hex_to_decimal would match 1 of the newest 1" in unmatched.stdout
    assert 'write message_id_rule = "hex_to_decimal" into account sim' in unmatched.stdout
    [as_json] = json.loads((await run_command("unmatched", "--json")).stdout)
    assert (as_json["account"], as_json["count"], as_json["fitting"]) == ("sim", 1, ["hex_to_decimal"])
    assert as_json["waiting"] == 0
    shown = await run_command("unreadable")
    assert "ab." in shown.stdout
    assert "no id" in shown.stdout
    assert "show them to the carrier" in shown.stdout
    [as_json] = json.loads((await run_command("unreadable", "--json")).stdout)
    assert (as_json["account"], as_json["raw"]["text"], as_json["raw"]["data_coding"]) == ("sim", "6162ff", 8)
    assert "deliveries that could not be read: 1 " in (await run_command("rebuild", "--check")).stdout


@pytest.mark.parametrize("command", ["unmatched", "unreadable"])
async def test_an_account_that_nobody_knows_gets_no_all_clear_but_the_names_of_the_known(
    recorder: RecorderWithoutKafka, run_command: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    await recorder.write(receipts=[Receipt("sim", "1", ReceiptState.DELIVERED, 7, received_at=T)])
    file = tmp_path / "routes.toml"
    file.write_text(
        '[[routes]]\nname = "a"\nprefixes = ["+"]\n[[routes.accounts]]\nname = "new"\nhost = "h"\nport = 1\n'
        'system_id = "s"\n'
    )
    monkeypatch.setenv("BROADCAST_ROUTES_FILE", str(file))
    assert (await run_command(command, "--account", "sim")).exit_code == 0
    assert (await run_command(command, "--account", "new")).exit_code == 0, "it is in the routes file"
    unknown = await run_command(command, "--account", "nosuch")
    assert (unknown.exit_code, unknown.stdout) == (2, "")
    assert "'nosuch' is not known; name one of the known accounts: new, sim" in unknown.stderr


async def test_the_history_of_a_recipient_who_is_not_in_the_audience_says_so(
    recorded_alert: UUID, connection: asyncpg.Connection, run_command: Any
) -> None:
    assert (await run_command("history", recorded_alert, 8)).exit_code == 0, "suppressed, so in the audience"
    for options in ((), ("--json",)):
        nobody = await run_command("history", recorded_alert, 99_999_999, *options)
        assert nobody.exit_code == 1
        assert nobody.stderr == f"recipient 99999999 of alert {recorded_alert} is not in the audience\n"
    await connection.execute("UPDATE alerts SET audience = NULL")
    early = await run_command("history", recorded_alert, 99_999_999)
    assert "is in no audience yet: it is not resolved" in early.stderr
