"""What `broadcast up` prints while it runs: each thing when it begins, changes and ends, with the time of day."""

from datetime import UTC, datetime, timedelta

from broadcast.cli.terminal.stage_news import StageNews

START = datetime(2026, 1, 2, 3, 4, 0, tzinfo=UTC)
DOWN = "0 of 1 binds: h:1 refused the bind of s: ESME_RINVPASWD"


class Told:
    """News, asked for every two seconds."""

    def __init__(self) -> None:
        self.news, self.now = StageNews(), START

    def look(
        self,
        missing: dict[str, str] | None = None,
        facts: dict[str, str] | None = None,
        seconds: float = 2.0,
        *,
        starting: bool = False,
    ) -> list[str]:
        self.now += timedelta(seconds=seconds)
        told = self.news.tell(missing or {}, facts or {}, self.now, starting=starting)
        return [f"{mark} {line}" for mark, line in told]


def test_a_line_has_the_time_of_day_and_comes_when_a_thing_was_missing_twice() -> None:
    told = Told()
    assert told.look({"account a": DOWN}) == []
    assert told.look({"account a": DOWN}) == [f"✗ 03:04:04 UTC account a: {DOWN}"]
    assert told.look({"account a": DOWN}) == []
    assert told.look() == ["✓ 03:04:08 UTC account a: in order again"]


def test_another_reason_is_told_at_once_and_values_alone_after_a_minute() -> None:
    told = Told()
    told.look({"account a": f"{DOWN}; next try at 03:05:00 UTC"})
    told.look({"account a": f"{DOWN}; next try at 03:05:00 UTC"})
    assert told.look({"account a": f"{DOWN}; next try at 03:06:00 UTC"}) == []
    assert told.look({"account a": "0 of 1 binds: closed; next try at 03:06:00 UTC"}) == [
        "✗ 03:04:08 UTC account a: 0 of 1 binds: closed; next try at 03:06:00 UTC"
    ]
    throttled = "throttled; slowed to {} of 500 segments/s"
    told.look({"rate of account a": throttled.format(100)})
    assert len(told.look({"rate of account a": throttled.format(90)})) == 1
    assert told.look({"rate of account a": throttled.format(80)}) == []
    assert told.look({"rate of account a": throttled.format(70)}, seconds=60) == [
        "✗ 03:05:14 UTC rate of account a: throttled; slowed to 70 of 500 segments/s"
    ]


def test_a_file_that_is_refused_or_taken_is_told_each_time() -> None:
    told = Told()
    first = {"routes": "read at 03:04:01 UTC, hash 1, accounts: a"}
    assert told.look({}, first) == [], "what is in force from the beginning is no news"
    refused = "file refused at {} UTC, the routes before stay in force: routes.toml:3: {}"
    missing = {"routes": refused.format("03:04:03", "window")}
    told.look(missing, first)
    assert told.look(missing, first) == [f"✗ 03:04:06 UTC routes: {missing['routes']}"]
    again = {"routes": refused.format("03:04:07", "window")}
    assert told.look(again, first) == [f"✗ 03:04:08 UTC routes: {again['routes']}"]
    second = {"routes": "read at 03:04:09 UTC, hash 2, accounts: a, b"}
    assert told.look({}, second) == [
        "✓ 03:04:10 UTC routes: in order again",
        f"· 03:04:10 UTC routes: {second['routes']}",
    ]


def test_an_account_is_not_in_order_while_the_sender_starts_and_has_not_tried_it() -> None:
    told = Told()
    told.look({"account a": DOWN})
    told.look({"account a": DOWN})
    assert told.look({"start": "starting"}, starting=True) == []
    assert told.look(starting=True) == []
    assert told.look({"account a": DOWN}) == [], "it is as it was told"
    assert told.look() == ["✓ 03:04:12 UTC account a: in order again"]


def test_an_account_that_the_routes_file_lacks_is_not_told_as_in_order() -> None:
    told = Told()
    routes = {"routes": "read at 03:04:01 UTC, hash 1, accounts: b, c"}
    told.look({"account a": DOWN, "account b": DOWN}, routes)
    told.look({"account a": DOWN, "account b": DOWN}, routes)
    assert told.look({}, routes) == [
        "· 03:04:06 UTC account a: is not in the routes file any more",
        "✓ 03:04:06 UTC account b: in order again",
    ]


def test_a_stage_that_does_not_commit_is_told_at_doubling_distances() -> None:
    told = Told()
    seconds = 20
    lines = []
    for _ in range(300):
        lines += told.look({"progress": f"no commit for {seconds} s, and {seconds * 1000:,} records are left"})
        seconds += 2
    assert [line.split()[1] for line in lines] == ["03:04:04", "03:05:04", "03:07:04", "03:11:04"]
