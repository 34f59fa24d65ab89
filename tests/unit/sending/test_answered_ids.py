"""The id of an answer is of that submit: a receipt with it settles no other one."""

from hypothesis import given
from hypothesis import strategies as st

from broadcast.sending.answers.answered_ids import IDS_LIMIT, AnsweredIds


@given(st.lists(st.lists(st.integers(0, 50).map(lambda number: b"%d" % number))), st.booleans())
def test_every_id_that_was_answered_is_known_for_its_account_only(batches: list[list[bytes]], asked: bool) -> None:
    answered = AnsweredIds()
    for batch in batches:
        answered.note("acc", batch)
        if asked:
            answered.has("acc", b"")
    known = {each for batch in batches for each in batch}
    for number in range(60):
        assert answered.has("acc", b"%d" % number) is (b"%d" % number in known)
        assert not answered.has("other", b"%d" % number)


def test_the_last_ids_are_kept_and_no_more() -> None:
    answered = AnsweredIds()
    for number in range(2 * IDS_LIMIT // 1_000 + 1):
        answered.note("acc", [b"%d" % (number * 1_000 + each) for each in range(1_000)])
    assert not answered.has("acc", b"999")
    assert answered.has("acc", b"%d" % (IDS_LIMIT + 5_000))
    assert answered.has("acc", b"%d" % (2 * IDS_LIMIT + 999))
