"""Text messages between real programs: Kamailio is the PBX, SIPp and baresip write, baresip reads."""

from __future__ import annotations

import asyncio

import pytest

from tests.interop.peers.baresip import Baresip, PhoneAccount
from tests.interop.peers.lab import Lab
from tests.interop.peers.linphone import Linphone
from tests.interop.peers.network import PATIENCE, until
from tests.interop.peers.scene import CALLER, USERS, Scene, a_scene
from tests.interop.peers.wakerobin import Installation


def texts(phone: Baresip) -> list[str]:
    """The texts that a phone got, in order."""
    return [m.body.strip() for m in phone.messages() if not m.sent and m.start_line.startswith("MESSAGE ")]


async def wait_texts(phone: Baresip, *expected: str) -> None:
    """Wait until a phone has got exactly these."""
    await until(
        lambda: texts(phone) == list(expected), what=f"{expected} at {phone.name}, not {texts(phone)}"
    )


async def wait_empty(scene: Scene, one: Installation) -> None:
    """Wait until nothing waits for an installation any more."""
    never = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(PATIENCE):
        while (await scene.server.of(one, "GET", "/messages")).body["messages"]:
            await asyncio.wait([never], timeout=0.05)


async def friend_of_alice(scene: Scene) -> Baresip:
    """The phone of the caller, at the PBX itself; he writes to alice."""
    account = PhoneAccount(CALLER, USERS[CALLER], scene.pbx.address)
    phone = scene.lab.keep(Baresip(*scene.lab.place(), [account]))
    phone.friend = "sip:alice@pbx.test"
    await phone.wake()
    await phone.wait_registered()
    return phone


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_message_wakes_a_sleeping_phone_which_gets_it(lab: Lab, transport: str) -> None:
    scene = await a_scene(lab)
    await scene.pbx.option("invite_auth", 1)
    alice = await scene.enrol(transport=transport)
    phone = scene.sleeping_phone(transport=transport)
    writer = await scene.calls("uac_message", transport=transport)
    await writer.succeeded()
    push = await scene.pns.wait_push(alice.notice_token, "message")
    assert (push.status, push.push_type) == (200, "alert")
    assert push.payload["wakerobin"]["from"] == {"uri": "sip:bob@pbx.test", "number": "", "name": "Bob"}
    assert push.payload["aps"]["alert"]["body"] == "New message from Bob."
    await phone.wake()
    await wait_texts(phone, "message no. 1")
    await wait_empty(scene, alice)


async def test_phones_write_to_each_other_through_the_server_and_the_pbx(lab: Lab) -> None:
    scene = await a_scene(lab)
    await scene.pbx.option("invite_auth", 1)
    alice = await scene.enrol()
    phone = scene.sleeping_phone()
    phone.friend = "sip:bob@pbx.test"
    await phone.wake()
    await phone.wait_registered()
    other = await friend_of_alice(scene)
    await phone.write("Are you there?")
    await wait_texts(other, "Are you there?")
    await other.write("Here I am")
    await wait_texts(phone, "Here I am")
    await wait_empty(scene, alice)
    assert scene.pns.to(alice.notice_token, "message") == [], "the phone had it before its push was due"


async def test_linphone_s_own_messages_are_told_from_its_receipts(lab: Lab) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol()
    bob = lab.keep(Linphone(*lab.place(), CALLER, USERS[CALLER], scene.pbx.address))
    await bob.wake()
    await bob.wait_registered()
    await bob.command("message sip:alice@pbx.test Hello there")
    await scene.pns.wait_push(alice.notice_token, "message")
    phone = lab.keep(Linphone(*lab.place(), "alice", USERS["alice"], scene.server.address))
    await phone.wake()
    message = await phone.wait_message("MESSAGE")
    assert message.body.strip() == "Hello there"
    # What alice's linphone says of it goes to bob through us; what bob's says waits for her in silence.
    receipt = await bob.wait_message("MESSAGE")
    assert receipt.header("Content-Type") == "message/imdn+xml"
    await phone.vanish()
    await scene.server.of(alice, "POST", "/messages", {"to": "bob", "body": "By the API"})
    never = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(PATIENCE):
        while not (found := (await scene.server.of(alice, "GET", "/messages")).body["messages"]):
            await asyncio.wait([never], timeout=0.05)
    assert {one["kind"] for one in found} == {"receipt"}
    assert all("imdn" in one["body"] for one in found)
    assert len(scene.pns.to(alice.notice_token, "message")) == 1


async def test_an_app_writes_and_reads_by_the_api_alone(lab: Lab) -> None:
    scene = await a_scene(lab)
    await scene.pbx.option("invite_auth", 1)
    alice = await scene.enrol()
    other = await friend_of_alice(scene)
    words = {"to": "bob", "body": "By the API", "message_id": "1"}
    assert (await scene.server.of(alice, "POST", "/messages", words)).status == 202
    await wait_texts(other, "By the API")
    never = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(PATIENCE):
        while (await scene.server.of(alice, "GET", "/messages/sent/1")).body["state"] != "sent":
            await asyncio.wait([never], timeout=0.05)
    await other.write("And back")
    await scene.pns.wait_push(alice.notice_token, "message")
    (message,) = (await scene.server.of(alice, "GET", "/messages")).body["messages"]
    assert message["body"] == "And back"


async def test_a_message_that_was_accepted_survives_kill_nine_and_comes_once(lab: Lab) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol()
    writer = await scene.calls("uac_message", count=3)
    await writer.succeeded()
    await scene.server.restart()
    phone = scene.sleeping_phone()
    await scene.pns.wait_push(alice.notice_token, "message")
    await phone.wake()
    await wait_texts(phone, "message no. 1", "message no. 2", "message no. 3")
    await wait_empty(scene, alice)
    await scene.server.restart()
    await phone.vanish()
    await phone.wake()
    await phone.wait_registered()
    late = await scene.calls("uac_message")
    await late.succeeded()
    await until(lambda: len(texts(phone)) == 4, what="the message that came last")
