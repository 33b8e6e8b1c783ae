"""Trouble at the PBX as the app reads it: in states and words, with the life going on."""

from __future__ import annotations

import pytest

from tests.interop.peers.lab import Lab
from tests.interop.peers.scene import Scene, a_scene
from tests.interop.peers.wire import Message


def registers(scene: Scene) -> list[Message]:
    """The REGISTERs that the PBX got from the server."""
    return [m for m in scene.pbx.messages() if not m.sent and m.method == "REGISTER"]


def answers(scene: Scene) -> list[int]:
    """What the PBX said to them."""
    return [m.status for m in scene.pbx.messages() if m.sent and m.method == "REGISTER" and m.status]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_binding_is_refreshed_under_one_call_id_with_rising_numbers_and_the_same_nonce(
    lab: Lab, transport: str
) -> None:
    scene = await a_scene(lab, max_expires=4)
    await scene.enrol(transport=transport)
    [binding] = await scene.pbx.contacts("alice")
    assert binding.expires <= 4, "the PBX clamps, and its word counts"
    await scene.pbx.wait_message("REGISTER", count=5)
    trial, answer, *refreshes = registers(scene)
    assert trial.call_id == answer.call_id
    assert len({one.call_id for one in refreshes} | {trial.call_id}) == 2, "a trial has its own"
    numbers = [int(one.header("CSeq").split()[0]) for one in refreshes]
    assert numbers == sorted(set(numbers))
    assert {one.header("Contact") for one in refreshes} == {answer.header("Contact")}
    assert set(answers(scene)[2:]) == {200}
    assert [one.uri for one in await scene.pbx.contacts("alice")] == [binding.uri]


async def test_challenges_that_nobody_can_answer_are_passed_over(lab: Lab) -> None:
    scene = await a_scene(lab)
    await scene.pbx.option("extra_algs", 1)
    await scene.enrol()
    assert answers(scene) == [401, 200]


async def test_a_403_after_the_binding_was_made_keeps_the_credentials_and_is_told_in_words(lab: Lab) -> None:
    scene = await a_scene(lab, max_expires=4)
    alice = await scene.enrol()
    await scene.pbx.fail("alice", "403")
    binding = await scene.wait_binding(alice, "refused")
    assert binding["reason_code"] == "registrar-forbids"
    assert "no more devices" in binding["reason"]
    seen = await scene.pbx.registers_seen("alice")
    await scene.server.restart()
    assert (await scene.server.of(alice, "GET")).body["binding"]["state"] == "refused"
    assert await scene.pbx.registers_seen("alice") == seen, "a refused account is not tried in a hurry"


async def test_a_silent_pbx_is_told_as_unreachable_and_ends_nobody(lab: Lab) -> None:
    # Timer F of RFC 3261 is 64·T1: with a short T1 the silence is noticed within seconds.
    scene = await a_scene(lab, max_expires=4, sip={"t1": "20ms"})
    alice = await scene.enrol()
    await scene.pbx.fail("alice", "silence")
    binding = await scene.wait_binding(alice, "unreachable")
    assert binding["reason"]
    assert (await scene.server.of(alice, "GET")).body["stage"] == "active"


async def test_a_binding_that_was_removed_at_the_pbx_is_made_again(lab: Lab) -> None:
    scene = await a_scene(lab, max_expires=6)
    await scene.enrol()
    await scene.pbx.forget_contacts("alice")
    await scene.pbx.wait_contacts("alice", 1)
