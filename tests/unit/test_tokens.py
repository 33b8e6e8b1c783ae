"""Tokens: what is signed comes back as it was; nothing else, however near, is taken for it."""

import base64
import hashlib
import os
import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from wakerobin.core.tokens import (
    NonceCounts,
    NonceKeys,
    NonceVerdict,
    RouteToken,
    Side,
    TokenKeys,
    branch,
    is_purr,
    read,
    read_branch,
    read_way,
    seal_purr,
    seal_way,
    sign,
)

OLD, NEW, OTHER = (bytes((n,)) * 32 for n in (1, 2, 3))
KEYS = TokenKeys(NEW, (OLD,))
ALPHABET = string.ascii_letters + string.digits + "-_"
IDS = st.integers(0, 2**62 - 1)
SMALL_IDS = st.integers(0, 2**40 - 1)
SIDES = st.sampled_from(Side)


def routes(ids: st.SearchStrategy[int] = IDS) -> st.SearchStrategy[RouteToken]:
    to_installations = st.builds(RouteToken, SIDES, ids, installation=ids)
    to_flows = st.builds(RouteToken, SIDES, ids, flow=ids)
    return to_installations | to_flows


def spelt_otherwise(text: str, at: int, char: str) -> str:
    at %= len(text)
    assume(text[at] != char)
    return text[:at] + char + text[at + 1 :]


# -- Record-Route users -----------------------------------------------------------------------


@given(routes())
def test_a_signed_route_is_read_as_it_was(route: RouteToken) -> None:
    assert read(sign(route, KEYS), KEYS) == route


@given(routes(SMALL_IDS))
def test_a_route_fits_in_32_characters_for_ids_below_2_to_the_40(route: RouteToken) -> None:
    text = sign(route, KEYS)
    assert len(text) <= 32
    assert set(text) <= set(ALPHABET), "legal in a SIP user part without escapes"


def test_a_route_with_the_largest_ids_fits_in_40_characters() -> None:
    largest = RouteToken(Side.PHONE, 2**62 - 1, flow=2**62 - 1)
    assert len(sign(largest, KEYS)) == 40
    assert read(sign(largest, KEYS), KEYS) == largest


@given(routes(), st.integers(0), st.sampled_from(ALPHABET))
def test_a_route_with_one_character_changed_is_forged(route: RouteToken, at: int, char: str) -> None:
    assert read(spelt_otherwise(sign(route, KEYS), at, char), KEYS) is None


def test_each_route_has_one_spelling() -> None:
    text = sign(RouteToken(Side.PBX, 300, installation=700), KEYS)
    assert len(text) % 4 == 2, "the last character has bits that stand for nothing"
    twins = [text[:-1] + char for char in ALPHABET if char != text[-1]]
    assert [twin for twin in twins if read(twin, KEYS)] == []


@given(st.text(max_size=60) | st.text(ALPHABET, max_size=60))
def test_a_foreign_user_part_is_no_route(text: str) -> None:
    assert read(text, KEYS) is None
    assert read_branch(text, KEYS, "call", 1) is None
    assert read_branch("z9hG4bK" + text, KEYS, "call", 1) is None


def by_hand(version: int) -> str:
    """A token for (PHONE, account 300, flow 5), laid out as calls in progress carry it."""

    def mac(key: bytes, size: int, *parts: bytes) -> bytes:
        framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hashlib.blake2b(framed, key=key, digest_size=size).digest()

    payload = bytes((version << 2 | 0b11, 300 % 128 + 128, 300 // 128, 5))
    sealed = mac(NEW, 1, b"key id") + payload + mac(NEW, 10, b"record-route user", payload)
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def test_the_layout_stays_because_calls_outlive_an_upgrade() -> None:
    route = RouteToken(Side.PHONE, 300, flow=5)
    assert sign(route, KEYS) == by_hand(version=1)
    assert read(by_hand(version=1), KEYS) == route


def test_a_route_of_a_later_version_is_not_guessed_at() -> None:
    assert read(by_hand(version=2), KEYS) is None


def test_an_old_key_verifies_and_no_longer_signs() -> None:
    route = RouteToken(Side.PBX, 1, installation=2)
    before = sign(route, TokenKeys(OLD))
    assert read(before, KEYS) == route
    assert sign(route, KEYS) != before
    assert read(sign(route, KEYS), TokenKeys(OLD)) is None
    assert read(before, TokenKeys(NEW)) is None, "the old key's week is over"


def test_two_keys_that_share_a_key_id_both_verify() -> None:
    twins = (TokenKeys(NEW, (n.to_bytes(16, "big"),)) for n in range(10_000))
    ring = next(keys for keys in twins if any(len(keys.with_id(n)) == 2 for n in range(256)))
    route = RouteToken(Side.PHONE, 5, installation=6)
    by_the_current = sign(route, ring)
    by_the_previous = sign(route, TokenKeys(ring.previous[0]))
    assert by_the_current != by_the_previous
    assert read(by_the_current, ring) == read(by_the_previous, ring) == route


@given(routes(), routes())
def test_different_routes_have_different_tokens(a: RouteToken, b: RouteToken) -> None:
    assert (sign(a, KEYS) == sign(b, KEYS)) == (a == b)


def test_a_route_leads_to_an_installation_or_to_a_flow() -> None:
    with pytest.raises(ValueError, match="installation or to a flow"):
        RouteToken(Side.PBX, 1)
    with pytest.raises(ValueError, match="installation or to a flow"):
        RouteToken(Side.PBX, 1, installation=2, flow=3)


@pytest.mark.parametrize("number", [-1, 2**62])
def test_an_id_out_of_range_is_our_bug_and_not_a_token(number: int) -> None:
    with pytest.raises(ValueError, match=r"below 2\*\*62"):
        sign(RouteToken(Side.PBX, 1, installation=number), KEYS)
    with pytest.raises(ValueError, match=r"below 2\*\*62"):
        sign(RouteToken(Side.PBX, number, flow=1), KEYS)


# -- keys -------------------------------------------------------------------------------------


@pytest.mark.parametrize("octets", [0, 15, 65])
def test_a_key_of_a_wrong_size_is_refused(octets: int) -> None:
    with pytest.raises(ValueError, match="16 to 64 octets"):
        TokenKeys(bytes(octets))
    with pytest.raises(ValueError, match="16 to 64 octets"):
        TokenKeys(NEW, (bytes(octets),))


def test_keys_are_not_shown() -> None:
    assert repr(KEYS) == "TokenKeys()"


# -- branches ---------------------------------------------------------------------------------

CALL_IDS = st.text(st.characters(exclude_categories=()), min_size=1, max_size=40)
CSEQS = st.integers(0, 2**31 - 1)


@given(CALL_IDS, CSEQS, IDS, st.binary(min_size=1, max_size=16))
def test_a_branch_tells_its_installation_after_a_restart(
    call_id: str, cseq: int, installation: int, nonce: bytes
) -> None:
    text = branch(KEYS, call_id, cseq, installation, nonce)
    assert text.startswith("z9hG4bK")
    assert set(text) <= set(ALPHABET), "a token (RFC 3261 25.1), without '='"
    assert read_branch(text, KEYS, call_id, cseq) == installation


@given(CALL_IDS, CALL_IDS, CSEQS, CSEQS)
def test_a_branch_is_ours_only_in_its_own_transaction(
    call_id: str, other_call_id: str, cseq: int, other_cseq: int
) -> None:
    text = branch(KEYS, call_id, cseq, 7, b"unique")
    known = read_branch(text, KEYS, other_call_id, other_cseq)
    assert known == (7 if (call_id, cseq) == (other_call_id, other_cseq) else None)


@given(st.integers(0), st.sampled_from(ALPHABET))
def test_a_branch_with_one_character_changed_is_not_ours(at: int, char: str) -> None:
    text = branch(KEYS, "a84b4c76e66710", 314159, 12, b"\x01\x02\x03\x04\x05\x06\x07\x08")
    assert read_branch(spelt_otherwise(text, at, char), KEYS, "a84b4c76e66710", 314159) is None


def test_the_nonce_tells_branches_of_one_phone_apart() -> None:
    first, second = (branch(KEYS, "call", 1, 7, nonce) for nonce in (b"one", b"two"))
    assert first != second
    assert read_branch(first, KEYS, "call", 1) == read_branch(second, KEYS, "call", 1) == 7


def test_a_branch_stays_short() -> None:
    assert len(branch(KEYS, "call", 1, 1_000_000, os.urandom(8))) <= 34


def test_a_branch_that_could_not_be_read_again_is_not_made() -> None:
    with pytest.raises(ValueError, match="the limit is 128"):
        branch(KEYS, "call", 1, 7, bytes(100))


def test_one_kind_of_token_does_not_pass_for_another() -> None:
    route = sign(RouteToken(Side.PBX, 3, installation=4), KEYS)
    nonce = NonceKeys(KEYS).make(1000, "", "")
    assert read_branch("z9hG4bK" + route, KEYS, "", 0) is None
    assert read(branch(KEYS, "", 0, 4, b"\x04")[7:], KEYS) is None
    assert read(nonce, KEYS) is None
    assert NonceKeys(KEYS).judge(route, 1000, "", "") is NonceVerdict.FOREIGN


# -- nonces -----------------------------------------------------------------------------------

NONCES = NonceKeys(KEYS)
ALICE, HOME, ELSEWHERE = "alice@pbx.example", "udp:192.0.2.7:5060", "udp:198.51.100.9:5060"
NOW = 1_800_000_000.5


def test_a_nonce_is_fresh_for_its_account_and_source() -> None:
    nonce = NONCES.make(NOW, ALICE, HOME)
    assert set(nonce) <= set(ALPHABET), "needs no escape within quotes"
    assert NONCES.judge(nonce, NOW, ALICE, HOME) is NonceVerdict.FRESH
    assert NONCES.judge(nonce, NOW + 300, ALICE, HOME) is NonceVerdict.FRESH


def test_an_old_nonce_is_stale() -> None:
    nonce = NONCES.make(NOW, ALICE, HOME)
    assert NONCES.judge(nonce, NOW + 300.002, ALICE, HOME) is NonceVerdict.STALE
    assert NONCES.judge(nonce, NOW + 300.002, ALICE, HOME, life_s=3600) is NonceVerdict.FRESH
    assert NONCES.judge(nonce, NOW + 3601, ALICE, HOME, life_s=3600) is NonceVerdict.STALE


def test_a_nonce_from_another_source_is_stale_and_no_failure() -> None:
    nonce = NONCES.make(NOW, ALICE, HOME)
    assert NONCES.judge(nonce, NOW, ALICE, ELSEWHERE) is NonceVerdict.STALE


def test_a_nonce_of_another_account_is_foreign() -> None:
    nonce = NONCES.make(NOW, ALICE, HOME)
    assert NONCES.judge(nonce, NOW, "bob@pbx.example", HOME) is NonceVerdict.FOREIGN


def test_a_nonce_of_another_server_is_foreign() -> None:
    nonce = NonceKeys(TokenKeys(OTHER)).make(NOW, ALICE, HOME)
    assert NONCES.judge(nonce, NOW, ALICE, HOME) is NonceVerdict.FOREIGN


def test_a_nonce_outlives_a_change_of_keys_and_a_restart() -> None:
    nonce = NonceKeys(TokenKeys(OLD)).make(NOW, ALICE, HOME)
    assert NONCES.judge(nonce, NOW + 1, ALICE, HOME) is NonceVerdict.FRESH
    assert NONCES.judge(nonce, NOW + 1, ALICE, ELSEWHERE) is NonceVerdict.STALE


def test_a_nonce_from_the_future_does_not_live_longer_for_it() -> None:
    nonce = NONCES.make(NOW + 3600, ALICE, HOME)
    assert NONCES.judge(nonce, NOW, ALICE, HOME) is NonceVerdict.STALE
    slightly_ahead = NONCES.make(NOW + 5, ALICE, HOME)
    assert NONCES.judge(slightly_ahead, NOW, ALICE, HOME) is NonceVerdict.FRESH


def test_two_challenges_of_one_instant_differ_by_their_salt() -> None:
    first, second = (NONCES.make(NOW, ALICE, HOME, salt) for salt in (b"\x00\x01", b"\x00\x02"))
    assert first != second
    assert NONCES.judge(first, NOW, ALICE, HOME) is NonceVerdict.FRESH
    assert NONCES.judge(second, NOW, ALICE, HOME) is NonceVerdict.FRESH


@given(st.integers(0), st.sampled_from(ALPHABET), st.binary(max_size=8))
def test_a_nonce_with_one_character_changed_is_foreign(at: int, char: str, salt: bytes) -> None:
    nonce = NONCES.make(NOW, ALICE, HOME, salt)
    changed = spelt_otherwise(nonce, at, char)
    assert NONCES.judge(changed, NOW, ALICE, HOME) is NonceVerdict.FOREIGN


@given(st.text(max_size=200))
def test_what_a_pbx_calls_a_nonce_is_foreign(text: str) -> None:
    assert NONCES.judge(text, NOW, ALICE, HOME) is NonceVerdict.FOREIGN


# -- counts -----------------------------------------------------------------------------------


def nonce_at(now_s: float, account: str = ALICE) -> str:
    return NONCES.make(now_s, account, HOME)


def test_an_answer_is_taken_once_and_counts_may_jump_but_only_upwards() -> None:
    counts, nonce = NonceCounts(), nonce_at(NOW)
    asked = [1, 1, 2, 5, 4, 5, 6]
    assert [counts.accept(nonce, nc) for nc in asked] == [
        True, False, True, True, False, False, True,
    ]  # fmt: skip


def test_each_nonce_has_a_count_of_its_own() -> None:
    counts = NonceCounts()
    assert counts.accept(nonce_at(NOW), 9)
    assert counts.accept(nonce_at(NOW + 1), 1)


def test_an_answer_without_a_count_is_taken_once() -> None:
    counts, nonce = NonceCounts(), nonce_at(NOW)
    assert counts.accept(nonce, 0)
    assert not counts.accept(nonce, 0)


def test_what_cannot_be_a_nonce_of_ours_is_never_taken() -> None:
    counts = NonceCounts()
    assert not counts.accept("5ccc069c403ebaf9f0171e9517f40e41!", 1)
    assert not counts.accept("", 1)
    assert len(counts) == 0


def test_memory_is_bounded_and_a_forgotten_nonce_cannot_be_replayed() -> None:
    counts = NonceCounts(most=3)
    nonces = [nonce_at(NOW + n) for n in range(5)]
    assert all(counts.accept(nonce, 1) for nonce in nonces)
    assert len(counts) == 3
    assert not any(counts.accept(nonce, nc) for nonce in nonces[:2] for nc in (1, 2, 3))
    assert all(counts.accept(nonce, 2) for nonce in nonces[2:]), "those remembered go on"


def test_a_nonce_older_than_a_forgotten_one_is_refused_because_nobody_knows_its_count() -> None:
    counts = NonceCounts(most=1)
    assert counts.accept(nonce_at(NOW + 10), 1)
    assert counts.accept(nonce_at(NOW + 20), 1)
    assert not counts.accept(nonce_at(NOW + 5), 1)
    assert counts.accept(nonce_at(NOW + 11), 1)


def test_pruning_forgets_what_is_stale_anyway() -> None:
    counts = NonceCounts()
    old, young = nonce_at(NOW), nonce_at(NOW + 200)
    assert counts.accept(old, 1)
    assert counts.accept(young, 1)
    counts.prune(NOW + 300)
    assert counts.accept(old, 2), "not older than its life: still fresh, still counted"
    counts.prune(NOW + 301)
    assert len(counts) == 1
    assert not counts.accept(young, 1)
    assert not counts.accept(old, 3), "forgotten, so refused"
    counts.prune(NOW + 301, life_s=100)
    assert len(counts) == 0


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4)), max_size=60),
    st.integers(1, 4),
    st.lists(st.integers(0, 60), max_size=5),
)
def test_no_answer_is_ever_taken_twice_however_small_the_memory(
    answers: list[tuple[int, int]], most: int, prunes: list[int]
) -> None:
    counts = NonceCounts(most)
    taken: list[tuple[int, int]] = []
    for step, (at, nc) in enumerate(answers):
        if step in prunes:
            counts.prune(NOW + step, life_s=50)
        if counts.accept(nonce_at(NOW + at), nc):
            taken.append((at, nc))
        assert len(counts) <= most
    assert len(set(taken)) == len(taken)
    for at in range(13):
        counted = [nc for when, nc in taken if when == at]
        assert counted == sorted(counted)


def test_a_memory_for_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        NonceCounts(most=0)


@given(
    st.binary(min_size=4, max_size=4),
    IDS,
    st.ip_addresses().map(str),
    st.integers(1, 65535),
)
def test_a_way_comes_back_as_it_was_and_is_short(run: bytes, account: int, host: str, port: int) -> None:
    text = seal_way(KEYS, run, account, host, port)
    assert set(text) <= set(ALPHABET)
    assert len(text) <= 44
    assert read_way(text, KEYS, account) == (run, host, port)
    assert read_way(text, TokenKeys(OTHER, (NEW,)), account) == (run, host, port)
    assert read_way(text, KEYS, account + 1) is None
    assert read_way(text, TokenKeys(OTHER), account) is None


@given(st.text(max_size=60) | st.text(ALPHABET, max_size=60))
def test_whatever_is_no_way_of_ours_is_none(text: str) -> None:
    assert read_way(text, KEYS, 1) is None


# -- references of phones that never enrolled ---------------------------------------------------------


@given(SMALL_IDS, st.binary(min_size=8, max_size=8), st.binary(min_size=8, max_size=8))
def test_a_reference_is_known_for_its_phone_and_says_nothing_of_it(guest: int, a: bytes, b: bytes) -> None:
    made = seal_purr(KEYS, guest, a)
    assert is_purr(made, KEYS, guest)
    assert not is_purr(made, KEYS, guest + 1)
    assert not is_purr(made, TokenKeys(OTHER), guest)
    assert (seal_purr(KEYS, guest, b) == made) == (a == b)
    other = seal_purr(KEYS, guest + 1, a)
    assert len(other) == len(made) <= 32


@pytest.mark.parametrize("text", ["", "x", "made-up-by-somebody", "A" * 200, "ä" * 20])
def test_what_we_did_not_make_is_no_reference(text: str) -> None:
    assert not is_purr(text, KEYS, 5)


# -- renewal ------------------------------------------------------------------------------------------


def test_renewed_keys_sign_anew_and_understand_what_they_are_told_to() -> None:
    keys, route = TokenKeys(OLD), RouteToken(Side.PHONE, 5, installation=6)
    before = sign(route, keys)
    keys.renew(NEW, (OLD,))
    assert read(before, keys) == route
    assert sign(route, keys) == sign(route, TokenKeys(NEW)) != before
    assert (keys.lasting, keys.generation) == (OLD, 1)
    keys.renew(NEW, ())
    assert read(before, keys) is None


def test_a_renewal_with_an_unusable_key_changes_nothing() -> None:
    keys = TokenKeys(OLD)
    with pytest.raises(ValueError, match="16 to 64 octets"):
        keys.renew(b"short", (OLD,))
    assert (keys.current, keys.generation) == (OLD, 0)
    assert read(sign(RouteToken(Side.PBX, 1, flow=2), keys), keys) is not None
