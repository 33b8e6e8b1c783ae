"""Two woken phones, suspended ones, and desk phones beside us: whoever answers, the others stop.

baresip says nothing about itself in its REGISTER, so two of them on one account are told apart by their
flows only: the hardest case.
"""

from __future__ import annotations

import pytest

from tests.interop.peers.lab import Lab
from tests.interop.peers.scene import a_scene
from tests.interop.peers.wire import final_statuses

ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_two_sleeping_phones_ring_one_answers_and_the_other_is_cancelled(
    lab: Lab, transport: str
) -> None:
    scene = await a_scene(lab)
    installations = [await scene.enrol() for _ in range(2)]
    phones = [scene.sleeping_phone(transport=transport) for _ in range(2)]
    caller = await scene.calls("uac_answer", delay_ms=500)
    for one, phone in zip(installations, phones, strict=True):
        await scene.pns.wait_push(one.call_token)
        await phone.wake()
        await phone.wait_ringing()
    winner, loser = phones
    await winner.answer()
    assert (await loser.wait_message("CANCEL")).header("Reason") == ELSEWHERE
    await caller.succeeded()
    for phone in phones:
        await phone.wait_idle()
    await loser.wait_requests("INVITE", "CANCEL", "ACK")
    assert [status for _, status, _ in scene.finals()] == [200]
    assert [len(scene.pns.to(one.call_token)) for one in installations] == [1, 1]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_two_phones_answer_at_the_same_time_and_the_pbx_gets_one_answer(
    lab: Lab, transport: str
) -> None:
    scene = await a_scene(lab)
    alice, _ = await scene.enrol(), await scene.enrol()
    phones = [await scene.awake_phone(transport=transport) for _ in range(2)]
    caller = await scene.calls("uac_answer", delay_ms=1_000)
    for phone in phones:
        await phone.wait_ringing()
    scene.server.freeze()  # both answers are there before it can cancel anyone
    for phone in phones:
        await phone.answer()
        await phone.wait_message("SIP/2.0 200 Answering", sent=True)
    scene.server.thaw()
    result = await caller.succeeded()
    assert final_statuses(result.messages, "INVITE") == [200]
    assert len(scene.finals()) == 1
    for phone in phones:
        await phone.wait_idle()
        assert [method for method in phone.requests() if method in ("ACK", "BYE")] == ["ACK", "BYE"]
    byes = [m.headers("Reason") for phone in phones for m in phone.messages() if m.start_line[:4] == "BYE "]
    assert sorted(byes) == [[], [ELSEWHERE]], "the caller hangs up with one, we with the other"
    _, events = await scene.outcome(alice)
    assert events.count("answered") == 1
    assert events.count("late-answer-ended") == 1


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_suspended_phone_with_an_open_socket_is_pushed_and_answers_when_it_goes_on(
    lab: Lab, transport: str
) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol()
    phone = await scene.awake_phone(transport=transport, answers=True)
    phone.freeze()
    caller = await scene.calls("uac_answer", delay_ms=100)
    await scene.pns.wait_push(alice.call_token)
    phone.thaw()
    await caller.succeeded()
    await phone.wait_idle()
    assert [status for _, status, _ in scene.finals()] == [200]
    assert set(phone.requests()) == {"INVITE", "ACK", "BYE"}


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_an_app_that_was_suspended_and_starts_anew_gets_the_call_on_its_new_flow(
    lab: Lab, transport: str
) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol()
    before = await scene.awake_phone(transport=transport)
    before.freeze()
    caller = await scene.calls("uac_answer", delay_ms=100)
    await scene.pns.wait_push(alice.call_token)
    anew = await scene.awake_phone(transport=transport)
    await anew.wait_ringing()
    await anew.answer()
    await caller.succeeded()
    await anew.wait_idle()
    assert [status for _, status, _ in scene.finals()] == [200]
    state, events = await scene.outcome(alice)
    assert state == "answered"
    assert events.count("offered") == 2


async def test_a_phone_that_was_heard_just_now_answers_without_a_push(lab: Lab) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol()
    await scene.awake_phone(answers=True)
    caller = await scene.calls("uac_answer", delay_ms=1_500)
    await caller.succeeded()
    assert scene.pns.to(alice.call_token) == []


async def test_a_desk_phone_beside_us_answers_and_ours_stops_ringing(lab: Lab) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol()
    phone = await scene.awake_phone()
    desk = await scene.desk_phone("uas_answer", delay_ms=700)
    caller = await scene.calls("uac_answer", delay_ms=100)
    await phone.wait_ringing()
    await caller.succeeded()
    await desk.succeeded()
    await phone.wait_idle()
    await phone.wait_requests("INVITE", "CANCEL", "ACK")
    assert [status for _, status, _ in scene.finals()] == [487]
    assert (await phone.wait_message("CANCEL")).header("Reason") == ELSEWHERE
    assert (await scene.outcome(alice))[0] == "answered-elsewhere"


async def test_a_desk_phone_answers_while_ours_still_sleeps(lab: Lab) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol()
    desk = await scene.desk_phone("uas_answer", delay_ms=300)
    caller = await scene.calls("uac_answer", delay_ms=100)
    await scene.pns.wait_push(alice.call_token)
    await caller.succeeded()
    await desk.succeeded()
    phone = await scene.awake_phone()
    assert phone.requests() == []
    assert [status for _, status, _ in scene.finals()] == [487]


async def test_our_woken_phone_answers_and_the_desk_phone_stops_ringing(lab: Lab) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol()
    desk = await scene.desk_phone("uas_ring")
    phone = scene.sleeping_phone(answers=True)
    caller = await scene.calls("uac_answer", delay_ms=100)
    await scene.pns.wait_push(alice.call_token)
    await desk.wait_message("INVITE")
    await phone.wake()
    await caller.succeeded()
    await desk.succeeded()


async def test_a_decline_of_ours_leaves_the_desk_phone_ringing(lab: Lab) -> None:
    """The PBX hears 486 and not 603: a 6xx would silence the desk phone too."""
    scene = await a_scene(lab)
    alice = await scene.enrol()
    desk = await scene.desk_phone("uas_answer", delay_ms=2_000)
    caller = await scene.calls("uac_answer", delay_ms=100)
    push = await scene.pns.wait_push(alice.call_token)
    path = f"/calls/{push.payload['wakerobin']['call_id']}/decline"
    assert (await scene.server.of(alice, "POST", path, {"reason": "declined"})).status == 204
    await caller.succeeded()
    await desk.succeeded()
    assert [status for _, status, _ in scene.finals()] == [486]


async def test_the_desk_phones_contact_survives_when_our_registration_is_deleted(lab: Lab) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol()
    [ours] = await scene.pbx.contacts("alice")
    desk = await scene.desk_phone("uas_answer")
    [desks] = [one.uri for one in await scene.pbx.wait_contacts("alice", 2) if one.uri != ours.uri]
    assert (await scene.server.of(alice, "DELETE")).status == 202
    assert [one.uri for one in await scene.pbx.wait_contacts("alice", 1)] == [desks]
    caller = await scene.calls("uac_answer", delay_ms=100)
    await caller.succeeded()
    await desk.succeeded()
    assert scene.pns.to(alice.call_token) == []
    assert (await scene.server.of(alice, "GET")).status in (401, 410)
