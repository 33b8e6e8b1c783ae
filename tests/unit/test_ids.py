"""Identifiers: their form, and that derived ones depend on every part and on nothing else."""

import base64
import hashlib
import os
import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.ids import hex_token, keyed_hash, same, token, uuid_from

KEY = bytes(range(32))
# Lone surrogates too: octets of a peer that are not UTF-8 come as such.
ANY_TEXT = st.text(st.characters(exclude_categories=()))


def test_a_token_is_the_entropy_in_base64url_without_padding() -> None:
    asked: list[int] = []

    def entropy(octets: int) -> bytes:
        asked.append(octets)
        return b"\xfb\xff" * (octets // 2)

    assert token(entropy) == "-__7__v_-__7__v_-__7_w"
    assert token(entropy, 6) == "-__7__v_"
    assert asked == [16, 6]


@given(st.integers(1, 40))
def test_a_token_carries_every_octet_it_was_given(octets: int) -> None:
    seen: list[bytes] = []

    def entropy(count: int) -> bytes:
        seen.append(os.urandom(count))
        return seen[-1]

    text = token(entropy, octets)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", text)
    assert base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) == seen[0]
    assert len(seen[0]) == octets


def test_a_hex_token_survives_a_peer_that_folds_case() -> None:
    text = hex_token(lambda octets: b"\xab" * octets, 8)
    assert text == "abababababababab"
    assert text.upper().lower() == text


@given(st.binary(min_size=16, max_size=64))
def test_a_uuid_has_version_8_and_keeps_the_other_122_bits_of_the_digest(digest: bytes) -> None:
    made = uuid.UUID(uuid_from(digest))
    assert str(made) == uuid_from(digest), "canonical, lower case"
    assert made.variant == uuid.RFC_4122
    assert made.version == 8
    free = ~(0xF << 76 | 0x3 << 62) & (1 << 128) - 1
    assert made.int & free == int.from_bytes(digest[:16], "big") & free


def test_a_uuid_is_not_made_from_too_little() -> None:
    with pytest.raises(ValueError, match="16 octets"):
        uuid_from(b"too short")


def test_the_keyed_hash_is_blake2b_over_length_prefixed_parts() -> None:
    message = (5).to_bytes(8, "big") + b"alice" + (0).to_bytes(8, "big") + (2).to_bytes(8, "big")
    expected = hashlib.blake2b(message + "é".encode(), key=KEY, digest_size=20).digest()
    assert keyed_hash(KEY, "alice", b"", "é", size=20) == expected


def test_where_one_part_ends_and_the_next_begins_matters() -> None:
    assert keyed_hash(KEY, "a", "bc") != keyed_hash(KEY, "ab", "c")
    assert keyed_hash(KEY, "abc") != keyed_hash(KEY, "abc", "")
    assert keyed_hash(KEY) != keyed_hash(KEY, "")


@given(st.lists(ANY_TEXT, max_size=4), st.lists(ANY_TEXT, max_size=4))
def test_different_parts_have_different_hashes_whatever_the_text(parts: list[str], others: list[str]) -> None:
    assert (keyed_hash(KEY, *parts) == keyed_hash(KEY, *others)) == (parts == others)


def test_octets_that_are_not_utf_8_do_not_collide_with_what_would_replace_them() -> None:
    received = b"caf\xe9".decode("utf-8", "surrogateescape")
    hashes = {keyed_hash(KEY, text) for text in (received, "caf?", "caf\ufffd", "café", "caf")}
    assert len(hashes) == 5


def test_another_key_is_another_hash() -> None:
    assert keyed_hash(KEY, "alice") != keyed_hash(KEY[::-1], "alice")


def test_a_hash_without_a_key_is_refused() -> None:
    with pytest.raises(ValueError, match="key"):
        keyed_hash(b"", "alice")


def test_the_size_of_the_hash_is_part_of_it() -> None:
    assert len(keyed_hash(KEY, "alice", size=7)) == 7
    assert not keyed_hash(KEY, "alice", size=32).startswith(keyed_hash(KEY, "alice", size=16))


@given(ANY_TEXT, ANY_TEXT)
def test_secrets_of_any_text_are_compared_without_an_exception(a: str, b: str) -> None:
    assert same(a, b) == (a == b)
    assert same(a, a)


def test_text_and_octets_are_the_same_secret() -> None:
    assert same("Zürich", "Zürich".encode())
    assert not same("Zürich", "Zürich".encode("latin-1"))
