from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.delivery import (
    Again,
    DeliveryPolicy,
    GuardPolicy,
    Settled,
    TargetGuard,
    TargetVerdict,
    decide,
    is_lapsed,
)
from wakerobin.core.pushes import Accepted, Outcome, PushType, Rejected, TargetGone, Throttled, Unavailable
from wakerobin.core.values import Provider, Purpose, PushTarget, Secret
from wakerobin.ports.store import OutboxRow

NOW = 1_735_689_600_000
SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
POLICY = DeliveryPolicy()


def row(kind: PushType = PushType.EXPIRY_WARNING, *, attempts: int = 0, left: int | None = DAY) -> OutboxRow:
    return OutboxRow(
        slot=0,
        registration_id=1,
        generation=1,
        kind=kind,
        step=0,
        not_before=NOW,
        deadline_at=0 if left is None else NOW + left,
        attempts=attempts,
    )


def target(number: int = 1, *, reported_at: int = NOW - DAY, refused_at: int = 0) -> PushTarget:
    return PushTarget(
        id=number,
        registration_id=number,
        provider=Provider.APNS,
        purposes=frozenset({Purpose.NOTICE}),
        token=Secret(f"token-{number}"),
        reported_at=reported_at,
        refused_at=refused_at,
    )


def wait(outcome: Outcome, of: OutboxRow, jitter: float = 1.0) -> int:
    verdict = decide(of, outcome, NOW, jitter, POLICY)
    assert isinstance(verdict, Again)
    assert verdict.attempts == of.attempts + 1
    return verdict.not_before - NOW


def test_what_was_accepted_is_delivered() -> None:
    assert decide(row(), Accepted("x"), NOW, 0.5, POLICY) == Settled(delivered=True)


@pytest.mark.parametrize("outcome", [TargetGone("Unregistered"), Rejected("BadPriority")])
def test_a_final_answer_is_not_asked_for_again(outcome: Outcome) -> None:
    verdict = decide(row(), outcome, NOW, 0.5, POLICY)
    assert isinstance(verdict, Settled)
    assert not verdict.delivered


def test_our_own_fault_keeps_the_push_until_its_deadline_and_asks_seldom() -> None:
    assert wait(Rejected("InvalidProviderToken", ours=True), row()) == 15 * MINUTE


def test_waits_double_from_twenty_seconds_up_to_an_hour() -> None:
    waits = [wait(Unavailable("connection lost"), row(attempts=n)) for n in range(12)]
    assert waits[:4] == [20 * SECOND, 40 * SECOND, 80 * SECOND, 160 * SECOND]
    assert waits[-1] == HOUR


@given(attempts=st.integers(0, 100), jitter=st.floats(0.0, 1.0))
def test_jitter_shortens_a_wait_by_half_at_most(attempts: int, jitter: float) -> None:
    longest = wait(Unavailable("x"), row(attempts=attempts))
    assert longest / 2 <= wait(Unavailable("x"), row(attempts=attempts), jitter) <= longest


@pytest.mark.parametrize("make", [Unavailable, Throttled])
def test_what_the_push_service_asks_for_goes_first(make: type[Unavailable] | type[Throttled]) -> None:
    assert wait(make("x", retry_after=3 * HOUR), row(), jitter=0.0) == 3 * HOUR
    assert wait(make("x", retry_after=250), row(), jitter=0.0) == 250


@given(jitter=st.floats(0.0, 1.0), attempts=st.integers(0, 9))
def test_what_the_push_service_asks_for_is_never_cut_short_and_spread_by_a_tenth(
    jitter: float, attempts: int
) -> None:
    asked = 3 * HOUR
    assert asked <= wait(Throttled("x", retry_after=asked), row(attempts=attempts), jitter) <= 1.1 * asked


def test_google_is_never_asked_again_within_ten_seconds_of_an_error() -> None:
    assert wait(Unavailable("INTERNAL"), row(), jitter=0.0) >= 10 * SECOND


def test_a_wait_shorter_than_the_back_off_is_granted_once() -> None:
    assert wait(Unavailable("ExpiredProviderToken", retry_after=250), row(attempts=1)) == 40 * SECOND


def test_after_the_deadline_nobody_wants_it() -> None:
    late = decide(row(left=5 * SECOND), Unavailable("x"), NOW, 1.0, POLICY)
    assert late == Settled(delivered=False, reason="lapsed: x")
    assert is_lapsed(row(left=0), NOW)
    assert not is_lapsed(row(left=1), NOW)


def test_a_row_without_deadline_gets_one_attempt() -> None:
    once = row(PushType.RENEW, left=None)
    assert not is_lapsed(once, NOW)
    assert isinstance(decide(once, Throttled("x"), NOW, 1.0, POLICY), Settled)
    assert is_lapsed(row(PushType.RENEW, left=None, attempts=1), NOW)


def test_a_row_without_deadline_that_was_told_to_come_back_soon_was_not_tried() -> None:
    once = row(PushType.RENEW, left=None)
    soon = decide(once, Throttled("a quarter hour", retry_after=3 * MINUTE), NOW, 0.0, POLICY)
    assert soon == Again(NOW + 3 * MINUTE, attempts=0)
    assert isinstance(decide(once, Throttled("x", retry_after=HOUR), NOW, 0.0, POLICY), Settled)


def test_a_silent_push_that_may_have_arrived_is_not_repeated_and_an_alert_is() -> None:
    unknown = Unavailable("RST", processed=None)
    assert isinstance(decide(row(PushType.RENEW), unknown, NOW, 1.0, POLICY), Settled)
    assert wait(unknown, row(PushType.EXPIRED)) == 20 * SECOND
    assert wait(Unavailable("never written", processed=False), row(PushType.RENEW)) == 20 * SECOND


def test_a_call_is_tried_once_more_at_once_and_never_later() -> None:
    call = row(PushType.CALL, left=30 * SECOND)
    assert wait(Unavailable("RST", retry_after=15 * MINUTE), call) == 250
    again = row(PushType.CALL, attempts=1, left=30 * SECOND)
    for outcome in (Unavailable("RST"), Throttled("x"), Rejected("x", ours=True)):
        assert isinstance(decide(again, outcome, NOW, 1.0, POLICY), Settled)
    assert isinstance(decide(call, Throttled("TooManyRequests"), NOW, 1.0, POLICY), Settled)


# --- the guard ---

GONE = TargetGone("Unregistered")
SUSPECT = TargetGone("BadDeviceToken", certain=False)


def test_a_definite_verdict_is_taken_at_its_word() -> None:
    assert TargetGuard().judge("a/apns", target(), GONE, NOW) is TargetVerdict.GONE


@pytest.mark.parametrize(("gone_at", "kept"), [(NOW - 2 * DAY, True), (NOW - DAY, True), (NOW - 1, False)])
def test_a_verdict_older_than_the_tokens_report_is_ignored(gone_at: int, kept: bool) -> None:
    verdict = TargetGuard().judge("a/apns", target(), TargetGone("Unregistered", gone_at=gone_at), NOW)
    assert verdict is (TargetVerdict.KEPT if kept else TargetVerdict.GONE)


def test_a_suspect_is_gone_when_it_is_refused_again_after_a_day_by_a_credential_that_works() -> None:
    guard = TargetGuard()
    assert guard.judge("a/apns", target(), SUSPECT, NOW) is TargetVerdict.SUSPECTED
    marked = target(refused_at=NOW)
    assert guard.judge("a/apns", marked, SUSPECT, NOW + DAY - 1) is TargetVerdict.SUSPECTED
    guard.accepted("a/apns", target(2), NOW + HOUR)
    assert guard.judge("a/apns", marked, SUSPECT, NOW + DAY) is TargetVerdict.GONE


def test_a_suspect_stays_while_nothing_shows_that_the_credential_works() -> None:
    guard = TargetGuard()
    marked = target(refused_at=NOW)
    guard.accepted("b/apns", target(2), NOW + DAY)
    guard.accepted("a/apns", target(3), NOW - HOUR)
    guard.accepted("a/apns", target(1), NOW + HOUR)
    assert guard.judge("a/apns", marked, SUSPECT, NOW + DAY) is TargetVerdict.SUSPECTED


def test_ten_tokens_refused_at_once_are_our_fault() -> None:
    guard = TargetGuard()
    verdicts = [guard.judge("a/apns", target(n), GONE, NOW + n) for n in range(12)]
    assert verdicts == [TargetVerdict.GONE] * 9 + [TargetVerdict.KEPT] * 3
    assert guard.is_tripped("a/apns", NOW + 12)
    assert not guard.is_tripped("b/apns", NOW + 12), "each credential for itself"


def test_one_token_refused_ten_times_is_one() -> None:
    guard = TargetGuard()
    verdicts = {guard.judge("a/apns", target(1), GONE, NOW + n) for n in range(20)}
    assert verdicts == {TargetVerdict.GONE}


def test_ten_refused_among_fifty_are_deleted_apps() -> None:
    guard = TargetGuard()
    for n in range(100, 140):
        guard.accepted("a/apns", target(n), NOW)
    assert {guard.judge("a/apns", target(n), GONE, NOW) for n in range(10)} == {TargetVerdict.GONE}
    assert guard.judge("a/apns", target(10), GONE, NOW) is TargetVerdict.KEPT, "more than 20 %"


def test_refusals_spread_over_more_than_the_window_never_trip() -> None:
    guard = TargetGuard()
    verdicts = {guard.judge("a/apns", target(n), GONE, NOW + n * 40 * SECOND) for n in range(40)}
    assert verdicts == {TargetVerdict.GONE}


def test_the_guard_lets_go_when_the_window_has_passed() -> None:
    guard = TargetGuard()
    for n in range(10):
        guard.judge("a/apns", target(n), GONE, NOW)
    assert guard.is_tripped("a/apns", NOW)
    assert not guard.is_tripped("a/apns", NOW + 5 * MINUTE)
    assert guard.judge("a/apns", target(50), GONE, NOW + 5 * MINUTE) is TargetVerdict.GONE


def test_what_is_remembered_is_bounded() -> None:
    guard = TargetGuard(GuardPolicy(most_remembered=5))
    for n in range(100):
        guard.accepted("a/apns", target(n), NOW)
    verdicts = [guard.judge("a/apns", target(1000 + n), GONE, NOW) for n in range(10)]
    assert verdicts[-1] is TargetVerdict.KEPT, "10 of 15 that it remembers, not 10 of 110"
