"""Calls that end before anybody speaks: given up, declined, unanswered, or with no phone to be had."""

from __future__ import annotations

import pytest

from tests.interop.peers.lab import Lab
from tests.interop.peers.scene import Scene, a_scene
from tests.interop.peers.wire import final_statuses
from wakerobin.testing.pns_script import Refuse


def told(scene: Scene) -> list[int]:
    """The final statuses that the PBX got for INVITEs."""
    return sorted(status for _, status, _ in scene.finals())


async def test_a_caller_gives_up_before_the_phone_wakes(lab: Lab) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol()
    caller = await scene.calls("uac_cancel", delay_ms=200)
    result = await caller.succeeded()
    assert final_statuses(result.messages, "INVITE") == [487]
    assert told(scene) == [487]
    state, events = await scene.outcome(alice)
    assert (state, events[-1]) == ("cancelled", "cancelled")

    phone = await scene.awake_phone()
    await phone.wait_idle()
    assert phone.requests() == [], "the call is over when the phone comes"
    assert len(scene.pns.to(alice.call_token)) == 1


async def test_a_caller_gives_up_at_any_moment_of_the_waking(lab: Lab) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol()
    # The first push to a phone goes over a connection that is opened for it: no caller is quicker than that.
    for count, delay_ms in enumerate((90, 1, 30, 60, 120, 180, 260), start=1):
        phone = scene.sleeping_phone()
        # Counted from the last response, so from the push's acceptance: our 180.
        caller = await scene.calls("uac_cancel", delay_ms=delay_ms)
        await scene.pns.wait_push(alice.call_token, count=count)
        await phone.wake()
        result = await caller.succeeded()
        assert final_statuses(result.messages, "INVITE") == [487]
        assert (await scene.outcome(alice))[0] == "cancelled"
        await phone.wait_registered()
        await phone.wait_idle()
        if phone.requests():
            await phone.wait_requests("INVITE", "CANCEL", "ACK")
        await phone.quit()
    assert told(scene) == [487] * 7


async def test_a_caller_gives_up_while_the_phone_rings(lab: Lab) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol()
    phone = scene.sleeping_phone()
    # Counted from the last response, which is the phone's own 180.
    caller = await scene.calls("uac_cancel", delay_ms=3_000)
    await scene.pns.wait_push(alice.call_token)
    await phone.wake()
    await phone.wait_ringing()
    result = await caller.succeeded()
    assert final_statuses(result.messages, "INVITE") == [487]
    await phone.wait_idle()
    await phone.wait_requests("INVITE", "CANCEL", "ACK")
    assert told(scene) == [487]
    assert (await scene.outcome(alice))[0] == "cancelled"


@pytest.mark.parametrize("delay_ms", [1, 4, 10, 30])
async def test_a_cancel_and_an_answer_may_cross_and_both_sides_agree_in_the_end(
    lab: Lab, delay_ms: int
) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol()
    phone = await scene.awake_phone(answers=True)
    caller = await scene.calls("uac_cancel_crossing", delay_ms=delay_ms)
    result = await caller.succeeded()
    statuses = set(final_statuses(result.messages, "INVITE"))
    assert statuses in ({200}, {487})
    assert len(scene.finals()) == 1, "exactly one final response per INVITE goes to the PBX"
    assert set(told(scene)) == statuses
    await phone.wait_idle()  # it is not left in a call that nobody else is in
    state, _ = await scene.outcome(alice)
    assert state == ("answered" if statuses == {200} else "cancelled")


async def test_the_user_declines_on_the_phone_and_the_pbx_hears_busy(lab: Lab) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol()
    phone = scene.sleeping_phone()
    caller = await scene.calls("uac_expect", status=486)
    await scene.pns.wait_push(alice.call_token)
    await phone.wake()
    await phone.wait_ringing()
    await phone.hang_up()
    await caller.succeeded()
    await phone.wait_idle()
    assert told(scene) == [486]
    _, events = await scene.outcome(alice)
    assert "phone-refused" in events


@pytest.mark.parametrize("is_awake", [False, True], ids=["before the phone wakes", "while it rings"])
async def test_the_user_declines_by_the_api(lab: Lab, is_awake: bool) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol()
    caller = await scene.calls("uac_expect", status=486)
    push = await scene.pns.wait_push(alice.call_token)
    phone = scene.sleeping_phone()
    if is_awake:
        await phone.wake()
        await phone.wait_ringing()
    path = f"/calls/{push.payload['wakerobin']['call_id']}/decline"
    answer = await scene.server.of(alice, "POST", path, {"scope": "all", "reason": "declined"})
    assert answer.status == 204, answer
    await caller.succeeded()
    assert told(scene) == [486]
    assert (await scene.outcome(alice))[0] == "declined"
    if is_awake:
        await phone.wait_idle()
        await phone.wait_requests("INVITE", "CANCEL", "ACK")


async def test_a_call_that_no_phone_comes_for_is_unavailable_after_the_wake_timeout(lab: Lab) -> None:
    scene = await a_scene(lab, sip={"wake_timeout": "2s"})
    alice = await scene.enrol()
    caller = await scene.calls("uac_expect", status=480)
    result = await caller.succeeded()
    lasted = result.messages[-1].at - result.messages[0].at
    assert 1.9 < lasted < 8
    assert told(scene) == [480]
    assert (await scene.outcome(alice))[0] == "missed"


async def test_a_phone_that_rings_unanswered_is_cancelled_after_the_ring_timeout(lab: Lab) -> None:
    scene = await a_scene(lab, sip={"ring_timeout": "1500ms"})
    alice = await scene.enrol()
    phone = await scene.awake_phone()
    caller = await scene.calls("uac_expect", status=480)
    await phone.wait_ringing()
    await caller.succeeded()
    await phone.wait_idle()
    await phone.wait_requests("INVITE", "CANCEL", "ACK")
    assert told(scene) == [480]
    assert (await scene.outcome(alice))[0] == "missed"


async def test_a_call_to_an_app_that_was_deleted_is_unavailable_at_once(lab: Lab) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol()
    scene.pns.of(alice.call_token, Refuse(status=410, reason="Unregistered"))
    caller = await scene.calls("uac_expect", status=480)
    result = await caller.succeeded()
    assert result.messages[-1].at - result.messages[0].at < 5
    assert told(scene) == [480]
    state, events = await scene.outcome(alice)
    assert state == "missed"
    assert events[:3] == ["invite", "push-sent", "push-failed"]


async def test_the_pbx_asks_by_options_and_no_phone_is_woken(lab: Lab) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol()
    asking = await scene.calls("uac_options")
    result = await asking.succeeded()
    [answer] = [m for m in result.messages if m.status == 200]
    assert "INVITE" in answer.header("Allow")
    assert scene.pns.to(alice.call_token) == []
