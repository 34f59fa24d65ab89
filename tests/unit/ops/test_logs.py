"""Logs: one line each, the alert id on it, no phone number in it."""

import json
import logging
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from broadcast import logs
from broadcast.api import server
from broadcast.settings import Settings
from tests.support.logs import unconfigure


@pytest.fixture(autouse=True)
def _unconfigured() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_line_carries_stage_slot_and_alert_id(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(slot="s1"), "planner")
    alert_id = uuid4()
    with logs.bound_alert(alert_id):
        structlog.get_logger("room").info("planned", chunks=3)
    structlog.get_logger("room").info("idle")
    first, second = lines(capsys)
    assert (first["stage"], first["slot"], first["event"], first["chunks"]) == ("planner", "s1", "planned", 3)
    assert (first["alert_id"], first["logger"], first["level"]) == (str(alert_id), "room", "info")
    assert "alert_id" not in second


def test_libraries_go_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(), "sender")
    logging.getLogger("some.library").warning("cannot reach %s", "+491701234567")
    (line,) = lines(capsys)
    assert line["event"] == f"cannot reach {logs.MASK}"
    assert line["stage"] == "sender"


def test_numbers_in_exceptions_are_masked(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(), "sender")
    try:
        raise ValueError("no route for +4915112345678")
    except ValueError:
        structlog.get_logger("room").exception("refused")
    (line,) = lines(capsys)
    assert "4915112345678" not in json.dumps(line)
    assert "ValueError: no route for" in str(line["exception"])


def test_a_library_that_repeats_itself_is_logged_once(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(), "sender")
    for attempt in range(50):
        logging.getLogger("aiokafka").error("Unable connect to node %s", attempt)
    logging.getLogger("aiokafka").error("something else")
    assert [line["event"] for line in lines(capsys)] == ["Unable connect to node 0", "something else"]


def test_levels_below_the_setting_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(log_level="WARNING"), "sender")
    structlog.get_logger("room").info("quiet")
    logging.getLogger("aiokafka").info("quiet")
    assert not lines(capsys)


def test_console_form_holds_no_json(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(log_format="console"), "api")
    structlog.get_logger("room").warning("slow", peer="+33612345678")
    printed = capsys.readouterr().err
    assert "slow" in printed
    assert logs.MASK in printed
    assert not printed.startswith("{")


@pytest.mark.parametrize(
    "text",
    [
        "+491701234567",
        "+49 170 1234567",
        "+49 (170) 123-4567",
        "00491701234567",
        "0049 170 1234567",
        "491701234567",
        "to=+12025550123;",
        "'+12025550123'",
        "tel:+1-202-555-0123",
        "/00491701234567-",
    ],
)
def test_forms_of_numbers_are_masked(text: str) -> None:
    masked = logs.mask_numbers(text)
    assert logs.MASK in masked
    assert sum(character.isdigit() for character in masked) == 0


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T18:43:25.123456+00:00",
        "2026-11-22T18:43:25+10:00",
        "11111111-1111-1111-1111-123456789012",
        "eb558086-a530-adf9-1a47-006022897ef1",
        "00491701-2345-6789-0123-004917012345/stop",
        "127.0.0.1:55721",
        "offset 1234567 of partition 3",
        "3.14159265358979",
        "broadcast.jobs.simulated.immediate.v1",
        "sha256:0123456789abcdef0123",
    ],
)
def test_what_is_no_number_stays(text: str) -> None:
    assert logs.mask_numbers(text) == text


@given(
    st.from_regex(r"\+[1-9][0-9]{7,14}", fullmatch=True), st.sampled_from(["{}", "to {} now", "<{}>", '"{}"', "({})"])
)
def test_no_e164_number_survives_anywhere(number: str, form: str) -> None:
    text = form.format(number)
    event = {
        "event": text,
        "deep": {"list": [text, (text,)], text: 1},
        "raw": text.encode(),
        "object": ValueError(text),
        "msisdn": number.lstrip("+"),
        "count": 5,
    }
    masked = logs.mask_event(None, "info", event)
    assert number.lstrip("+") not in repr(masked)
    assert masked["count"] == 5


@given(st.uuids())
def test_ids_survive(alert_id: UUID) -> None:
    assert logs.mask_event(None, "info", {"alert_id": str(alert_id)})["alert_id"] == str(alert_id)


def test_a_logger_follows_each_configuration() -> None:
    """Also when it has logged under the one before."""
    logger = structlog.get_logger("tests.follows")
    logs.configure_command()
    logger.error("first_logged")
    logs.configure_command()
    with capture_logs() as lines:
        logger.error("second_logged")
    assert [line["event"] for line in lines] == ["second_logged"]


def test_a_configuration_ends_with_its_test() -> None:
    """Also in the loggers of modules that have logged under it."""
    logs.configure_command()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    server.log.error("first_logged")
    unconfigure()
    with capture_logs() as lines:
        server.log.error("second_logged")
    assert [line["event"] for line in lines] == ["second_logged"]
