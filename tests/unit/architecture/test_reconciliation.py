"""The demo's proof can fail."""

from broadcast.embedded.demonstration import reconcile

AUDIENCE = (491510000001, 491510000002, 491510000003)


def test_everyone_once_has_no_problem() -> None:
    assert reconcile({"delivered": 2, "undelivered": 1}, AUDIENCE, dict.fromkeys(AUDIENCE, 1)).problems() == []


def test_each_fault_is_named() -> None:
    seen = {AUDIENCE[0]: 2, 491519999999: 1, AUDIENCE[1]: 1}
    problems = reconcile({"delivered": 1, "queued": 1}, AUDIENCE, seen).problems()
    assert [problem.split(" ", 2)[:2] for problem in problems] == [
        ["audience", "and"],
        ["1", "recipient"],
        ["1", "number"],
        ["1", "number"],
        ["1", "number"],
    ]


def test_an_empty_audience_proves_nothing() -> None:
    assert reconcile({}, (), {}).problems() == ["the audience is empty"]


def test_the_suppressed_need_not_be_seen() -> None:
    seen = {AUDIENCE[0]: 1, AUDIENCE[1]: 1}
    assert reconcile({"delivered": 2, "suppressed": 1}, AUDIENCE, seen).problems() == []
