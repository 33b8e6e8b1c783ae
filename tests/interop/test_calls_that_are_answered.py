"""Calls through the server while people talk, in both directions, one and many."""

from __future__ import annotations

import pytest

from tests.interop.peers.lab import Lab
from tests.interop.peers.scene import CALLER, a_scene
from tests.interop.peers.sipp import Call, Sipp
from tests.interop.peers.wire import final_statuses


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_the_caller_changes_the_session_and_hangs_up(lab: Lab, transport: str) -> None:
    scene = await a_scene(lab)
    await scene.enrol(transport=transport)
    phone = await scene.awake_phone(transport=transport, answers=True)
    caller = await scene.calls("uac_answer", transport=transport, delay_ms=100, reinvite=True)
    result = await caller.succeeded()
    assert final_statuses(result.messages, "INVITE") == [200, 200]
    await phone.wait_idle()
    await phone.wait_requests("INVITE", "ACK", "INVITE", "ACK", "BYE")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_the_woken_phone_hangs_up(lab: Lab, transport: str) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol()  # its binding is by UDP, whatever the phone speaks
    phone = scene.sleeping_phone(transport=transport)
    caller = await scene.calls("uac_wait_bye")
    await scene.pns.wait_push(alice.call_token)
    await phone.wake()
    await phone.wait_ringing()
    await phone.answer()
    await caller.wait_message("ACK", sent=True)
    await phone.wait_message("ACK")
    await phone.hang_up()
    await caller.succeeded()
    assert final_statuses(phone.messages(), "BYE") == [200]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_the_phone_holds_the_call_and_takes_it_back(lab: Lab, transport: str) -> None:
    """A re-INVITE from the phone: here the other side is a phone too."""
    scene = await a_scene(lab)
    await scene.enrol(transport=transport)
    phone = await scene.awake_phone(transport=transport, answers=True)
    other = await scene.caller_with_a_phone()
    await other.dial("sip:alice@pbx.test")
    await phone.wait_event("CALL_ESTABLISHED")
    await phone.command("hold")
    await phone.wait_message("SIP/2.0 200", count=2)
    held = await other.wait_message("INVITE")
    assert "a=sendonly" in held.body or "a=inactive" in held.body
    await phone.command("resume")
    taken_back = await other.wait_message("INVITE", count=2)
    assert "a=sendrecv" in taken_back.body
    await other.wait_message("ACK", count=2)
    await other.hang_up()
    await phone.wait_idle()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_the_phones_own_call_goes_out_through_us_with_the_challenge_of_the_pbx(
    lab: Lab, transport: str
) -> None:
    scene = await a_scene(lab)
    await scene.pbx.option("invite_auth", 1)
    await scene.enrol(transport=transport)
    phone = await scene.awake_phone(transport=transport)
    desk = await scene.desk_phone("uas_answer", user=CALLER)
    await phone.dial(f"sip:{CALLER}@pbx.test")
    await phone.wait_event("CALL_ESTABLISHED")
    await phone.hang_up()
    await desk.succeeded()
    await phone.wait_idle()
    assert final_statuses([m for m in phone.messages() if not m.sent], "INVITE") == [407, 200]
    invites = [m for m in scene.pbx.messages() if not m.sent and m.method == "INVITE" and m.status is None]
    assert all(scene.is_from_server(invite) for invite in invites)
    assert 'username="alice"' in invites[-1].header("Proxy-Authorization")


async def test_two_of_our_phones_call_each_other_and_the_sleeping_one_is_woken(lab: Lab) -> None:
    scene = await a_scene(lab, users={"carol": "pw-carol"})
    await scene.enrol("alice")
    carol = await scene.enrol("carol")
    alices = await scene.awake_phone("alice")
    carols = scene.sleeping_phone("carol", answers=True)
    await alices.dial("sip:carol@pbx.test")
    await scene.pns.wait_push(carol.call_token)
    await carols.wake()
    await alices.wait_event("CALL_ESTABLISHED")
    await alices.hang_up()
    await carols.wait_idle()
    await carols.wait_requests("INVITE", "ACK", "BYE")


async def test_fifty_sleeping_phones_are_called_at_once_and_all_talk(lab: Lab) -> None:
    names = [f"user{number}" for number in range(50)]
    passwords = {name: f"pw-{name}" for name in names}
    scene = await a_scene(lab, users=passwords)
    phones = [await scene.enrol(name) for name in names]
    caller = await scene.calls("uac_answer", callees=names, count=50, concurrent=50, delay_ms=2_000)
    for one in phones:
        await scene.pns.wait_push(one.call_token)
    woken = Sipp(
        "phone",
        *lab.place(),
        target=scene.server.place,
        calls=[Call(name, password) for name, password in passwords.items()],
        transport="udp each",
        count=50,
        out_of_call="uas_answer",
        keys={"user": "phone"},
    )
    await lab.start(woken)
    result = await caller.succeeded()
    assert result.successful == 50
    answered = [call for call in result.calls().values() if final_statuses(call, "INVITE") == [200]]
    assert len(answered) == 50
    assert len(scene.finals()) == 50
    for one in phones:
        assert len(scene.pns.to(one.call_token)) == 1
        assert (await scene.outcome(one))[0] == "answered"
