"""What the publisher of an alert is told about groups that are empty or look like others."""

from broadcast.alerts.assessment import explain_empty
from broadcast.audience import Doubt, explain_doubts, suggest

EMPTY = Doubt("süd", known=True, empty=True, alike=(("Süd", 3),))
FULL = Doubt("Süd", known=True, empty=False, alike=(("süd", 0),))


def test_an_empty_group_is_named_with_the_group_that_looks_like_it() -> None:
    assert explain_doubts([EMPTY], ["süd"]) == ("nobody is in group 'süd'; did you mean 'Süd' (3 members)?",)
    reason = explain_empty(["süd"], [], participants_only=False, suggestion=suggest([EMPTY]))
    assert reason == "addresses: no recipient is in süd; did you mean 'Süd' (3 members)?"


def test_two_groups_that_look_alike_in_one_alert_warn_of_the_empty_one_only() -> None:
    (warning,) = explain_doubts([FULL, EMPTY], ["Süd", "süd"])
    assert warning.startswith("nobody is in group 'süd'; did you mean 'Süd'")


def test_a_group_with_a_look_alike_that_the_alert_does_not_name_is_pointed_out() -> None:
    (warning,) = explain_doubts([FULL], ["Süd"])
    assert warning == "group 'Süd' looks like 'süd' (0 members): an alert to one of them does not reach the other"


def test_a_group_that_is_not_known_is_named_with_what_may_be_meant() -> None:
    missing = Doubt("SÜD", known=False, empty=True, alike=(("Süd", 3), ("süd", 0)))
    assert suggest([missing]) == "did you mean 'Süd' (3 members) or 'süd' (0 members)?"
    assert explain_doubts([missing], ["SÜD"])[0].startswith("no group 'SÜD' is known; did you mean 'Süd'")


def test_a_name_that_mixes_alphabets_is_pointed_out_though_people_are_in_it() -> None:
    mixed = Doubt("g\u043eods", known=True, empty=False, alike=(("goods", 3),))
    first, second = explain_doubts([mixed], ["g\u043eods"])
    assert first.startswith(r"group 'g\u043eods' looks like 'goods' (3 members)")
    assert second.startswith(r"group 'g\u043eods' mixes Cyrillic and Latin letters in one word: look whether it is the")
