"""Targets that failed are held down, and let through again one request at a time."""

from __future__ import annotations

from wakerobin.core.sip.hold_down import HOLD_DOWN_S, HoldDowns
from wakerobin.core.sip.targets import Target

ONE = Target("udp", "192.0.2.1", 5060, "one.example")


def test_what_failed_is_failing_for_half_a_minute_under_every_name() -> None:
    downs = HoldDowns()
    assert not downs.is_failing(ONE, 100.0)
    downs.failed(ONE, 100.0)
    assert downs.is_failing(Target("udp", "192.0.2.1", 5060, "other.example"), 100.0 + HOLD_DOWN_S - 0.1)
    assert not downs.is_failing(Target("tcp", "192.0.2.1", 5060, "one.example"), 101.0)
    assert not downs.is_failing(ONE, 100.0 + HOLD_DOWN_S)


def test_after_that_one_request_tries_it_and_the_others_wait_for_what_becomes_of_it() -> None:
    downs = HoldDowns()
    downs.failed(ONE, 0.0)
    assert not downs.is_failing(ONE, 31.0), "looking is not trying"
    assert not downs.is_failing(ONE, 31.0, will_try=True)
    assert downs.is_failing(ONE, 31.0, will_try=True)
    assert downs.is_failing(ONE, 62.0, will_try=True), "timer F of the first try has not fired yet"
    downs.failed(ONE, 63.0)
    assert downs.is_failing(ONE, 92.0)
    assert not downs.is_failing(ONE, 94.0, will_try=True)
    downs.answered(ONE)
    assert not downs.is_failing(ONE, 94.0, will_try=True)
    assert not downs.is_failing(ONE, 94.0, will_try=True)


def test_a_try_of_which_nothing_was_heard_does_not_shut_the_way_for_ever() -> None:
    downs = HoldDowns()
    downs.failed(ONE, 0.0)
    assert not downs.is_failing(ONE, 31.0, will_try=True)
    assert not downs.is_failing(ONE, 131.0, will_try=True)


def test_a_flood_of_failures_forgets_the_oldest() -> None:
    downs = HoldDowns()
    targets = [Target("udp", f"2001:db8::{number:x}", 5060, "x.example") for number in range(10_000)]
    for target in targets:
        downs.failed(target, 0.0)
    assert not downs.is_failing(targets[0], 1.0)
    assert sum(downs.is_failing(target, 1.0) for target in targets) == 4_096
    assert downs.is_failing(targets[-1], 1.0)
