"""The main job, with nobody's part played by us but the push service: a phone that sleeps rings.

Kamailio is the PBX, SIPp calls, baresip is the phone, with its password and us as its outbound proxy.
"""

from __future__ import annotations

import pytest

from tests.interop.peers.lab import Lab
from tests.interop.peers.scene import a_scene
from tests.interop.peers.wire import final_statuses


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_sleeping_phone_rings_is_answered_and_hangs_up(lab: Lab, transport: str) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol(transport=transport)
    [ours] = await scene.pbx.contacts("alice")
    assert ours.uri.partition("@")[2].startswith(scene.server.address)
    assert "alice" not in ours.uri, "who knows the AOR must not know where we can be rung"

    phone = scene.sleeping_phone(transport=transport)
    caller = await scene.calls("uac_answer", transport=transport, delay_ms=300)
    push = await scene.pns.wait_push(alice.call_token)
    assert (push.status, push.push_type) == (200, "voip")
    payload = push.payload["wakerobin"]
    assert payload["registration"] == alice.id
    assert payload["caller"]["uri"] == "sip:bob@pbx.test"
    await caller.wait_message("SIP/2.0 180")
    assert not phone.is_awake, "the caller hears ringing because the push was accepted"

    await phone.wake()
    await phone.wait_ringing()
    invite = await phone.wait_message("INVITE")
    assert len([one for one in invite.headers("Record-Route") if scene.server.address in one]) == 2
    await phone.answer()
    result = await caller.succeeded()
    await phone.wait_event("CALL_CLOSED")

    assert final_statuses(result.messages, "INVITE") == [200]
    assert final_statuses(result.messages, "BYE") == [200]
    assert [status for _, status, _ in scene.finals()] == [200]
    await phone.wait_requests("INVITE", "ACK", "BYE")
    registers = [m for m in phone.messages() if m.method == "REGISTER" and m.status in (401, 200)]
    assert [m.status for m in registers] == [401, 200], "one challenge, in the PBX's realm"
    assert 'realm="pbx.test"' in registers[0].header("WWW-Authenticate")
    assert len(scene.pns.to(alice.call_token)) == 1
    assert scene.pns.thrown_out == []


async def test_the_timeline_of_a_call_tells_every_step_in_words(lab: Lab) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol()
    phone = scene.sleeping_phone(answers=True)
    caller = await scene.calls("uac_answer", delay_ms=50)
    push = await scene.pns.wait_push(alice.call_token)
    await phone.wake()
    await caller.succeeded()

    call = await scene.server.call_of(alice)
    assert call["call_id"] == push.payload["wakerobin"]["call_id"]
    assert call["sip_call_id"] == push.payload["wakerobin"]["sip_call_id"]
    assert call["caller"]["uri"] == "sip:bob@pbx.test"
    told = await scene.server.timeline(alice, call["call_id"])
    order = ["invite", "push-sent", "push-accepted", "phone-connected", "offered", "answered"]
    assert [event for event, _ in told if event in order] == order
    assert all(text.endswith(".") and text[0].isupper() for _, text in told), told
    assert dict(told)["answered"] == "The call was answered."
