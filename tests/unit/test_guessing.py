"""Guessing passwords is slow, and whoever knows one is not."""

from __future__ import annotations

import pytest

from wakerobin.services.phones import guessing
from wakerobin.services.phones.guessing import Guessing


def test_the_first_wrong_answers_of_a_source_cost_nothing_and_then_each_costs_more() -> None:
    counts = Guessing()
    waits = []
    for _ in range(12):
        waits.append(counts.delay("alice", "192.0.2.1", 0.0))
        counts.failed("alice", "192.0.2.1", 0.0)
    assert waits == [0, 0, 0, 0, 1, 2, 4, 8, 16, 20, 20, 20]


def test_who_has_shown_the_password_is_not_slowed_there_by_what_others_do() -> None:
    counts = Guessing()
    counts.succeeded("alice", "192.0.2.1")
    for number in range(100):
        counts.failed("alice", f"198.51.100.{number}", 0.0)
    assert counts.delay("alice", "192.0.2.1", 0.0) == 0
    assert counts.delay("alice", "192.0.2.2", 0.0) > 0


def test_a_guesser_behind_the_address_of_a_phone_is_slowed_and_the_phone_waits_seconds_at_most() -> None:
    counts = Guessing()
    counts.failed("alice", "192.0.2.1", 0.0)
    counts.succeeded("alice", "192.0.2.1")
    assert counts.at_once("alice", "192.0.2.2") == 1
    assert counts.at_once("alice", "192.0.2.1") == guessing.AT_ONCE_OF_KNOWN
    waits = []
    for _ in range(guessing.FREE_BY_KNOWN + 6):
        waits.append(counts.delay("alice", "192.0.2.1", 0.0))
        counts.failed("alice", "192.0.2.1", 0.0)
        counts.succeeded("alice", "192.0.2.1")  # the phone refreshes: nobody is forgiven
    assert waits == [0] * guessing.FREE_BY_KNOWN + [1, 2, 4, 8, 8, 8]


def test_many_sources_that_guess_at_one_account_slow_it_for_strangers() -> None:
    counts = Guessing()
    for number in range(guessing.FREE_BY_ACCOUNT):
        assert counts.delay("alice", f"198.51.100.{number}", 0.0) == 0
        counts.failed("alice", f"198.51.100.{number}", 0.0)
    assert counts.delay("alice", "192.0.2.1", 0.0) == 1
    assert counts.delay("bob", "192.0.2.1", 0.0) == 0


def test_one_source_that_tries_many_accounts_is_slowed_at_each() -> None:
    counts = Guessing()
    for number in range(guessing.FREE_BY_SOURCE):
        counts.failed(f"user{number}", "192.0.2.1", 0.0)
    assert counts.delay("a fresh one", "192.0.2.1", 0.0) == 1
    assert counts.delay("a fresh one", "192.0.2.2", 0.0) == 0


def test_failures_are_forgiven_after_an_hour_without_any() -> None:
    counts = Guessing()
    for _ in range(6):
        counts.failed("alice", "192.0.2.1", 100.0)
    assert counts.delay("alice", "192.0.2.1", 100.0 + guessing.FORGIVEN_AFTER_S - 1) == 4
    assert counts.delay("alice", "192.0.2.1", 100.0 + guessing.FORGIVEN_AFTER_S) == 0
    counts.failed("alice", "192.0.2.1", 100.0 + guessing.FORGIVEN_AFTER_S)
    assert counts.delay("alice", "192.0.2.1", 100.0 + guessing.FORGIVEN_AFTER_S) == 0


def test_pruning_forgets_what_is_forgiven_and_nothing_else() -> None:
    counts = Guessing()
    for _ in range(6):
        counts.failed("alice", "192.0.2.1", 0.0)
    for _ in range(6):
        counts.failed("bob", "192.0.2.2", 1000.0)
    counts.prune(guessing.FORGIVEN_AFTER_S)
    assert counts.delay("bob", "192.0.2.2", guessing.FORGIVEN_AFTER_S) == 4
    counts.prune(1e6)
    assert counts.delay("bob", "192.0.2.2", 1000.0) == 0


def test_it_remembers_no_more_than_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guessing, "MOST_REMEMBERED", 9)
    counts = Guessing()
    for number in range(50):
        for _ in range(5):
            counts.failed(f"user{number}", f"192.0.2.{number}", 0.0)
        counts.succeeded(f"other{number}", "198.51.100.1")
    assert counts.delay("user49", "192.0.2.49", 0.0) == 2
    assert counts.delay("user0", "192.0.2.0", 0.0) == 0
    assert len(counts._failures) == 9
    assert len(counts._known) == 9
