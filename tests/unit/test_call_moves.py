"""A phone that rings and moves: the call follows it, and so does the end of the call."""

from __future__ import annotations

import pytest

from tests.unit.incoming_calls import answer, call, key_of, of, over, phone
from wakerobin.core.call import CallState, Follow, IncomingCall, Offer, Recall
from wakerobin.core.sip.forking import MERGED, Acknowledge, Cancel, EndDialog, Forward


def ringing(**policy: float) -> tuple[IncomingCall, str]:
    one = call(**policy)
    key = key_of(one.start([phone(port=4000)], [1], 0.0))
    one.receive(key, answer(180), 0.3)
    return one, key


def test_a_phone_that_moved_while_it_rang_answers_by_the_branch_that_it_had() -> None:
    one, key = ringing()
    assert of(Follow, one.phone_arrived(phone(port=5000), 1.0)) == [Follow(key, phone(port=5000))]
    assert over(one.receive(key, answer(200), 2.0)).state is CallState.ANSWERED


def test_a_refresh_of_a_registration_is_no_move() -> None:
    one, _ = ringing()
    assert one.phone_arrived(phone(port=4000, heard_at=5.0), 5.0) == []


def test_a_caller_who_gave_up_while_the_phone_moved_stops_it_where_it_is_now() -> None:
    one, key = ringing()
    assert [c.key for c in of(Cancel, one.cancel("SIP;cause=487", 1.0))] == [key]
    assert one.phone_arrived(phone(port=5000), 1.5) == [Recall(key, phone(port=5000), "SIP;cause=487")]
    assert one.phone_arrived(phone(port=5000), 1.6) == [], "once for each way"


def test_the_end_finds_a_phone_that_comes_back_after_the_487() -> None:
    one, key = ringing()
    one.cancel("SIP;cause=487", 1.0)
    one.on_timer(3.0)
    assert one.is_answered_for
    assert one.phone_arrived(phone(port=5000), 20.0) == [Recall(key, phone(port=5000), "SIP;cause=487")]
    late = one.receive(key, answer(200, "late"), 21.0)
    assert [type(effect) for effect in late] == [Acknowledge, EndDialog]


def test_a_phone_that_has_confirmed_the_end_hears_no_more_of_it() -> None:
    one, key = ringing()
    one.cancel("", 1.0)
    one.receive(key, answer(487), 1.1)
    assert one.phone_arrived(phone(port=5000), 2.0) == []


def test_a_loser_that_moved_hears_that_another_answered() -> None:
    one = call()
    first, second = (o.key for o in of(Offer, one.start([phone(1, 4000), phone(2, 6000)], [1, 2], 0.0)))
    one.receive(first, answer(180, "one"), 0.3)
    one.receive(second, answer(180, "two"), 0.4)
    one.receive(first, answer(200, "one"), 1.0)
    (recall,) = of(Recall, one.phone_arrived(phone(2, 7000), 2.0))
    assert (recall.key, recall.reason) == (second, 'SIP;cause=200;text="Call completed elsewhere"')
    assert one.phone_arrived(phone(1, 7001), 2.0) == [], "the winner talks"


def test_a_phone_whose_own_time_was_up_while_the_others_ring_is_stopped_where_it_is_now() -> None:
    one = call(ring_timeout=60.0)
    key = key_of(one.start([phone(1, 4000)], [1, 2], 0.0))
    one.receive(key, answer(180), 0.2)
    other = key_of(one.phone_arrived(phone(2, 5000), 20.0))
    one.receive(other, answer(180), 20.2)
    assert [c.key for c in of(Cancel, one.on_timer(60.0))] == [key]
    (recall,) = of(Recall, one.phone_arrived(phone(1, 6000), 61.0))
    assert recall.reason == 'SIP;cause=480;text="Nobody answered"'


# What a phone reads late, from a socket that it had slept on


@pytest.mark.parametrize("end", ["cancelled", "answered", "declined"])
def test_an_old_copy_that_begins_to_ring_after_the_end_is_cancelled(end: str) -> None:
    one = call()
    one.start([phone(port=4000, heard_at=-60.0)], [1, 2], 0.0)
    newer = key_of(one.phone_arrived(phone(port=5000), 2.0))
    if end == "cancelled":
        one.cancel("SIP;cause=487", 3.0)
    else:
        one.receive(newer, answer(200 if end == "answered" else 603), 3.0)
    assert one.is_answered_for
    effects = one.take_back("old", phone(port=4000), 180, 4.0)
    reason = {"cancelled": "SIP;cause=487", "answered": MERGED, "declined": 'SIP;cause=486;text="Declined"'}
    assert effects == [Cancel("old", reason[end])]
    assert of(Forward, one.receive("old", answer(180, "old"), 4.0)) == []
    late = one.receive("old", answer(200, "old"), 4.1)
    assert [type(effect) for effect in late] == [Acknowledge, EndDialog]


def test_a_phone_that_rings_twice_for_one_call_is_left_with_one() -> None:
    one = call()
    one.start([phone(port=4000, heard_at=-60.0)], [1], 0.0)
    newer = key_of(one.phone_arrived(phone(port=5000), 2.0))
    one.receive(newer, answer(180, "newer"), 2.1)
    assert one.take_back("old", phone(port=4000), 180, 2.2) == [Cancel("old", MERGED)]
    assert one.receive("old", answer(487, "old"), 2.3) == []
    assert over(one.receive(newer, answer(486, "newer"), 5.0)).reason == "Busy Here"
