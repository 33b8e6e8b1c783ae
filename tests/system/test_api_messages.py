"""Messages and the mailbox by the API, with a real server, a PBX that writes and a push service."""

from __future__ import annotations

import asyncio
import base64
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system.served import OTHER_INSTALLATION, PATH, Answer, World, serving
from tests.system.writing import tell_mailbox, write
from wakerobin.core.values import Transport
from wakerobin.testing.phone import FakePhone


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with serving(tmp_path, "127.55.1.1") as running:
        yield running


class App:
    """An enrolled app."""

    def __init__(self, world: World, body: dict[str, Any]) -> None:
        self.world, self.id, self.secret = world, body["id"], body["secret"]

    async def send(self, method: str, rest: str, body: Any = None) -> Answer:
        return await self.world.api.send(method, f"{PATH}/{self.id}{rest}", body, self.secret)

    async def messages(self, query: str = "") -> list[dict[str, Any]]:
        answer = await self.send("GET", f"/messages{query}")
        assert answer.status == 200, answer.text
        found: list[dict[str, Any]] = answer.json["messages"]
        return found

    async def texts(self, query: str = "") -> list[str]:
        return [str(one["body"]) for one in await self.messages(query)]


@pytest.fixture
async def app(world: World) -> App:
    return App(world, (await world.api.enrol(world.fields())).json)


async def eventually(check: Callable[[], Awaitable[bool]], within: float = 10.0) -> None:
    """Ask again until it is so."""
    async with asyncio.timeout(within):
        while not await check():
            await asyncio.sleep(0)


async def test_a_pushed_app_fetches_what_was_written_and_erases_it_by_asking_for_more(app: App) -> None:
    assert (await write(app.world.pbx, "anna", "Grüße 👋")).status == 202
    push = await app.world.pns.wait_for(lambda one: one.payload["wakerobin"]["type"] == "message")
    payload = push.payload["wakerobin"]
    assert push.headers["apns-push-type"] == "alert"
    assert "apns-collapse-id" not in push.headers
    assert push.payload["aps"]["alert"]["body"] == "New message from Ben."
    assert payload["from"] == {"uri": "sip:+4930123456@pbx.test", "number": "+4930123456", "name": "Ben"}
    assert "Grüße" not in str(push.payload)
    (message,) = await app.messages()
    assert message["message_id"] == payload["message_id"]
    assert (message["body"], message["body_base64"], message["kind"]) == ("Grüße 👋", None, "text")
    assert message["from"] == payload["from"]
    assert message["content_type"] == "text/plain;charset=UTF-8"
    assert message["expires_at"] - message["received_at"] == 14 * 24 * 3600
    assert await app.messages() == [message], "it has not said yet that it has it"
    assert await app.messages(f"?after={message['message_id']}") == []
    assert await app.messages() == []


async def test_a_letter_that_is_too_long_does_not_end_the_connection_that_all_calls_come_over(
    world: World,
) -> None:
    app = App(world, (await world.api.enrol(world.fields(transport="tcp"))).json)
    (contact,) = world.pbx.contacts("anna")
    assert contact.flow.transport is Transport.TCP
    for size in (49_153, 70_000, 1_000_000):
        assert (await write(world.pbx, "anna", "x" * size)).status == 413
    assert (await write(world.pbx, "anna", "x" * 49_152)).status == 202
    assert world.pbx.contacts("anna")[0].flow == contact.flow
    assert [len(one) for one in await app.texts()] == [49_152]


async def test_pages_come_in_order_and_what_is_not_asked_for_stays(app: App) -> None:
    for number in range(5):
        await write(app.world.pbx, "anna", f"no. {number}")
    first = await app.messages("?limit=2")
    assert [one["body"] for one in first] == ["no. 0", "no. 1"]
    last = first[-1]["message_id"]
    assert await app.texts(f"?limit=2&after={last}") == ["no. 2", "no. 3"]
    assert await app.texts() == ["no. 2", "no. 3", "no. 4"]
    assert await app.texts("?after=00000000-0000-8000-8000-000000000000") == ["no. 2", "no. 3", "no. 4"]
    refused = await app.send("GET", "/messages?limit=1000")
    assert (refused.status, refused.problem) == (422, "invalid-field")


async def test_one_message_can_be_read_and_erased_by_its_name(app: App) -> None:
    await write(app.world.pbx, "anna", b"\x00\xff", ("Content-Type", "application/octet-stream"))
    (message,) = await app.messages()
    assert message["body"] is None
    assert base64.b64decode(message["body_base64"]) == b"\x00\xff"
    path = f"/messages/{message['message_id']}"
    assert (await app.send("GET", path)).json == message
    assert (await app.send("DELETE", path)).status == 204
    for method in ("GET", "DELETE"):
        gone = await app.send(method, path)
        assert (gone.status, gone.problem) == (404, "message-unknown")


async def test_an_app_that_enrols_with_a_new_password_finds_what_waited_before(
    app: App, world: World
) -> None:
    await write(world.pbx, "anna", "before the change")
    world.pbx.set_password("anna", "another-password")
    answer = await world.api.enrol(world.fields(password="another-password"))
    again = App(world, answer.json)
    assert again.id != app.id
    assert await again.texts() == ["before the change"]
    assert (await app.send("GET", "/messages")).status == 410


async def test_what_its_writer_has_compressed_is_read_where_that_can_be_told(app: App) -> None:
    packed, unknown = zlib.compress("Grüße".encode()), b"\x0b\x02\x80"
    plain, deflate = ("Content-Type", "text/plain"), ("Content-Encoding", "deflate")
    await write(app.world.pbx, "anna", packed, plain, deflate)
    await write(app.world.pbx, "anna", unknown, plain, ("Content-Encoding", "br"))
    first, second = await app.messages()
    assert (first["body"], first["content_encoding"]) == ("Grüße", None)
    assert (second["body"], second["content_encoding"]) == (None, "br")
    assert base64.b64decode(second["body_base64"]) == unknown


async def test_nobody_sees_the_messages_of_others(app: App, world: World) -> None:
    fields = world.fields("ben", "ben-password", installation_id=OTHER_INSTALLATION)
    other = App(world, (await world.api.enrol(fields)).json)
    await write(world.pbx, "anna", "for Anna")
    assert await other.messages() == []
    (message,) = await app.messages()
    assert (await other.send("GET", f"/messages/{message['message_id']}")).status == 404
    assert (await other.send("DELETE", f"/messages/{message['message_id']}")).status == 404
    stranger = await world.api.send("GET", f"{PATH}/{app.id}/messages", secret="wrs_wrong")
    assert (stranger.status, stranger.problem) == (401, "secret-refused")
    assert await app.messages() == [message]


async def test_what_was_fetched_is_not_sent_to_the_phone_and_what_the_phone_has_is_not_fetched(
    app: App,
) -> None:
    await write(app.world.pbx, "anna", "by the API")
    assert await app.texts() == ["by the API"]
    phone = FakePhone("sip:anna@pbx.test", "anna-password")
    await phone.start(app.world.sip, app.world.api.host)
    try:
        assert (await phone.register()).status == 200
        await write(app.world.pbx, "anna", "by SIP")

        async def is_taken() -> bool:
            return await app.texts() == ["by the API"]

        await eventually(is_taken)
        assert [one.body for one in phone.others] == [b"by SIP"]
    finally:
        await phone.sleep()


async def test_an_app_writes_by_the_api_and_reads_how_far_it_came(app: App) -> None:
    words = {"to": "sip:ben@pbx.test", "body": "On my way", "message_id": "42"}
    answer = await app.send("POST", "/messages", words)
    assert answer.status == 202
    assert answer.json["message_id"] == "42"

    async def is_sent() -> bool:
        return bool((await app.send("GET", "/messages/sent/42")).json["state"] == "sent")

    await eventually(is_sent)
    again = await app.send("POST", "/messages", words)
    assert again.json == {"message_id": "42", "state": "sent", "status": 202, "reason": ""}
    (taken,) = app.world.pbx.messages
    assert (taken.body, taken.uri, taken.from_.uri) == (b"On my way", "sip:ben@pbx.test", "sip:anna@pbx.test")
    nameless = await app.send(
        "POST", "/messages", {"to": "ben", "body": "<b>Hi</b>", "content_type": "text/html"}
    )
    assert nameless.status == 202
    assert nameless.json["message_id"]
    unknown = await app.send("GET", "/messages/sent/43")
    assert (unknown.status, unknown.problem) == (404, "message-unknown")


@pytest.mark.parametrize(
    "fields",
    [
        {"to": "sip:ben@pbx.test"},
        {"to": "", "body": "x"},
        {"to": "ben", "body": "x", "content_type": "text/plain\r\nEvil: yes"},
        {"to": "ben", "body": "x", "message_id": "../.."},
        {"to": "ben", "body": "x", "from": "sip:boss@pbx.test"},
    ],
)
async def test_what_cannot_be_sent_is_said_at_once(app: App, fields: dict[str, Any]) -> None:
    answer = await app.send("POST", "/messages", fields)
    assert (answer.status, answer.problem) == (422, "invalid-field")


async def test_the_mailbox_is_pushed_with_its_number_and_can_be_read(app: App) -> None:
    assert (await app.send("GET", "/mwi")).json == {"waiting": False, "new": 0, "old": 0, "urgent": 0}
    assert (await tell_mailbox(app.world.pbx, "anna", 2, 1)).status == 200
    push = await app.world.pns.wait_for(lambda one: one.payload["wakerobin"]["type"] == "mwi")
    assert push.payload["aps"]["badge"] == 2
    assert push.payload["aps"]["alert"]["body"] == "2 new voice messages."
    assert push.headers["apns-collapse-id"] == "mwi"
    said = {name: push.payload["wakerobin"][name] for name in ("waiting", "new", "old")}
    assert said == {"waiting": True, "new": 2, "old": 1}
    assert (await app.send("GET", "/mwi")).json == {**said, "urgent": 0}
    await tell_mailbox(app.world.pbx, "anna", 0, 3)
    quiet = await app.world.pns.wait_for(lambda one: one.payload["aps"] == {"badge": 0})
    assert quiet.headers["apns-priority"] == "5"


async def test_a_pbx_is_asked_about_mailboxes_where_the_app_says_so(tmp_path: Path) -> None:
    async with serving(tmp_path, "127.55.1.2", app={"mwi": "subscribe"}) as world:
        assert (await world.api.enrol(world.fields())).status == 201

        async def is_asked() -> bool:
            return any(one.method == "SUBSCRIBE" for one in world.pbx.strangers)

        await eventually(is_asked, within=20)
        asked = next(one for one in world.pbx.strangers if one.method == "SUBSCRIBE")
        assert (asked.uri, asked.get("event")) == ("sip:anna@pbx.test", "message-summary")


async def test_an_app_that_can_show_no_messages_is_not_pushed_for_them(app: App) -> None:
    changed = await app.send("PATCH", "", {"capabilities": {"messages": False, "voicemail": False}})
    assert changed.status == 200
    await write(app.world.pbx, "anna", "unseen")
    await tell_mailbox(app.world.pbx, "anna", 1, 0)
    rooms = app.world.server.rooms
    assert rooms is not None

    async def is_settled() -> bool:
        return rooms.ground.store.read(lambda tx: tx.outbox.queues()) == []

    await eventually(is_settled)
    kinds = {one.payload["wakerobin"]["type"] for one in app.world.pns.pushes}
    assert kinds.isdisjoint({"message", "mwi"})
    assert await app.texts() == ["unseen"]
