"""GSM 03.38, UCS-2 and the plain forms of print."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.text import gsm, plain, ucs2
from broadcast.text.typography import PLAIN


@pytest.mark.parametrize(
    ("character", "octets"),
    [
        ("@", b"\x00"), ("£", b"\x01"), ("\n", b"\x0a"), ("Δ", b"\x10"), ("_", b"\x11"), ("Ξ", b"\x1a"), ("É", b"\x1f"),
        ("¤", b"\x24"), ("A", b"A"), ("¡", b"\x40"), ("Ä", b"\x5b"), ("§", b"\x5f"), ("¿", b"\x60"), ("à", b"\x7f"),
        ("€", b"\x1b\x65"), ("|", b"\x1b\x40"), ("\\", b"\x1b\x2f"), ("\f", b"\x1b\x0a"),
    ],
)  # fmt: skip
def test_characters_have_the_standards_septets(character: str, octets: bytes) -> None:
    assert gsm.encode(character) == octets
    assert gsm.decode(octets) == character


def test_the_alphabet_is_whole() -> None:
    assert len(gsm.ALPHABET) == len(set(gsm.ALPHABET)) == 128
    assert len(gsm.SEPTETS) == 127 + 10


@pytest.mark.parametrize("character", ["\x1b", "ç", "ж", "😀", "`", "\t", "’"])
def test_other_characters_do_not_fit(character: str) -> None:
    assert not gsm.fits(character)


@given(st.binary())
def test_any_octets_can_be_decoded(octets: bytes) -> None:
    assert isinstance(gsm.decode(octets), str)
    assert isinstance(ucs2.decode(octets), str)


def test_unknown_escapes_are_read_from_the_default_alphabet() -> None:
    assert gsm.decode(b"\x1b\x41") == "A"
    assert gsm.decode(b"a\x1b") == "a "
    assert gsm.decode(b"\x1b\x1bA") == " A"
    assert gsm.decode(b"\x80") == "\ufffd"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_ucs2_takes_two_octets_a_unit_and_reads_back_the_same(text: str) -> None:
    assert len(ucs2.encode(text)) == 2 * (len(text) + sum(character > "\uffff" for character in text))
    assert ucs2.decode(ucs2.encode(text)) == text


def test_a_lone_surrogate_is_replaced() -> None:
    assert ucs2.encode("a\ud800") == "a\ufffd".encode("utf-16-be")


def test_print_becomes_plain_where_all_then_fits() -> None:
    assert plain("Don’t – “go”…\u00a0now") == 'Don\'t - "go"... now'
    assert plain("Don’t ж") == "Don’t ж"
    assert plain("Façade’s") == "Façade’s"


def test_a_letter_and_its_accent_in_two_characters_become_the_one_that_the_alphabet_has() -> None:
    assert plain("Zu\u0308rich") == "Z\u00fcrich"
    assert gsm.fits(plain("Zu\u0308rich"))
    assert plain("Zu\u0308rich \u0436") == "Z\u00fcrich \u0436"


def test_plain_forms_fit_and_print_does_not() -> None:
    assert all(gsm.fits(form) and not gsm.fits(character) for character, form in PLAIN.items())


@given(st.lists(st.sampled_from([b"\x1b", b"\x1b\x65", b"\x28", b"A", b"\x80", b"\x20"])).map(b"".join))
def test_escapes_are_read_in_pairs_from_the_left(octets: bytes) -> None:
    expected = ""
    at = 0
    while at < len(octets):
        if octets[at] != gsm.ESCAPE:
            expected += gsm.ALPHABET[octets[at]] if octets[at] < 0x80 else "\ufffd"
            at += 1
            continue
        pair = octets[at + 1] if at + 1 < len(octets) else gsm.ESCAPE
        if pair == gsm.ESCAPE:
            expected += " "
        else:
            expected += gsm.EXTENSION.get(pair, gsm.ALPHABET[pair] if pair < 0x80 else "\ufffd")
        at += 2
    assert gsm.decode(octets) == expected
