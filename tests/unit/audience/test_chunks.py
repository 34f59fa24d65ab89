"""Digests and chain of chunks, recomputed from what their documentation says, with nothing of ours."""

import hashlib
import subprocess
from uuid import UUID

from broadcast.audience.chunks import GENESIS, ChunkRows, chain, chunk_digest, chunk_text, put_back

ALERT = UUID("3f0c1a52-0000-4000-8000-00000000abcd")


def test_text_of_a_chunk_is_four_lines() -> None:
    text = chunk_text(ALERT, 3, [1, 2, 10], {10: 'says "no"\n', 2: "Widerspruch: für immer"})
    assert text == (
        '3f0c1a52-0000-4000-8000-00000000abcd\n3\n1,2,10\n{"2": "Widerspruch: für immer", "10": "says \\"no\\"\\n"}\n'
    )


def test_digest_is_what_sha256sum_says() -> None:
    text = chunk_text(ALERT, 0, range(1, 5001), {7: "opted out"})
    printed = subprocess.run(["sha256sum"], input=text.encode(), capture_output=True, check=True).stdout
    assert chunk_digest(ALERT, 0, range(1, 5001), {7: "opted out"}).hex() == printed.decode().split()[0]


def test_digest_depends_on_every_part() -> None:
    other = UUID(int=ALERT.int + 1)
    digests = {
        chunk_digest(ALERT, 0, [1, 2], {}),
        chunk_digest(other, 0, [1, 2], {}),
        chunk_digest(ALERT, 1, [1, 2], {}),
        chunk_digest(ALERT, 0, [1, 3], {}),
        chunk_digest(ALERT, 0, [12], {}),
        chunk_digest(ALERT, 0, [1, 2], {2: ""}),
        chunk_digest(ALERT, 0, [1, 2], {2: "opted out"}),
        chunk_digest(ALERT, 0, [1, 2], {1: "opted out"}),
    }
    assert len(digests) == 8


def test_chain_starts_at_genesis_and_covers_the_order() -> None:
    first, second = (chunk_digest(ALERT, chunk, [chunk + 1], {}) for chunk in (0, 1))
    assert chain(GENESIS, first) == hashlib.sha256(bytes(32) + first).digest()
    assert chain(chain(GENESIS, first), second) != chain(chain(GENESIS, second), first)


def test_who_changed_numbers_since_has_the_one_of_before_and_whose_was_erased_is_missing() -> None:
    rows = ChunkRows([1, 3, 5, 7], ["+1", "+3", "+5", "+7"], ["en", "de", None, "fr"], [4])
    assert put_back(rows, {}) is rows
    found = put_back(rows, {1: "+9", 3: None, 5: "+8"})
    assert found == ChunkRows([1, 5, 7], ["+9", "+8", "+7"], ["en", None, "fr"], [3, 4])
