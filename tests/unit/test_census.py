"""Connections are counted by source, by whether anybody proved himself, and while they shake hands."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wakerobin.net.census import Census
from wakerobin.net.limits import StreamLimits

LIMITS = StreamLimits(connections=4, connections_from_one=3, unproven_from_one=2, handshakes=2)


def test_a_source_may_have_so_many_and_fewer_of_them_unproven() -> None:
    census = Census(LIMITS)
    for number in (1, 2):
        assert not census.refusal("a")
        census.enter(number, "a", is_shaking=False, is_proven=False)
    assert census.refusal("a") == "source-unproven"
    assert not census.refusal("b")
    census.proven(1)
    assert not census.refusal("a")
    census.enter(3, "a", is_shaking=False, is_proven=False)
    assert census.refusal("a") == "source-connections"
    census.leave(2)
    assert not census.refusal("a")


def test_where_all_places_are_taken_the_oldest_unproven_one_has_to_go_and_proven_ones_never() -> None:
    census = Census(LIMITS)
    for number, source in enumerate("abcd"):
        census.enter(number, source, is_shaking=False, is_proven=False)
    census.proven(0)
    assert census.to_evict(is_tls=False) == (1, "unproven")
    assert not census.refusal("e")
    for number in range(4):
        census.proven(number)
    assert census.to_evict(is_tls=False) is None
    assert census.refusal("e") == "connections"


def test_of_handshakes_the_oldest_has_to_go_and_who_speaks_no_tls_hinders_none() -> None:
    census = Census(LIMITS)
    census.enter(1, "a", is_shaking=True, is_proven=False)
    census.enter(2, "b", is_shaking=True, is_proven=False)
    assert census.to_evict(is_tls=True) == (1, "handshake")
    assert census.to_evict(is_tls=False) is None
    assert census.shaken(1)
    assert not census.shaken(1)
    assert census.to_evict(is_tls=True) is None


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("evspl")), max_size=80))
def test_whatever_happens_the_counts_end_where_they_began(steps: list[tuple[int, str]]) -> None:
    census = Census(LIMITS)
    inside: set[int] = set()
    for number, step in steps:
        if step in "ev" and number not in inside:
            census.enter(number, "abc"[number % 3], is_shaking=step == "v", is_proven=False)
            inside.add(number)
        elif step == "s":
            census.shaken(number)
        elif step == "p":
            census.proven(number)
        elif step == "l":
            census.leave(number)
            inside.discard(number)
    for number in tuple(inside):
        census.leave(number)
    assert vars(census) == vars(Census(LIMITS))
