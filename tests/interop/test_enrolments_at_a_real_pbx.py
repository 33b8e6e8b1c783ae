"""What a real registrar says of credentials, and what an enrolment makes of it."""

from __future__ import annotations

import pytest

from tests.interop.peers.lab import Lab
from tests.interop.peers.scene import a_scene
from tests.interop.peers.wakerobin import Installation


async def test_a_pbx_that_asks_for_sha_256_is_registered_with(lab: Lab) -> None:
    scene = await a_scene(lab, sha256=True)
    alice = await scene.enrol()
    [binding] = await scene.pbx.contacts("alice")
    assert binding.instance is not None
    [with_answer] = [m for m in scene.pbx.messages() if m.method == "REGISTER" and m.headers("Authorization")]
    assert "algorithm=SHA-256" in with_answer.header("Authorization")
    await scene.calls("uac_cancel", delay_ms=300)
    await scene.pns.wait_push(alice.call_token)


@pytest.mark.parametrize("badpw", [403, 0], ids=["403", "401 again"])
async def test_a_wrong_password_is_told_in_the_answer_after_one_try(lab: Lab, badpw: int) -> None:
    scene = await a_scene(lab)
    await scene.pbx.option("badpw", badpw)
    answer = await scene.server.try_enrol(Installation("alice"), "wrong-password", scene.pbx.address)
    assert (answer.status, answer.problem) == (422, "credentials-refused")
    assert answer.body["action"] == "ask-password"
    assert await scene.pbx.registers_seen("alice") == 2, "one challenge, one answer, no guessing"
    assert await scene.pbx.contacts("alice") == []


async def test_an_unknown_account_is_refused_like_a_wrong_password(lab: Lab) -> None:
    scene = await a_scene(lab)
    unknown = await scene.server.try_enrol(Installation("mallory"), "any-password", scene.pbx.address)
    wrong = await scene.server.try_enrol(Installation("alice"), "wrong-password", scene.pbx.address)
    assert (unknown.status, unknown.problem) == (wrong.status, wrong.problem) == (422, "credentials-refused")


@pytest.mark.parametrize("wait_s", [0, 5])
async def test_a_second_installation_with_a_wrong_password_gets_nothing_and_harms_nothing(
    lab: Lab, wait_s: int
) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol()
    before = await scene.pbx.contacts("alice")
    intruder = Installation("alice")
    answer = await scene.server.try_enrol(intruder, "wrong-password", scene.pbx.address, wait_s=wait_s)
    assert answer.status == (422 if wait_s else 201)
    if not wait_s:
        assert answer.body["binding"]["state"] in ("unproven", "refused")

    phone = scene.sleeping_phone(answers=True)
    caller = await scene.calls("uac_answer", delay_ms=100)
    await scene.pns.wait_push(alice.call_token)
    await phone.wake()
    await caller.succeeded()
    assert scene.pns.to(intruder.call_token) == []
    assert [one.uri for one in await scene.pbx.contacts("alice")] == [one.uri for one in before]
    state = (await scene.server.of(alice, "GET")).body["binding"]["state"]
    assert state == "registered"


async def test_a_second_installation_with_the_right_password_rings_too_and_asks_the_pbx_nothing(
    lab: Lab,
) -> None:
    scene = await a_scene(lab)
    first = await scene.enrol()
    seen = await scene.pbx.registers_seen("alice")
    second = await scene.enrol()
    assert await scene.pbx.registers_seen("alice") == seen
    await scene.calls("uac_cancel", delay_ms=500)
    for one in (first, second):
        await scene.pns.wait_push(one.call_token)


async def test_the_same_installation_enrols_again_and_keeps_its_id(lab: Lab) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol()
    again = await scene.server.try_enrol(alice, "pw-alice", scene.pbx.address)
    assert (again.status, again.body["id"]) == (200, alice.id)
    assert again.body["secret"] != alice.secret
    assert len(await scene.pbx.contacts("alice")) == 1


async def test_an_authentication_user_name_that_is_not_the_address_is_used(lab: Lab) -> None:
    scene = await a_scene(lab)
    await scene.pbx.add_user("dora", "pw-dora", login="4711")
    await scene.enrol("dora", auth_user="4711")
    assert len(await scene.pbx.contacts("dora")) == 1


async def test_a_changed_password_at_the_pbx_is_proved_before_it_replaces_the_old_one(lab: Lab) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol()
    wrong = {"credentials": {"password": "wrong-password"}}
    answer = await scene.server.of(alice, "PATCH", "?wait=5", wrong)
    assert answer.problem == "credentials-refused"
    await scene.pbx.add_user("alice", "pw-new")
    right = {"credentials": {"password": "pw-new"}}
    assert (await scene.server.of(alice, "PATCH", "?wait=5", right)).status == 200
    assert len(await scene.pbx.contacts("alice")) == 1
    await scene.calls("uac_cancel", delay_ms=300)
    await scene.pns.wait_push(alice.call_token)
