"""Keys in memory: who a token is, and who not."""

from hashlib import sha256

from broadcast.keys import Keyring


def keyring() -> Keyring:
    ring = Keyring()
    ring.replace({"tocsin_ab": ("anna", sha256(b"secret").digest()), "tocsin_cd": ("bob", sha256(b"other").digest())})
    return ring


def test_owner_of_the_right_token() -> None:
    assert keyring().owner_of("tocsin_ab.secret") == "anna"
    assert keyring().owner_of("tocsin_cd.other") == "bob"


def test_nobody_owns_a_wrong_token() -> None:
    for token in (
        "",
        ".",
        "tocsin_ab",
        "tocsin_ab.",
        "tocsin_ab.other",
        "tocsin_cd.secret",
        "tocsin_ef.secret",
        "x.y.z",
    ):
        assert keyring().owner_of(token) is None, token


def test_an_empty_ring_knows_nobody_and_says_so() -> None:
    ring = Keyring()
    assert not ring.loaded
    assert ring.owner_of("tocsin_ab.secret") is None
    ring.replace({})
    assert ring.loaded


def test_replaced_keys_are_gone() -> None:
    ring = keyring()
    ring.replace({"tocsin_cd": ("bob", sha256(b"other").digest())})
    assert ring.owner_of("tocsin_ab.secret") is None
    assert not ring.knows("tocsin_ab.secret")
    assert ring.knows("tocsin_cd.whatever")
