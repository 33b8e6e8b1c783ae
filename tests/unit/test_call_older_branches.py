"""A phone that answers an older copy of the INVITE: its app slept while its socket took it."""

from __future__ import annotations

from tests.unit.incoming_calls import answer, call, key_of, of, over, phone
from wakerobin.core.call import Abandon, CallState, Offer, Over
from wakerobin.core.sip.forking import Acknowledge, Cancel, EndDialog, Forward


def test_a_phone_that_rings_by_the_abandoned_branch_loses_the_newer_one() -> None:
    one = call()
    key_of(one.start([phone(port=4000, heard_at=-60.0)], [1], 0.0))
    newer = key_of(one.phone_arrived(phone(port=5000), 2.0))
    assert one.take_back("old", phone(port=4000), 180, 2.1) == [Abandon(newer)]
    assert len(of(Forward, one.receive("old", answer(180), 2.1))) == 1
    assert one.take_back("newer again", phone(port=5000), 482, 2.2) is None
    assert over(one.receive("old", answer(200), 4.0)).answered_by == 1


def test_a_phone_that_refuses_the_newer_copy_as_a_double_still_rings_by_the_older_one() -> None:
    one = call()
    effects = one.start([phone(1, 4000, heard_at=-60.0), phone(2, 6000)], [1, 2], 0.0)
    newer = key_of(one.phone_arrived(phone(1, 5000), 2.0))
    assert of(Over, one.receive(newer, answer(482), 2.1)) == []
    assert one.take_back("old", phone(1, 4000), 180, 2.2) == []
    done = one.receive("old", answer(200), 4.0)
    assert over(done).answered_by == 1
    assert [c.key for c in of(Cancel, done)] == [of(Offer, effects)[1].key]


def test_what_a_phone_that_rings_says_of_the_older_copy_changes_nothing() -> None:
    one = call()
    one.start([phone(port=4000, heard_at=-60.0)], [1], 0.0)
    newer = key_of(one.phone_arrived(phone(port=5000), 2.0))
    assert one.take_back("old", phone(port=4000), 482, 2.1) is None
    one.receive(newer, answer(180), 2.2)
    assert one.take_back("old", phone(port=4000), 486, 2.3) is None
    assert over(one.receive(newer, answer(200), 3.0)).state is CallState.ANSWERED


def test_an_answer_to_the_older_copy_counts_and_the_newer_one_is_cancelled() -> None:
    one = call()
    one.start([phone(port=4000, heard_at=-60.0)], [1], 0.0)
    newer = key_of(one.phone_arrived(phone(port=5000), 2.0))
    one.receive(newer, answer(180), 2.1)
    assert one.take_back("old", phone(port=4000), 200, 2.2) == []
    done = one.receive("old", answer(200), 2.2)
    assert over(done).answered_by == 1
    assert [c.key for c in of(Cancel, done)] == [newer]


def test_an_answer_to_the_older_copy_after_the_end_is_acknowledged_and_ended() -> None:
    one = call()
    one.start([phone(port=4000, heard_at=-60.0)], [1], 0.0)
    newer = key_of(one.phone_arrived(phone(port=5000), 2.0))
    one.receive(newer, answer(486), 3.0)
    assert one.take_back("old", phone(port=4000), 200, 3.5) == []
    late = one.receive("old", answer(200, "late"), 3.5)
    assert [type(effect) for effect in late] == [Acknowledge, EndDialog]
