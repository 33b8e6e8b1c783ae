"""A call whose sound could not arrive: browsers are not rung for one, whoever else there is, is (sip 23)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.incoming_calls import INVITE, answer, key_of, of, over, phone
from tests.unit.test_sdp import PLAIN, WEBRTC
from wakerobin.core.call import NO_WEBRTC, CallPolicy, CallState, IncomingCall, Offer, Over, Push, Ring, Tell
from wakerobin.core.sip.forking import Answer, Forward
from wakerobin.core.values import Flow, PhoneFlow, Transport


def call(body: str, **policy: str) -> IncomingCall:
    invite = INVITE.copy()
    invite.body = body.encode()
    return IncomingCall(invite, CallPolicy(**policy), 0.0)  # type: ignore[arg-type]  # only words are given


def browser(registration: int = 1) -> PhoneFlow:
    known = phone(registration)
    return replace(known, flow=Flow(Transport.WSS, known.flow.local, known.flow.remote, 7))


def test_a_browser_that_could_hear_nothing_is_not_rung_and_the_pbx_is_told_why_at_once() -> None:
    effects = call(PLAIN, ringback="immediate").start([browser()], [1], 0.0)
    assert of(Answer, effects) == [Answer(488, NO_WEBRTC)]
    assert [type(effect) for effect in effects if not isinstance(effect, Tell)] == [Answer, Over]
    assert [told.event for told in of(Tell, effects)] == ["browser-unfit", "missed"]
    assert over(effects).reason == NO_WEBRTC


def test_of_two_browsers_the_first_does_not_speak_for_the_second_alone() -> None:
    effects = call(PLAIN).start([browser(1), browser(2)], [], 0.0)
    assert len(of(Answer, effects)) == len(of(Over, effects)) == 1


def test_a_browser_takes_what_is_meant_for_browsers_and_a_delayed_offer() -> None:
    for body in (WEBRTC, ""):
        assert len(of(Offer, call(body).start([browser()], [1], 0.0))) == 1


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP, Transport.TLS])
def test_other_phones_are_rung_with_any_offer(transport: Transport) -> None:
    one = phone()
    effects = call(PLAIN).start([replace(one, flow=replace(one.flow, transport=transport))], [1], 0.0)
    assert len(of(Offer, effects)) == 1


def test_beside_a_browser_another_phone_rings_and_answers() -> None:
    one = call(PLAIN)
    effects = one.start([browser(1), phone(2)], [1, 2], 0.0)
    assert of(Answer, effects) == []
    assert of(Push, effects) == [], "the browser is not pushed, the other one was heard just now"
    done = one.receive(key_of(effects), answer(200), 1.0)
    assert len(of(Forward, done)) == 1
    assert over(done).state is CallState.ANSWERED


def test_a_sleeping_phone_that_can_only_be_a_browser_is_not_woken() -> None:
    one = call(PLAIN)
    effects = one.start([], [1, 2], 0.0, browsers={1})
    assert of(Push, effects) == [Push(2)]
    assert of(Answer, effects) == []
    assert of(Offer, one.phone_arrived(browser(1), 2.0)) == [], "nor rung when it comes by itself"
    alone = call(PLAIN).start([], [1], 0.0, browsers={1})
    assert of(Answer, alone) == [Answer(488, NO_WEBRTC)]
    assert of(Ring, alone) == of(Push, alone) == []


def test_a_browser_that_is_woken_for_a_fit_call_rings() -> None:
    one = call(WEBRTC)
    assert of(Push, one.start([], [1], 0.0, browsers={1})) == [Push(1)]
    assert len(of(Offer, one.phone_arrived(browser(1), 2.0))) == 1


def test_a_phone_of_which_nobody_knew_that_it_is_a_browser_is_pushed_once_and_refused_when_it_comes() -> None:
    one = call(PLAIN)
    assert of(Push, one.start([], [1], 0.0)) == [Push(1)]
    effects = one.phone_arrived(browser(), 2.0)
    assert of(Answer, effects) == [Answer(488, NO_WEBRTC)]
    assert of(Over, one.phone_arrived(browser(), 3.0)) == []
