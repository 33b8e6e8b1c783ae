"""What a woken app asks about a call and says about it, while a PBX really calls."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system.served import INSTALLATION, OTHER_INSTALLATION, PATH, Answer, World, serving
from wakerobin.testing.pbx_call import FakeCall
from wakerobin.testing.phone import FakePhone
from wakerobin.testing.pns import ReceivedPush


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with serving(tmp_path, "127.81.0.3") as running:
        yield running


class App:
    """An enrolled app that was woken for a call."""

    def __init__(self, world: World, body: dict[str, Any], call: FakeCall, call_id: str) -> None:
        self.world, self.body, self.call, self.call_id = world, body, call, call_id
        self.path = f"{PATH}/{body['id']}/calls"

    async def send(self, method: str, rest: str = "", body: Any = None) -> Answer:
        return await self.world.api.send(method, self.path + rest, body, self.body["secret"])

    async def state(self, wait: int = 0) -> str:
        answer = await self.send("GET", f"/{self.call_id}?wait={wait}")
        assert answer.status == 200, answer.text
        return str(answer.json["state"])


def is_for(id_: str) -> Callable[[ReceivedPush], bool]:
    return lambda push: push.payload["wakerobin"]["registration"] == id_


def target(token: str) -> dict[str, Any]:
    return {"provider": "apns", "purposes": ["call"], "token": token}


@pytest.fixture
async def app(world: World) -> App:
    body = (await world.api.enrol(world.fields())).json
    call = world.pbx.call("anna", display="Ben")
    push = await world.pns.wait_for(lambda one: one.type == "call")
    return App(world, body, call, push.payload["wakerobin"]["call_id"])


async def test_a_woken_app_reads_who_calls_and_until_when(app: App) -> None:
    answer = await app.send("GET", f"/{app.call_id}")
    body = answer.json
    assert answer.status == 200
    assert (body["call_id"], body["state"]) == (app.call_id, "waking")
    assert body["caller"] == {"uri": "sip:+4930123456@pbx.test", "number": "+4930123456", "name": "Ben"}
    assert body["sip_call_id"] == app.call.call_id
    assert 0 < body["expires_at"] - body["started_at"] <= 30
    assert str(uuid.UUID(app.call_id)) == app.call_id, "CallKit wants a UUID"


async def test_a_call_that_is_cancelled_is_told_to_who_waits(app: App) -> None:
    waiting = asyncio.create_task(app.state(wait=30))
    await app.call.wait(lambda call: call.is_ringing)
    app.call.cancel()
    assert await asyncio.wait_for(waiting, 10) in ("waking", "cancelled")
    assert await app.state(wait=0) == "cancelled"


@pytest.mark.parametrize(("reason", "status"), [("declined", 486), ("busy", 486)])
async def test_a_decline_needs_no_sip(app: App, reason: str, status: int) -> None:
    answer = await app.send("POST", f"/{app.call_id}/decline", {"scope": "all", "reason": reason})
    assert answer.status == 204
    await app.call.wait(lambda call: call.final != 0)
    assert app.call.final == status
    assert await app.state() == "declined"
    again = await app.send("POST", f"/{app.call_id}/decline", {})
    assert again.status == 204, "the same wish twice is no error"


async def test_a_decline_of_one_phone_leaves_the_others_ringing(world: World) -> None:
    bodies = [
        (await world.api.enrol(world.fields(installation_id=one, targets=[target(token)]))).json
        for one, token in ((INSTALLATION, "c1" * 32), (OTHER_INSTALLATION, "c2" * 32))
    ]
    call = world.pbx.call("anna")
    apps = []
    for body in bodies:
        push = await world.pns.wait_for(is_for(body["id"]))
        apps.append(App(world, body, call, push.payload["wakerobin"]["call_id"]))
    first, second = apps
    assert (await first.send("POST", f"/{first.call_id}/decline", {"scope": "this"})).status == 204
    assert await second.state() == "waking"
    assert call.final == 0
    assert (await second.send("POST", f"/{second.call_id}/decline", {"scope": "this"})).status == 204
    await call.wait(lambda one: one.final != 0)
    assert call.final == 486


async def test_an_answered_call_cannot_be_declined(app: App) -> None:
    phone = FakePhone("sip:anna@pbx.test", "anna-password", instance=app.body["sip"]["instance"])
    await phone.start(app.world.sip, app.world.pbx.host)
    try:
        assert (await phone.wake()).status == 200
        async with asyncio.timeout(10):
            while not phone.calls:
                await app.state(wait=1)
        phone.calls[0].answer()
        await app.call.wait(lambda call: call.final == 200)
        assert await app.state() == "answered"
        declined = await app.send("POST", f"/{app.call_id}/decline", {})
        assert (declined.status, declined.problem) == (409, "call-over")
        progress = await app.send("POST", f"/{app.call_id}/progress")
        assert (progress.status, progress.problem) == (409, "call-over")
    finally:
        app.call.hang_up()
        await phone.sleep()


async def test_another_phone_reads_that_it_was_answered_elsewhere(app: App) -> None:
    fields = app.world.fields(installation_id=OTHER_INSTALLATION)
    other = (await app.world.api.enrol(fields)).json
    phone = FakePhone("sip:anna@pbx.test", "anna-password", instance=other["sip"]["instance"])
    await phone.start(app.world.sip, app.world.pbx.host)
    try:
        await phone.wake()
        async with asyncio.timeout(10):
            while not phone.calls:
                await app.state(wait=1)
        phone.calls[0].answer()
        await app.call.wait(lambda call: call.final == 200)
        assert await app.state() == "answered-elsewhere"
    finally:
        app.call.hang_up()
        await phone.sleep()


async def test_progress_is_taken_and_told(app: App) -> None:
    assert (await app.send("POST", f"/{app.call_id}/progress")).status == 204
    timeline = (await app.send("GET", f"/{app.call_id}/timeline")).json["events"]
    assert [one["event"] for one in timeline][:2] == ["invite", "push-sent"]
    assert all(one["text"] and one["after_ms"] >= 0 for one in timeline)


async def test_calls_are_listed_under_the_ids_of_the_pushes(app: App) -> None:
    await app.state(wait=1)
    listed = (await app.send("GET")).json["calls"]
    assert [one["call_id"] for one in listed] == [app.call_id]


async def test_nobody_reads_or_declines_the_calls_of_others(app: App) -> None:
    ben = (await app.world.api.enrol(app.world.fields("ben", "ben-password"))).json
    guest = (
        await app.world.api.enrol(
            app.world.fields(password="wrong", installation_id=OTHER_INSTALLATION), wait=0
        )
    ).json
    for stranger in (ben, guest):
        path = f"{PATH}/{stranger['id']}/calls/{app.call_id}"
        for method, rest, body in (
            ("GET", "", None),
            ("GET", "/timeline", None),
            ("POST", "/progress", None),
            ("POST", "/decline", {}),
        ):
            answer = await app.world.api.send(method, path + rest, body, stranger["secret"])
            assert answer.status in (401, 404), "a refused guest may be erased already"
            assert answer.problem in ("call-unknown", "secret-refused")
    assert await app.state() in ("waking", "held")


@pytest.mark.parametrize("call_id", ["nothing", "0f0f0f0f-0000-8000-8000-000000000000", "%2e%2e"])
async def test_an_unknown_call_is_unknown(app: App, call_id: str) -> None:
    answer = await app.send("GET", f"/{call_id}?wait=30")
    assert (answer.status, answer.problem) == (404, "call-unknown")


@pytest.mark.parametrize("wait", ["-1", "31", "soon", "1.5"])
async def test_a_wait_that_is_none_is_refused(app: App, wait: str) -> None:
    answer = await app.send("GET", f"/{app.call_id}?wait={wait}")
    assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, "?wait")


async def test_a_call_id_that_is_no_text_can_be_read(world: World) -> None:
    body = (await world.api.enrol(world.fields())).json
    (contact,) = world.pbx.contacts("anna")
    call = FakeCall(world.pbx, "sip:b\udcf6b@pbx.test", "sip:anna@pbx.test", "B\udcf6b")
    call.call_id = "c\udcfe@pbx"
    call.ring(contact)
    push = await world.pns.wait_for(lambda one: one.type == "call")
    call_id = push.payload["wakerobin"]["call_id"]
    assert push.payload["wakerobin"]["sip_call_id"] == "c\ufffd@pbx"
    path = f"{PATH}/{body['id']}/calls"
    answer = await world.api.send("GET", f"{path}/{call_id}", None, body["secret"])
    assert (answer.status, answer.json["sip_call_id"]) == (200, "c\ufffd@pbx")
    listed = await world.api.send("GET", path, None, body["secret"])
    assert [one["call_id"] for one in listed.json["calls"]] == [call_id]
    timeline = await world.api.send("GET", f"{path}/{call_id}/timeline", None, body["secret"])
    assert timeline.status == 200
