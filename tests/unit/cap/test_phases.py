"""What recipients read of an alert whose infos end at different instants."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from broadcast.cap import choose, languages_of, render
from schemas.alert import Alert, Category, Certainty, Info, MsgType, Scope, Severity, Status, Urgency
from schemas.control import Control, Variant, variant_at
from schemas.lane import Lane

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)


def info(language: str, headline: str) -> Info:
    return Info(
        language=language,
        category=(Category.MET,),
        event="Flood",
        urgency=Urgency.IMMEDIATE,
        severity=Severity.EXTREME,
        certainty=Certainty.OBSERVED,
        headline=headline,
    )


def rendered(*infos: tuple[str, str, int]) -> tuple[Variant, ...]:
    """The texts of infos of (language, headline, minutes until its end)."""
    alert = Alert(
        identifier="i",
        sender="s",
        sent=NOW,
        status=Status.ACTUAL,
        msg_type=MsgType.ALERT,
        scope=Scope.PUBLIC,
        info=tuple(info(language, headline) for language, headline, _ in infos),
    )
    ends = [NOW + timedelta(minutes=minutes) for _, _, minutes in infos]
    places = [place for place, end in enumerate(ends) if end > NOW]
    return render(alert, highest_segments=20, places=places, ends=ends)


def text_at(variants: tuple[Variant, ...], language: str, minutes: float) -> str:
    control = Control("a", Lane.ROUTINE, "Actual", 0, variants)
    first = choose(languages_of(variants), language)
    now = int((NOW + timedelta(minutes=minutes)).timestamp() * 1000)
    return control.variants[variant_at(control, first, now)].text


def test_an_info_that_has_ended_is_not_read_any_more() -> None:
    variants = rendered(("en", "leave", 10), ("en", "boil water", 60), ("de", "abkochen", 60))
    assert text_at(variants, "en", 0) == "leave\nboil water"
    assert text_at(variants, "en", 10) == "boil water"
    assert text_at(variants, "de", 10) == "abkochen"


def test_readers_of_a_language_that_has_ended_get_another() -> None:
    variants = rendered(("fr", "partez", 60), ("de-AT", "geht", 10), ("de", "geh", 30))
    assert [text_at(variants, "de-AT", minutes) for minutes in (0, 10, 30)] == ["geht", "geh", "partez"]


def test_infos_that_end_together_make_one_text_without_an_end_of_its_own() -> None:
    variants = rendered(("en", "leave", 60), ("de", "geh", 60))
    assert variants == (Variant("en", "leave"), Variant("de", "geh"))


def test_what_has_ended_before_it_is_planned_has_no_text() -> None:
    variants = rendered(("en", "leave", -1), ("de", "geh", 60))
    assert [variant.text for variant in variants] == ["geh"]
    assert text_at(variants, "en", 0) == "geh"


INFOS = st.lists(st.tuples(st.sampled_from(["en", "de", "de-AT", "fr"]), st.integers(1, 6)), min_size=1, max_size=8)


@given(INFOS, st.sampled_from(["en", "de", "de-AT", "fr", "it"]), st.integers(0, 5))
def test_everybody_reads_exactly_what_is_in_force_of_one_language(
    ends: list[tuple[str, int]], language: str, minutes: int
) -> None:
    infos = [(tag, f"text {place}", end) for place, (tag, end) in enumerate(ends)]
    variants = rendered(*infos)
    assert len(variants) <= len(infos)
    if all(end <= minutes for _, _, end in infos):
        return
    text = text_at(variants, language, minutes)
    choices = {
        tag: "\n".join(headline for other, headline, end in infos if other == tag and end > minutes)
        for tag, _, _ in infos
    }
    assert text in choices.values()
    assert text
    if choices.get(language):
        assert text == choices[language]
