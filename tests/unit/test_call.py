"""The call machine: who is pushed, who is offered the call and when, and how it ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.incoming_calls import INVITE, answer, call, key_of, of, over, phone
from wakerobin.core.call import (
    Abandon,
    CallPolicy,
    CallState,
    Follow,
    IncomingCall,
    Offer,
    Over,
    Push,
    Repeat,
    Ring,
    Tell,
)
from wakerobin.core.sip.forking import Answer, Cancel, Forward
from wakerobin.core.values import Flow, Transport

# Waking


def test_a_sleeping_phone_is_pushed_and_gets_the_call_when_it_comes() -> None:
    one = call()
    assert of(Push, one.start([], [1], 0.0)) == [Push(1)]
    assert one.state is CallState.WAKING
    assert of(Ring, one.push_settled(1, accepted=True, reason="APNS", now=0.2)) == [Ring()]
    offered = one.phone_arrived(phone(), 2.0)
    assert [o.phone for o in of(Offer, offered)] == [phone()]
    ok = answer(200)
    effects = one.receive(key_of(offered), ok, 4.0)
    assert of(Forward, effects) == [Forward(key_of(offered), ok)]
    assert over(effects) == Over(CallState.ANSWERED, "", 1)


def test_our_own_180_is_sent_once_and_never_after_a_phone_has_rung() -> None:
    one = call()
    one.start([], [1, 2], 0.0)
    one.push_settled(1, accepted=True, reason="APNS", now=0.1)
    assert of(Ring, one.push_settled(2, accepted=True, reason="APNS", now=0.2)) == []
    two = call()
    key = key_of(two.start([phone(1)], [1, 2], 0.0))
    two.receive(key, answer(180), 0.1)
    assert of(Ring, two.push_settled(2, accepted=True, reason="APNS", now=0.2)) == []


def test_a_caller_does_not_hear_ringing_where_there_is_nobody_to_ring() -> None:
    effects = call(ringback="immediate").start([], [], 0.0)
    assert of(Ring, effects) == []
    assert [e.status for e in of(Answer, effects)] == [480]


@pytest.mark.parametrize(
    ("ringback", "at_once", "at_push"), [("immediate", 1, 0), ("pushed", 0, 1), ("device", 0, 0)]
)
def test_ringback_modes(ringback: str, at_once: int, at_push: int) -> None:
    one = call(ringback=ringback)
    assert len(of(Ring, one.start([], [1], 0.0))) == at_once
    assert len(of(Ring, one.push_settled(1, accepted=True, reason="APNS", now=0.2))) == at_push


def test_an_invite_that_requires_100rel_gets_no_180_of_ours() -> None:
    invite = INVITE.copy()
    invite.add("Require", "timer, 100rel")
    one = IncomingCall(invite, CallPolicy(ringback="immediate"), 0.0)
    assert of(Ring, one.start([], [1], 0.0)) == []
    assert of(Ring, one.push_settled(1, accepted=True, reason="APNS", now=0.2)) == []


def test_no_phone_and_no_push_registration_is_480_at_once() -> None:
    effects = call().start([], [], 0.0)
    assert [e.status for e in of(Answer, effects)] == [480]
    assert over(effects).state is CallState.MISSED


def test_a_push_that_nobody_takes_ends_the_call_at_once_with_the_reason() -> None:
    one = call()
    one.start([], [1], 0.0)
    effects = one.push_settled(1, accepted=False, reason="APNS says that the app is gone", now=0.3)
    (final,) = of(Answer, effects)
    assert (final.status, final.text) == (480, "APNS says that the app is gone")
    assert over(effects).reason == "APNS says that the app is gone"


def test_no_phone_within_the_wake_timeout_is_480() -> None:
    one = call(wake_timeout=30.0)
    one.start([], [1], 0.0)
    assert one.deadline == 30.0
    assert one.on_timer(29.9) == []
    effects = one.on_timer(30.0)
    assert [e.status for e in of(Answer, effects)] == [480]


# A live flow is not a live phone (sip.md 2)


def test_a_flow_gets_the_invite_and_its_phone_a_push_at_the_same_time() -> None:
    effects = call(live_flow=15.0).start([phone(heard_at=-60.0)], [1], 0.0)
    assert len(of(Offer, effects)) == 1
    assert of(Push, effects) == [Push(1)]


def test_a_flow_that_was_heard_just_now_has_a_second_to_answer_before_the_push() -> None:
    one = call(live_flow=15.0, live_flow_answer=1.0)
    effects = one.start([phone(heard_at=-5.0)], [1], 0.0)
    assert of(Push, effects) == []
    assert of(Push, one.on_timer(1.0)) == [Push(1)]
    assert of(Push, one.on_timer(1.1)) == []


def test_a_provisional_response_proves_the_flow_and_spares_the_push() -> None:
    one = call(live_flow=15.0)
    key = key_of(one.start([phone(heard_at=-5.0)], [1], 0.0))
    one.receive(key, answer(180), 0.4)
    assert of(Push, one.on_timer(1.0)) == []


def test_a_phone_that_comes_back_on_a_new_flow_replaces_its_silent_branch() -> None:
    one = call()
    old = key_of(one.start([phone(port=4000, heard_at=-60.0)], [1], 0.0))
    effects = one.phone_arrived(phone(port=5000), 2.0)
    assert of(Abandon, effects) == [Abandon(old)]
    new = key_of(effects)
    assert new != old
    assert over(one.receive(new, answer(486), 3.0)).state is CallState.MISSED


def test_a_phone_never_has_two_branches_that_ring() -> None:
    one = call()
    key = key_of(one.start([phone(port=4000)], [1], 0.0))
    one.receive(key, answer(180), 0.3)
    moved = one.phone_arrived(phone(port=5000), 1.0)
    assert of(Follow, moved) == [Follow(key, phone(port=5000))]
    assert of(Offer, moved) == []
    assert one.phone_arrived(phone(port=5000), 2.0) == []


def test_a_phone_that_wakes_on_the_flow_it_had_gets_its_silent_invite_once_more_and_no_second_one() -> None:
    one = call()
    key = key_of(one.start([phone()], [1], 0.0))
    assert one.phone_arrived(phone(), 1.0) == [Repeat(key)]
    one.receive(key, answer(180), 1.1)
    assert one.phone_arrived(phone(), 2.0) == []


def test_nothing_is_repeated_over_a_connection() -> None:
    tcp = replace(phone(), flow=Flow(Transport.TCP, ("10.0.0.1", 5060), ("10.0.0.7", 4000), 7))
    one = call()
    one.start([tcp], [1], 0.0)
    assert one.phone_arrived(tcp, 1.0) == []


def test_a_phone_that_comes_in_the_last_moment_is_given_time_to_ring() -> None:
    one = call(wake_timeout=30.0)
    one.start([], [1], 0.0)
    key = key_of(one.phone_arrived(phone(), 29.9))
    assert of(Over, one.on_timer(30.0)) == []
    assert over(one.receive(key, answer(200), 33.0)).state is CallState.ANSWERED


def test_a_phone_whose_time_to_wake_is_over_still_gets_a_call_that_rings_elsewhere() -> None:
    one = call(wake_timeout=30.0)
    key = key_of(one.start([phone(2, 5000)], [1, 2], 0.0))
    one.receive(key, answer(180), 0.2)
    one.on_timer(30.0)
    late = key_of(one.phone_arrived(phone(1), 40.0))
    assert over(one.receive(late, answer(200), 41.0)).answered_by == 1


def test_a_phone_whose_user_declined_by_the_api_is_not_rung_when_it_registers() -> None:
    one = call()
    one.start([], [1, 2], 0.0)
    one.decline(1, everywhere=False, status=486, now=1.0)
    assert one.phone_arrived(phone(1), 2.0) == []


def test_a_phone_that_nobody_can_push_is_not_pushed_when_its_connection_breaks() -> None:
    one = call()
    key = key_of(one.start([phone(1)], [], 0.0))
    effects = one.branch_failed(key, "transport: connection reset", 0.2)
    assert of(Push, effects) == []
    assert over(effects).state is CallState.MISSED


# Our own 180, again and again


def test_our_180_is_repeated_each_minute_only_where_a_call_may_ring_for_three() -> None:
    short = call()
    short.start([], [1], 0.0)
    short.push_settled(1, accepted=True, reason="APNS", now=0.2)
    assert short.deadline == 30.0
    one = call(wake_timeout=200.0)
    one.start([], [1], 0.0)
    one.push_settled(1, accepted=True, reason="APNS", now=0.2)
    assert one.on_timer(60.2) == [Ring(is_first=False)]
    assert one.on_timer(120.2) == [Ring(is_first=False)]
    key = key_of(one.phone_arrived(phone(), 121.0))
    one.receive(key, answer(180), 121.1)
    assert one.on_timer(180.2) == [], "a phone rings: it is for the phone to go on"


def test_a_dead_flow_leaves_the_phone_its_time_to_wake() -> None:
    one = call()
    key = key_of(one.start([phone(heard_at=-5.0)], [1], 0.0))
    effects = one.branch_failed(key, "transport: connection reset", 0.2)
    assert of(Push, effects) == [Push(1)]
    assert of(Over, effects) == []
    assert len(of(Offer, one.phone_arrived(phone(port=5000), 3.0))) == 1


def test_a_phone_whose_connection_dies_while_it_rings_may_come_back() -> None:
    one = call(wake_timeout=30.0)
    one.start([], [1], 0.0)
    one.push_settled(1, accepted=True, reason="APNS", now=0.1)
    key = key_of(one.phone_arrived(phone(), 2.0))
    one.receive(key, answer(180), 2.1)
    assert of(Over, one.branch_failed(key, "transport: connection reset", 50.0)) == []
    assert len(of(Offer, one.phone_arrived(phone(port=5000), 52.0))) == 1


def test_a_flow_that_dies_after_its_time_was_up_does_not_keep_the_call() -> None:
    one = call(wake_timeout=30.0)
    effects = one.start([phone(1, 4000, heard_at=-60.0), phone(2, 5000)], [1, 2], 0.0)
    dead, rings = (offer.key for offer in of(Offer, effects))
    one.receive(rings, answer(180), 0.2)
    one.on_timer(30.0)
    assert one.branch_failed(dead, "transport: connection reset", 31.0) == []
    assert over(one.receive(rings, answer(486), 32.0)).state is CallState.MISSED


def test_a_phone_that_rang_for_its_time_is_not_rung_again() -> None:
    one = call(ring_timeout=60.0)
    key = key_of(one.start([phone(1, 4000)], [1, 2], 0.0))
    one.receive(key, answer(180), 0.2)
    other = key_of(one.phone_arrived(phone(2, 5000), 20.0))
    one.receive(other, answer(180), 20.2)
    assert of(Over, one.on_timer(60.0)) == []
    assert of(Offer, one.phone_arrived(phone(1, 6000), 61.0)) == []


def test_a_phone_that_lost_its_connection_late_has_all_its_time_to_come_back() -> None:
    one = call(wake_timeout=30.0, ring_timeout=120.0)
    key = key_of(one.start([phone()], [1], 0.0))
    one.receive(key, answer(180), 0.2)
    one.branch_failed(key, "transport: connection reset", 110.0)
    assert of(Over, one.on_timer(130.0)) == []
    assert over(one.on_timer(140.0)).state is CallState.MISSED


def test_a_client_without_push_registration_rings_and_is_not_pushed() -> None:
    one = call()
    effects = one.start([phone(0)], [1], 0.0)
    assert of(Push, effects) == [Push(1)]
    key = key_of(effects)
    one.branch_failed(key, "timeout", 20.0)
    assert one.state is CallState.OFFERED
    assert over(one.on_timer(30.0)).state is CallState.MISSED


# Two phones


def test_the_first_answer_wins_and_says_who_it_was() -> None:
    one = call()
    effects = one.start([phone(1, 4000), phone(2, 5000)], [1, 2], 0.0)
    first, second = (offer.key for offer in of(Offer, effects))
    one.receive(first, answer(180, "a"), 0.2)
    one.receive(second, answer(180, "b"), 0.3)
    done = one.receive(second, answer(200, "b"), 2.0)
    assert over(done).answered_by == 2
    assert [c.key for c in of(Cancel, done)] == [first]


def test_a_phone_that_wakes_after_the_answer_gets_no_invite() -> None:
    one = call()
    one.start([], [1, 2], 0.0)
    key = key_of(one.phone_arrived(phone(1), 1.0))
    one.receive(key, answer(200), 2.0)
    assert one.phone_arrived(phone(2, 5000), 3.0) == []


def test_busy_on_one_phone_leaves_the_other_ringing() -> None:
    one = call()
    effects = one.start([phone(1, 4000), phone(2, 5000)], [1, 2], 0.0)
    first, _ = (offer.key for offer in of(Offer, effects))
    assert of(Over, one.receive(first, answer(486, "a"), 1.0)) == []


# Decline


@pytest.mark.parametrize("status", [600, 603])
def test_a_decline_by_sip_stops_all_phones_and_the_pbx_hears_486(status: int) -> None:
    one = call()
    effects = one.start([phone(1, 4000), phone(2, 5000)], [1, 2], 0.0)
    first, second = (offer.key for offer in of(Offer, effects))
    done = one.receive(first, answer(status, "a"), 1.0)
    assert [e.status for e in of(Answer, done)] == [486]
    assert [c.key for c in of(Cancel, done)] == [second]
    assert over(done) == Over(CallState.DECLINED, "Declined", 1)


def test_a_decline_may_be_configured_to_stop_only_its_phone() -> None:
    one = call(decline_all=False)
    effects = one.start([phone(1, 4000), phone(2, 5000)], [1, 2], 0.0)
    first, _ = (offer.key for offer in of(Offer, effects))
    assert of(Over, one.decline(1, everywhere=True, status=486, now=1.0)) == []
    assert of(Over, one.receive(first, answer(487, "a"), 1.1)) == []


@pytest.mark.parametrize("status", [600, 603])
def test_a_decline_of_one_phone_never_speaks_for_the_others_where_that_is_configured(status: int) -> None:
    one = call(decline_all=False, decline_code=603)
    effects = one.start([phone(1, 4000), phone(2, 5000)], [1, 2], 0.0)
    first, second = (offer.key for offer in of(Offer, effects))
    done = one.receive(first, answer(status, "a"), 1.0)
    assert of(Cancel, done) == []
    assert of(Over, done) == []
    last = one.receive(second, answer(486, "b"), 2.0)
    assert [e.response.status for e in of(Forward, last)] == [486]


def test_a_phone_that_comes_while_a_6xx_ends_the_call_is_not_rung() -> None:
    one = call()
    effects = one.start([phone(1, 4000), phone(2, 5000)], [1, 2, 3], 0.0)
    first, second = (offer.key for offer in of(Offer, effects))
    one.receive(second, answer(180, "b"), 0.5)
    assert [c.key for c in of(Cancel, one.receive(first, answer(606, "a"), 1.0))] == [second]
    assert one.phone_arrived(phone(3, 6000), 1.5) == []
    done = one.receive(second, answer(487, "b"), 1.6)
    assert [e.response.status for e in of(Forward, done)] == [606]


def test_a_decline_by_the_api_needs_no_sip() -> None:
    one = call()
    one.start([], [1, 2], 0.0)
    done = one.decline(1, everywhere=True, status=486, now=1.0)
    assert [e.status for e in of(Answer, done)] == [486]
    assert over(done).answered_by == 1


def test_a_decline_of_this_phone_only_waits_for_the_others() -> None:
    one = call()
    one.start([], [1, 2], 0.0)
    assert of(Over, one.decline(1, everywhere=False, status=486, now=1.0)) == []
    done = one.on_timer(30.0)
    assert [e.status for e in of(Answer, done)] == [486], "busy goes before our 480"


# The end


def test_a_cancel_is_the_end_whenever_it_comes() -> None:
    for prepare in (lambda c: None, lambda c: c.phone_arrived(phone(), 1.0)):
        one = call()
        one.start([], [1], 0.0)
        prepare(one)
        done = one.cancel("", 2.0)
        assert over(done).state is CallState.CANCELLED
        assert one.phone_arrived(phone(port=6000), 3.0) == []


def test_an_answer_that_crosses_the_cancel_and_goes_upstream_is_an_answered_call() -> None:
    one = call()
    key = key_of(one.start([phone()], [1], 0.0))
    one.receive(key, answer(180), 1.0)
    assert over(one.cancel("", 2.0)).state is CallState.CANCELLED
    answered = one.receive(key, answer(200), 2.1)
    assert len(of(Forward, answered)) == 1
    assert (over(answered).state, over(answered).answered_by) == (CallState.ANSWERED, 1)
    assert one.state is CallState.ANSWERED
    assert of(Over, one.receive(key, answer(200), 2.6)) == [], "its retransmission ends nothing again"


def test_a_phone_that_rings_for_ever_is_cancelled_at_the_ring_timeout() -> None:
    one = call(ring_timeout=120.0)
    key = key_of(one.start([phone()], [1], 0.0))
    one.receive(key, answer(180), 0.3)
    done = one.on_timer(120.0)
    assert [c.key for c in of(Cancel, done)] == [key]
    assert [e.status for e in of(Answer, done)] == [480]


def test_a_finished_call_lets_itself_be_forgotten_after_the_late_window() -> None:
    one = call()
    one.start([], [], 0.0)
    assert not one.is_finished
    assert one.deadline == 32.0
    one.on_timer(32.0)
    assert one.is_finished


def test_every_end_is_told_once() -> None:
    one = call()
    key = key_of(one.start([phone()], [1], 0.0))
    effects = one.receive(key, answer(200), 1.0)
    effects += one.receive(key, answer(200), 1.5)
    effects += one.cancel("", 2.0)
    assert [t.event for t in of(Tell, effects) if t.event in ("answered", "cancelled", "missed")] == [
        "answered"
    ]
    assert len(of(Over, effects)) == 1
