"""`kill -9` at the worst moments, and a PBX that forgets: calls, lives and bindings go on."""

from __future__ import annotations

import pytest

from tests.interop.peers.baresip import Baresip
from tests.interop.peers.lab import Lab
from tests.interop.peers.scene import Scene, a_scene
from tests.interop.peers.wire import final_statuses

OFTEN_S = 4
"""A phone whose connection broke with the server has a new one when it registers the next time."""

SHORT = {"phone_expires_min": "1s"}


async def restart_unseen(scene: Scene, phone: Baresip) -> None:
    """Kill the server and start it again. A baresip that registers between would rest half a minute."""
    phone.freeze()
    await scene.server.restart()
    phone.thaw()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_call_that_waits_for_its_phone_is_handed_over_after_the_restart(
    lab: Lab, transport: str
) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol(transport=transport)
    phone = scene.sleeping_phone(transport=transport)
    caller = await scene.calls("uac_answer", transport=transport, delay_ms=200)
    await scene.pns.wait_push(alice.call_token)
    await caller.wait_message("SIP/2.0 180")
    await scene.wait_state(alice, "waking")
    await scene.server.restart()
    await phone.wake()
    await phone.wait_ringing()
    await phone.answer()
    await caller.succeeded()
    await phone.wait_idle()
    assert [status for _, status, _ in scene.finals()] == [200]
    pushes = scene.pns.to(alice.call_token)
    assert len({push.headers["apns-id"] for push in pushes}) == 1
    state, events = await scene.outcome(alice)
    assert state == "answered"
    assert "resumed" in events


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_phone_that_rang_when_the_server_was_killed_answers_the_same_call(
    lab: Lab, transport: str
) -> None:
    scene = await a_scene(lab, sip=SHORT)
    alice = await scene.enrol()
    expires = OFTEN_S if transport == "tcp" else 300
    phone = scene.sleeping_phone(transport=transport, expires=expires)
    caller = await scene.calls("uac_answer", delay_ms=1_000 * OFTEN_S)
    await scene.pns.wait_push(alice.call_token)
    await phone.wake()
    await phone.wait_ringing()
    await scene.wait_state(alice, "offered")
    await restart_unseen(scene, phone)
    await phone.answer()
    await caller.succeeded()
    await phone.wait_idle()
    assert [status for _, status, _ in scene.finals()] == [200]
    assert (await scene.outcome(alice))[0] == "answered"


async def test_the_caller_gives_up_after_the_restart_and_the_phone_stops_ringing(lab: Lab) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol()
    phone = scene.sleeping_phone()
    caller = await scene.calls("uac_cancel", delay_ms=5_000)
    await scene.pns.wait_push(alice.call_token)
    await phone.wake()
    await phone.wait_ringing()
    await scene.wait_state(alice, "offered")
    await scene.server.restart()
    await caller.succeeded()
    await phone.wait_idle()
    await phone.wait_message("ACK")
    assert phone.requests()[-2:] == ["CANCEL", "ACK"]
    assert [status for _, status, _ in scene.finals()] == [487]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("who", ["caller", "phone"])
async def test_an_answered_call_outlives_the_server_and_its_bye_passes(
    lab: Lab, transport: str, who: str
) -> None:
    scene = await a_scene(lab, sip=SHORT)
    await scene.enrol(transport=transport)
    expires = OFTEN_S if transport == "tcp" else 300
    phone = await scene.awake_phone(transport=transport, answers=True, expires=expires)
    caller = await scene.caller_with_a_phone()
    await caller.dial("sip:alice@pbx.test")
    await caller.wait_event("CALL_ESTABLISHED")
    await phone.wait_message("ACK")
    await restart_unseen(scene, phone)
    if who == "caller" and transport == "tcp":
        await phone.wait_new_registration()
    await (caller if who == "caller" else phone).hang_up()
    await caller.wait_idle()
    await phone.wait_idle()
    ended = phone if who == "caller" else caller
    assert "BYE" in ended.requests()
    assert final_statuses(ended.messages(), "BYE")[-1] == 200


async def test_an_enrolment_and_its_binding_survive(lab: Lab) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol()
    [before] = await scene.pbx.contacts("alice")
    await scene.server.restart()
    answer = await scene.server.of(alice, "GET")
    assert (answer.status, answer.body["binding"]["state"]) == (200, "registered")
    [after] = await scene.pbx.contacts("alice")
    assert after.uri == before.uri
    phone = scene.sleeping_phone(answers=True)
    caller = await scene.calls("uac_answer", delay_ms=100)
    await scene.pns.wait_push(alice.call_token)
    await phone.wake()
    await caller.succeeded()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_pbx_that_restarts_and_forgets_its_contacts_is_registered_with_again(
    lab: Lab, transport: str
) -> None:
    # By UDP the next refresh notices. By TCP the broken connection tells it at once, but a PBX that is
    # not there yet when we come is left alone for half a minute.
    scene = await a_scene(lab, max_expires=6)
    alice = await scene.enrol(transport=transport)
    await scene.pbx.restart()
    await scene.pbx.wait_contacts("alice", 1, within=45)
    phone = scene.sleeping_phone(answers=True)
    caller = await scene.calls("uac_answer", delay_ms=100)
    await scene.pns.wait_push(alice.call_token)
    await phone.wake()
    await caller.succeeded()
