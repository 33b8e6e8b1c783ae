"""The call machine over a restart: what it kept is enough to go on, with the time that is left."""

from __future__ import annotations

from tests.unit.incoming_calls import answer, call, kept_of, key_of, of, over, phone, restarted
from wakerobin.core.call import CallState, Offer, Over, Push, Ring, Save
from wakerobin.core.sip.forking import Cancel


def test_a_restart_goes_on_waiting_for_the_phones_that_were_pushed() -> None:
    one = call()
    one.start([], [1], 0.0)
    one.push_settled(1, accepted=True, reason="APNS", now=0.1)
    two = call()
    effects = two.resume(kept_of(one), [1], 10.0)
    assert of(Push, effects) == [], "it was pushed already"
    assert of(Ring, two.push_settled(1, accepted=True, reason="APNS", now=10.1)) == [], "it rang already"
    key = key_of(two.phone_arrived(phone(), 11.0))
    assert over(two.receive(key, answer(200), 12.0)).answered_by == 1


def test_a_restart_gives_no_more_time_than_was_left() -> None:
    one = call()
    one.start([], [1], 0.0)
    one.push_settled(1, accepted=True, reason="APNS", now=0.1)
    two = call()
    two.resume(kept_of(one), [1], 10.0)
    assert two.deadline == 30.0
    two.push_settled(1, accepted=True, reason="APNS", now=10.1)
    fresh = call()
    fresh.start([], [1], 0.0)
    three = call()
    assert of(Push, three.resume(kept_of(fresh), [1], 31.0)) == [], "it would wake a phone for nothing"
    assert over(three.on_timer(31.0)).state is CallState.MISSED


def test_a_restart_pushes_whom_no_push_is_known_to_have_reached() -> None:
    one = call()
    one.start([], [1, 2], 0.0)
    one.push_settled(1, accepted=True, reason="APNS", now=0.1)
    two = call()
    effects = two.resume(kept_of(one), [1, 2], 10.0)
    assert of(Push, effects) == [Push(2)], "its push was on its way when the server ended"
    three = call()
    again = three.resume(kept_of(two), [1, 2], 20.0)
    assert of(Push, again) == [Push(2)], "the first was taken, whichever run knows it"


def test_a_restart_pushes_a_phone_whose_flow_was_still_to_prove_itself() -> None:
    one = call(live_flow=15.0)
    one.start([phone()], [1], 0.0)
    kept = kept_of(one)
    two = restarted(kept, now=0.0)
    assert of(Push, two.resume(kept, [1], 10.0)) == [Push(1)]
    assert len(of(Offer, two.phone_arrived(phone(port=5000), 11.0))) == 1, "it was not heard of on that flow"


def test_a_restart_does_not_push_a_phone_that_rings_on_a_flow_that_survived() -> None:
    one = call(live_flow=15.0)
    key = key_of(one.start([phone()], [1], 0.0))
    one.receive(key, answer(180), 0.2)
    kept = kept_of(one)
    two = restarted(kept, now=0.0)
    assert of(Push, two.resume(kept, [1], 10.0)) == []
    three = call()
    assert of(Push, three.resume(kept, [1], 10.0)) == [Push(1)], "its connection has died with the server"
    assert three.deadline == 40.0, "it may come back by itself"


def test_a_restart_takes_up_a_phone_that_rang() -> None:
    one = call()
    one.start([], [1], 0.0)
    key = key_of(one.phone_arrived(phone(), 1.0))
    one.receive(key, answer(180), 1.1)
    kept = kept_of(one)
    assert [b["key"] for b in kept["branches"]] == [key]
    two = restarted(kept, now=0.0)
    assert of(Over, two.resume(kept, [1], 10.0)) == []
    assert two.deadline == 121.0, "it rings for as long as it would have rung"
    assert over(two.receive(key, answer(200), 11.0)) == Over(CallState.ANSWERED, "", 1)


def test_after_a_restart_the_branch_of_a_phone_that_wakes_is_not_taken_for_one_that_rings() -> None:
    one = call()
    one.start([], [1, 2], 0.0)
    first = key_of(one.phone_arrived(phone(1), 1.0))
    one.receive(first, answer(180), 1.1)
    kept = kept_of(one)
    two = restarted(kept, now=0.0)
    two.resume(kept, [1, 2], 10.0)
    second = key_of(two.phone_arrived(phone(2, 5000), 11.0))
    assert second != first
    done = two.receive(second, answer(200), 12.0)
    assert over(done).answered_by == 2
    assert [c.key for c in of(Cancel, done)] == [first]


def test_our_own_180_is_not_repeated_after_a_restart_where_a_phone_rang() -> None:
    one = call(wake_timeout=400.0, ring_timeout=400.0)
    one.start([], [1], 0.0)
    one.push_settled(1, accepted=True, reason="APNS", now=0.1)
    waiting = call(wake_timeout=400.0)
    waiting.resume(kept_of(one), [1], 10.0)
    assert waiting.deadline == 70.0, "nobody has rung yet"
    key = key_of(one.phone_arrived(phone(), 1.0))
    one.receive(key, answer(180), 1.1)
    kept = kept_of(one)
    rings = restarted(kept, now=0.0, wake_timeout=400.0, ring_timeout=400.0)
    rings.resume(kept, [1], 10.0)
    assert rings.deadline == 401.0


def test_a_restart_does_not_ring_who_has_refused() -> None:
    one = call()
    effects = one.start([phone(1, 4000), phone(2, 5000)], [1, 2], 0.0)
    first, second = (offer.key for offer in of(Offer, effects))
    one.receive(second, answer(180), 0.5)
    assert of(Save, one.receive(first, answer(486, "a"), 1.0)) == [Save()]
    kept = kept_of(one)
    assert [b["registration"] for b in kept["branches"]] == [2]
    assert kept["waiting"] == []


def test_a_restart_waits_for_nobody_whose_registration_has_ended() -> None:
    one = call()
    one.start([], [1], 0.0)
    two = call()
    assert over(two.resume(kept_of(one), [], 10.0)).state is CallState.MISSED
