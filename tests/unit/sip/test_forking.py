"""The response context: one final response an INVITE, whatever the phones do (RFC 3261 16.7, RFC 5393)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.location import MOST_PHONES
from wakerobin.core.sip import forking
from wakerobin.core.sip.forking import (
    Acknowledge,
    Answer,
    BranchState,
    Cancel,
    Effect,
    EndDialog,
    Forward,
    ResponseContext,
)
from wakerobin.core.sip.header import reason_value
from wakerobin.core.sip.message import Message, parse, respond

INVITE = parse(
    b"INVITE sip:token@10.0.0.1 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bKpbx\r\n"
    b"Max-Forwards: 70\r\n"
    b"Record-Route: <sip:edge@10.0.0.3;lr>\r\n"
    b'From: "Bob" <sip:bob@pbx.test>;tag=bob\r\n'
    b"To: <sip:alice@pbx.test>\r\n"
    b"Call-ID: c1\r\n"
    b"CSeq: 7 INVITE\r\n"
    b"Contact: <sip:bob@10.0.0.2>\r\n"
    b"Content-Length: 0\r\n\r\n"
)


def answer(status: int, tag: str = "phone", *, contact: str = "sip:alice@192.168.1.9") -> Message:
    headers = [("Contact", f"<{contact}>")] if 200 <= status < 300 else []
    return respond(INVITE, status, to_tag=tag, headers=headers)


def context(*keys: str, breadth: int = 60) -> ResponseContext:
    one = ResponseContext(breadth=breadth)
    for key in keys:
        one.call(key)
    return one


def finals(effects: list[Effect]) -> list[int]:
    out = []
    for effect in effects:
        if isinstance(effect, Answer):
            out.append(effect.status)
        elif isinstance(effect, Forward) and effect.response.status >= 200:
            out.append(effect.response.status)
    return out


# sip.md 1: exactly one final response


def test_the_first_2xx_goes_up_and_the_others_are_cancelled_as_answered_elsewhere() -> None:
    one = context("a", "b")
    one.receive("b", answer(180, "b"), 1.0)
    ok = answer(200, "a")
    assert one.receive("a", ok, 2.0) == [Forward("a", ok), Cancel("b", forking.ELSEWHERE)]


def test_a_second_2xx_is_acknowledged_and_ended_here() -> None:
    one = context("a", "b")
    one.receive("a", answer(200, "a"), 1.0)
    late = answer(200, "b")
    assert one.receive("b", late, 1.05) == [Acknowledge("b", late), EndDialog("b", late, forking.ELSEWHERE)]


def test_a_late_2xx_is_acknowledged_each_time_it_comes_and_ended_once() -> None:
    one = context("a", "b")
    one.receive("a", answer(200, "a"), 1.0)
    late = answer(200, "b")
    one.receive("b", late, 1.5)
    assert one.receive("b", late, 2.0) == [Acknowledge("b", late)]


def test_a_repeated_2xx_of_the_winner_goes_up_again_because_the_pbx_did_not_acknowledge_it() -> None:
    one = context("a")
    ok = answer(200, "a")
    one.receive("a", ok, 1.0)
    assert one.receive("a", ok, 1.5) == [Forward("a", ok)]


def test_a_second_2xx_of_the_winning_branch_with_another_tag_is_ended_here() -> None:
    one = context("a")
    one.receive("a", answer(200, "a1"), 1.0)
    forked = answer(200, "a2")
    assert [type(e) for e in one.receive("a", forked, 1.1)] == [Acknowledge, EndDialog]


def test_a_2xx_after_487_is_ended_with_the_reason_of_the_cancel() -> None:
    one = context("a")
    reason = 'SIP;cause=200;text="Call completed elsewhere"'
    one.cancel(reason, 1.0)
    late = answer(200, "a")
    assert one.receive("a", late, 1.2) == [Acknowledge("a", late), EndDialog("a", late, reason)]


def test_the_context_stays_for_late_answers_for_64_t1_and_no_longer() -> None:
    one = context("a")
    one.receive("a", answer(200), 1.0)
    assert one.deadline == 33.0
    assert not one.is_over
    one.on_timer(33.0)
    assert one.is_over


# sip.md 12: CANCEL


def test_cancel_without_any_branch_is_answered_487_by_us_at_once() -> None:
    one = ResponseContext(breadth=60)
    one.wait("sleeping")
    assert finals(one.cancel("", 1.0)) == [487]


def test_cancel_of_a_branch_that_has_not_rung_does_not_wait_for_it() -> None:
    one = context("dead")
    effects = one.cancel("", 1.0)
    assert [e.key for e in effects if isinstance(e, Cancel)] == ["dead"]
    assert finals(effects) == [487]


def test_cancel_waits_for_the_487_of_a_phone_that_rang() -> None:
    one = context("a")
    one.receive("a", answer(180), 0.5)
    assert finals(one.cancel("", 1.0)) == []
    assert finals(one.receive("a", answer(487), 1.3)) == [487]


def test_cancel_waits_two_seconds_at_most() -> None:
    one = context("a")
    one.receive("a", answer(180), 0.5)
    one.cancel("", 1.0)
    assert one.deadline == 3.0
    assert finals(one.on_timer(3.0)) == [487]


def test_a_200_that_crosses_the_cancel_goes_up_if_it_is_faster_than_our_487() -> None:
    one = context("a")
    one.receive("a", answer(180), 0.5)
    one.cancel("", 1.0)
    ok = answer(200)
    assert one.receive("a", ok, 1.1) == [Forward("a", ok)]


def test_a_cancel_after_the_final_response_changes_nothing() -> None:
    one = context("a")
    one.receive("a", answer(200), 1.0)
    assert one.cancel("", 1.1) == []


# sip.md 16: what is chosen


def test_nothing_goes_up_while_a_phone_is_still_being_woken() -> None:
    one = context("a")
    one.wait("sleeping")
    assert finals(one.receive("a", answer(486), 1.0)) == []
    assert finals(one.close("sleeping", 480, "No phone came", 30.0)) == [486]


def test_486_goes_before_any_other_4xx_and_a_phones_words_before_our_480() -> None:
    one = context("a", "b", "c")
    one.receive("a", answer(404), 1.0)
    one.close("b", 480, "No phone came", 2.0)
    assert finals(one.receive("c", answer(486), 3.0)) == [486]
    two = context("a", "b")
    two.close("a", 480, "No phone came", 1.0)
    assert finals(two.receive("b", answer(415), 2.0)) == [415]


def test_the_lowest_class_is_chosen() -> None:
    one = context("a", "b")
    one.receive("a", answer(500), 1.0)
    assert finals(one.receive("b", answer(404), 1.0)) == [404]


def test_a_redirection_is_passed_up_and_never_followed() -> None:
    one = context("a")
    moved = answer(302)
    assert one.receive("a", moved, 1.0) == [Forward("a", moved)]


def test_a_401_of_a_phone_counts_as_480() -> None:
    assert finals(context("a").receive("a", answer(401), 1.0)) == [480]
    assert finals(context("a").receive("a", answer(407), 1.0)) == [480]


def test_503_becomes_500() -> None:
    (effect,) = context("a").receive("a", answer(503), 1.0)
    assert isinstance(effect, Forward)
    assert effect.response.status == 500
    assert effect.response.encode().startswith(b"SIP/2.0 500 Server Internal Error\r\n")


def test_a_6xx_stops_the_other_phones_and_wins_when_they_are_done() -> None:
    one = context("a", "b")
    one.receive("b", answer(180, "b"), 0.5)
    effects = one.receive("a", answer(606), 1.0)
    assert [e.key for e in effects if isinstance(e, Cancel)] == ["b"]
    assert finals(effects) == []
    assert finals(one.receive("b", answer(487, "b"), 1.2)) == [606]


def test_a_6xx_waits_for_a_silent_phone_two_seconds_at_most() -> None:
    one = context("a", "dead")
    one.receive("a", answer(606), 1.0)
    assert finals(one.on_timer(3.0)) == [606]


def test_a_decline_is_told_at_once_and_ends_every_phone() -> None:
    one = context("a", "b")
    one.receive("b", answer(180, "b"), 0.5)
    effects = one.decline(486, "Declined", 1.0, "a")
    assert effects == [Cancel("b", 'SIP;cause=486;text="Declined"'), Answer(486, "Declined")]
    late = answer(200, "b")
    assert [type(e) for e in one.receive("b", late, 1.2)] == [Acknowledge, EndDialog]


def test_without_any_branch_nobody_can_be_reached() -> None:
    assert finals(ResponseContext(breadth=60).settle(0.0)) == [480]


def test_provisionals_of_every_phone_go_up_but_no_100_and_none_after_the_end() -> None:
    one = context("a", "b")
    ringing = answer(180, "a")
    assert one.receive("a", answer(100, ""), 0.1) == []
    assert one.receive("a", ringing, 0.2) == [Forward("a", ringing)]
    one.receive("a", answer(200, "a"), 1.0)
    assert one.receive("b", answer(180, "b"), 1.1) == []


def test_a_branch_closed_by_us_is_cancelled_and_a_dropped_one_counts_for_nothing() -> None:
    one = context("a", "b")
    one.receive("a", answer(180), 0.5)
    (cancel,) = one.close("a", 480, "Nobody answered", 120.0)
    assert isinstance(cancel, Cancel)
    one.drop("b")
    assert finals(one.settle(121.0)) == [480]


# The dialog that only we know of


def test_ack_and_bye_for_a_late_2xx_go_to_its_contact_by_the_routes_below_us() -> None:
    late = answer(200, "late", contact="sip:alice@192.168.1.9:5070;transport=tcp")
    for value in ("<sip:edge@10.0.0.3;lr>", "<sip:ours@10.0.0.1;lr>", "<sip:near-phone@10.9.9.9;lr>"):
        late.prepend("Record-Route", value)
    ack = forking.ack_for(INVITE, late, lambda uri: uri == "sip:ours@10.0.0.1;lr")
    assert ack.method == "ACK"
    assert ack.uri == "sip:alice@192.168.1.9:5070;transport=tcp"
    assert ack.values("route") == ["<sip:near-phone@10.9.9.9;lr>"]
    assert str(ack.cseq) == "7 ACK"
    assert ack.to_tag == "late"
    bye = forking.bye_for(INVITE, late, forking.ELSEWHERE, lambda uri: uri == "sip:ours@10.0.0.1;lr")
    assert str(bye.cseq) == "8 BYE"
    assert bye.from_tag == "bob"
    assert bye.get("reason") == forking.ELSEWHERE


# RFC 5393


def test_a_request_that_comes_back_unchanged_has_looped() -> None:
    onward = INVITE.copy()
    assert not forking.has_looped(onward)
    onward.prepend("Via", f"SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx.{forking.loop_hash(INVITE)};rport")
    onward.prepend("Via", "SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKother")
    assert forking.has_looped(onward)


def test_a_request_that_comes_back_for_somebody_else_is_a_spiral_and_no_loop() -> None:
    onward = INVITE.copy()
    onward.prepend("Via", f"SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx.{forking.loop_hash(INVITE)}")
    onward.uri = "sip:another@10.0.0.1"
    assert not forking.has_looped(onward)


def test_max_breadth_is_shared_among_the_branches_and_never_exceeded() -> None:
    one = ResponseContext(breadth=3)
    shares = [one.call(key) for key in ("a", "b", "c")]
    assert sum(shares) <= 3
    assert min(shares) == 1
    assert one.call("d") == 0
    one.receive("a", answer(486, "a"), 1.0)
    assert one.call("e") >= 1


def test_an_account_may_have_as_many_phones_as_we_keep() -> None:
    one = ResponseContext(breadth=60)
    given = [one.call(f"phone {number}") for number in range(MOST_PHONES)]
    assert all(given)
    assert sum(given) <= 60


@pytest.mark.parametrize("text", ["\u00b2", "\u0663", "-1", "1000000", ""])
def test_a_max_breadth_that_is_no_number_counts_for_nothing(text: str) -> None:
    request = INVITE.copy()
    request.add("Max-Breadth", text)
    assert forking.breadth_of(request, 60) == 60


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('Say "no"', 'SIP;cause=480;text="Say \\"no\\""'),
        ("two\r\nlines\x00", 'SIP;cause=480;text="two lines"'),
        ("back\\slash", 'SIP;cause=480;text="back\\\\slash"'),
        ("half \ud800 pair", 'SIP;cause=480;text="half ? pair"'),
        ("octet \udcff", 'SIP;cause=480;text="octet ?"'),
        ("", "SIP;cause=480"),
    ],
)
def test_no_reason_that_a_stranger_gives_breaks_the_header(text: str, value: str) -> None:
    one = ResponseContext(breadth=60)
    one.wait("a")
    (answer,) = one.close("a", 480, text, 0.0)
    assert isinstance(answer, Answer)
    response = respond(INVITE, 480, headers=[("Reason", reason_value(answer.status, answer.text))])
    again = parse(response.encode())
    assert again.get("reason") == value


def test_a_phone_without_a_readable_contact_is_acknowledged_at_the_one_that_it_registered() -> None:
    for contact in ("<sip:a b@10.0.0.7>", "sip:", "*"):
        ok = answer(200)
        ok.set("Contact", contact)
        assert forking.ack_for(INVITE, ok, lambda _uri: False).uri == INVITE.uri
        assert (
            parse(forking.bye_for(INVITE, ok, "SIP;cause=200", lambda _uri: False).encode()).method == "BYE"
        )


def test_max_breadth_is_read_from_the_request_or_set_by_us() -> None:
    request = INVITE.copy()
    assert forking.breadth_of(request, 60) == 60
    request.set("Max-Breadth", "4")
    assert forking.breadth_of(request, 60) == 4
    request.set("Max-Breadth", "many")
    assert forking.breadth_of(request, 60) == 60


# Any order


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["response", "close", "cancel", "timer", "call", "decline"]),
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from([100, 180, 183, 200, 302, 401, 404, 486, 487, 500, 503, 600, 603, 606]),
        st.floats(0.0, 3.0),
    ),
    max_size=40,
)


@given(EVENTS)
def test_whatever_happens_in_whatever_order_exactly_one_final_response_goes_up(
    events: list[tuple[str, str, int, float]],
) -> None:
    one = context("a", "b")
    one.wait("c")
    now, up = 0.0, []
    acked: dict[tuple[str, str], int] = {}
    for kind, key, status, step in events:
        now += step
        effects = _apply(one, kind, key, status, now)
        up += finals(effects)
        for effect in effects:
            if isinstance(effect, EndDialog):
                mark = (effect.key, effect.response.to_tag or "")
                acked[mark] = acked.get(mark, 0) + 1
    now += 10.0
    for key in ("a", "b", "c"):
        up += finals(one.close(key, 480, "end of test", now))
    while one.deadline is not None:
        now = max(now, one.deadline)
        up += finals(one.on_timer(now))
    repeated = 1 if one.winner is None else up.count(up[0])
    assert len(up) == repeated, "only the winner's 2xx may be repeated"
    assert all(count == 1 for count in acked.values())
    assert one.is_over


def _apply(one: ResponseContext, kind: str, key: str, status: int, now: float) -> list[Effect]:
    match kind:
        case "response" if one.state(key) is not BranchState.WAITING:
            return one.receive(key, answer(status, key), now)
        case "close":
            return one.close(key, 480, "closed", now)
        case "cancel":
            return one.cancel("", now)
        case "call" if one.state(key) is BranchState.WAITING:
            one.call(key)
        case "decline":
            return one.decline(486, "Declined", now, key)
        case "timer":
            return one.on_timer(now)
        case _:
            pass
    return []
