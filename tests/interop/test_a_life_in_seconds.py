"""Whole lives with a real PBX, by the clock, in seconds: used, renewed silently, warned, ended."""

from __future__ import annotations

from tests.interop.peers.lab import Lab
from tests.interop.peers.scene import a_scene

LIFE = {"lifetime": "8s", "renewal_from": "6s", "renewal_every": "1s", "warnings": ["3s", "1s"]}


async def test_an_app_that_nobody_uses_is_renewed_warned_twice_told_and_leaves_the_desk_phone_alone(
    lab: Lab,
) -> None:
    scene = await a_scene(lab, life=LIFE)
    alice = await scene.enrol()
    [ours] = await scene.pbx.contacts("alice")
    await scene.desk_phone("uas_answer")
    [desks] = [one.uri for one in await scene.pbx.wait_contacts("alice", 2) if one.uri != ours.uri]
    assert alice.answer["stage"] == "active"
    assert [entry["kind"] for entry in alice.answer["plan"]].count("warning") == 2

    renewal = await scene.pns.wait_push(alice.notice_token, "renew")
    assert renewal.push_type == "background"
    first = await scene.pns.wait_push(alice.notice_token, "expiry-warning")
    second = await scene.pns.wait_push(alice.notice_token, "expiry-warning", count=2)
    notice = await scene.pns.wait_push(alice.notice_token, "expired")
    for push in (first, second, notice):
        assert (push.push_type, push.headers["apns-collapse-id"]) == ("alert", "life")
        assert push.payload["aps"]["alert"]
    assert 1.5 < second.at - first.at < 3
    assert [one.uri for one in await scene.pbx.wait_contacts("alice", 1)] == [desks]

    renewed = await scene.server.of(alice, "POST", "/renew", {"cause": "opened"})
    assert (renewed.status, renewed.problem) == (410, "push-registration-expired")
    again = await scene.server.enrol("alice", "pw-alice", scene.pbx.address)
    assert again.id != alice.id
    assert len(await scene.pbx.wait_contacts("alice", 2)) == 2
    told = [push.type for push in scene.pns.pushes if push.token == alice.notice_token]
    assert [kind for kind in told if kind != "renew"] == ["expiry-warning", "expiry-warning", "expired"], (
        "each once, and nothing after the end"
    )


async def test_each_use_begins_the_life_anew_whether_by_the_api_or_by_sip(lab: Lab) -> None:
    scene = await a_scene(lab, life=LIFE)
    alice = await scene.enrol()
    for cause in ("renewal-push", "opened"):
        pushes = len(scene.pns.to(alice.notice_token, "renew"))
        await scene.pns.wait_push(alice.notice_token, "renew", count=pushes + 1)
        answer = await scene.server.of(alice, "POST", "/renew", {"cause": cause})
        assert (answer.status, answer.body["stage"]) == (200, "active")
    before = (await scene.server.of(alice, "GET")).body["generation"]
    await scene.awake_phone()  # registers with us: a use
    assert (await scene.server.of(alice, "GET")).body["generation"] > before
    pushes = len(scene.pns.to(alice.notice_token, "renew"))
    await scene.pns.wait_push(alice.notice_token, "renew", count=pushes + 1)
    assert scene.pns.to(alice.notice_token, "expiry-warning") == []
    assert len(await scene.pbx.contacts("alice")) == 1


async def test_a_life_that_ends_while_the_server_is_down_ends_when_it_is_back(lab: Lab) -> None:
    scene = await a_scene(lab, life=LIFE)
    alice = await scene.enrol()
    await scene.pns.wait_push(alice.notice_token, "expiry-warning", count=2)
    await scene.server.kill()
    assert len(await scene.pbx.contacts("alice")) == 1
    await scene.server.start()
    await scene.pns.wait_push(alice.notice_token, "expired")
    assert await scene.pbx.wait_contacts("alice", 0) == []
    ids = [push.headers["apns-id"] for push in scene.pns.to(alice.notice_token, "expired")]
    assert len(set(ids)) == 1


async def test_an_app_that_was_deleted_from_the_phone_ends_with_the_next_call(lab: Lab) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol()
    for token in (alice.call_token, alice.notice_token):
        scene.pns.forget(token, 4_000_000_000_000)
    await (await scene.calls("uac_expect", status=480)).succeeded()
    # The user was to be told to open the app: so the push service said that there is none.
    await scene.pns.wait_push(alice.notice_token, "targets-needed")
    await scene.wait_end(alice, "push-registration-ended")
    # The binding stays for five minutes, in which so many may end that the fault must be ours.
    await (await scene.calls("uac_expect", status=480)).succeeded()
    assert len(scene.pns.to(alice.call_token)) == 1
