"""A binding at Asterisk, which rewrites Contacts, grants a second less, and asks and asks for a password."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.interop.peers.asterisk import Asterisk
from tests.interop.peers.baresip import Baresip, PhoneAccount
from tests.interop.peers.debian import NoMirrorError
from tests.interop.peers.lab import Lab
from tests.interop.peers.network import PATIENCE, until
from tests.interop.peers.pushes import PushEnd
from tests.interop.peers.wakerobin import Installation, Wakerobin
from tests.interop.peers.wire import Message

USERS = {"alice": "pw-alice", "bob": "pw-bob"}


@dataclass(frozen=True, slots=True)
class Scene:
    """An Asterisk, a push service, and the server between them."""

    lab: Lab
    pbx: Asterisk
    pns: PushEnd
    server: Wakerobin

    async def enrol(self, **fields: Any) -> Installation:
        return await self.server.enrol("alice", "pw-alice", self.pbx.address, **fields)

    def registers(self) -> list[Message]:
        """The REGISTERs that the PBX got from the server."""
        found = [
            one for one in self.pbx.messages() if not one.sent and one.start_line.startswith("REGISTER ")
        ]
        return [one for one in found if one.source.split(":")[1] in (self.server.ip, "127.0.0.1")]

    async def desk_phone(self, user: str = "alice") -> Baresip:
        """A phone at the PBX itself, registered."""
        account = PhoneAccount(user, USERS[user], self.pbx.address)
        phone = self.lab.keep(Baresip(*self.lab.place(), [account]))
        await phone.wake()
        await phone.wait_registered()
        return phone


async def a_scene(lab: Lab, *, sip: Mapping[str, object] | None = None, **options: Any) -> Scene:
    try:
        pbx = await lab.start(Asterisk(*lab.place(), USERS, **options))
    except NoMirrorError as nowhere:
        pytest.skip(f"without Asterisk: {nowhere}")
    pns = await lab.start(PushEnd(lab.folder("pns"), lab.place()[0]))
    server = Wakerobin(*lab.place(), pns.options(), ["pbx.test", pbx.ip], sip=sip)
    return Scene(lab, pbx, pns, await lab.start(server))


async def test_a_binding_that_asterisk_rewrites_is_known_again_and_ends_with_its_second_less(
    lab: Lab,
) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol(transport="tcp")
    [contact] = await scene.pbx.contacts("alice")
    assert f"@{scene.server.ip}:{scene.server.port}" not in contact.uri, (
        "it is where the connection came from"
    )
    assert abs(contact.expires_at - time.time() - 600) < 5
    granted = (await scene.server.of(alice, "GET")).body["binding"]["expires_at"]
    assert abs(granted - time.time() - 599) < 5
    assert (await scene.server.of(alice, "DELETE")).status in (202, 204)
    await scene.pbx.wait_contacts("alice", 0)


async def test_a_wrong_password_is_tried_once_though_asterisk_asks_for_ever(lab: Lab) -> None:
    scene = await a_scene(lab)
    answer = await scene.server.try_enrol(Installation("alice"), "wrong-password", scene.pbx.address)
    assert (answer.status, answer.problem) == (422, "credentials-refused")
    assert len(scene.registers()) == 2, "one challenge, one answer, no guessing"
    unknown = await scene.server.try_enrol(Installation("mallory"), "any-password", scene.pbx.address)
    assert unknown.problem == "credentials-refused", "Asterisk does not tell the two apart"


async def test_a_sleeping_account_stays_reachable_for_qualify_and_nobody_is_woken(lab: Lab) -> None:
    scene = await a_scene(lab, qualify_s=1)
    alice = await scene.enrol()
    await scene.pbx.wait_said("Endpoint alice is now Reachable")
    await scene.pbx.wait_message("OPTIONS", sent=True, count=3)
    answers = [one for one in scene.pbx.messages() if one.method == "OPTIONS" and one.status and not one.sent]
    assert {one.status for one in answers} == {200}
    assert scene.pns.to(alice.call_token) == []


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_after_a_restart_of_asterisk_the_phone_can_be_called_again(lab: Lab, transport: str) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol(transport=transport)
    before = len(scene.registers())
    await scene.pbx.restart()
    if transport == "tcp":  # it remembers the contact, but its connection is gone
        await until(lambda: len(scene.registers()) > before, within=3 * PATIENCE, what="a new REGISTER")
        await scene.pbx.wait_message("SIP/2.0 200", sent=True, count=2)
    caller = await scene.desk_phone("bob")
    await caller.dial("sip:alice@pbx.test")
    await scene.pns.wait_push(alice.call_token)
    await caller.hang_up()
    await caller.wait_idle()


async def test_a_desk_phone_rings_beside_the_woken_one_and_the_first_to_answer_talks(lab: Lab) -> None:
    scene = await a_scene(lab)
    alice = await scene.enrol()
    desk = await scene.desk_phone()
    assert len(await scene.pbx.contacts("alice")) == 2
    account = PhoneAccount("alice", "pw-alice", scene.server.address)
    phone = lab.keep(Baresip(*lab.place(), [account]))
    caller = await scene.desk_phone("bob")
    await caller.dial("sip:alice@pbx.test")
    await scene.pns.wait_push(alice.call_token)
    await desk.wait_ringing()
    await phone.wake()
    await phone.wait_ringing()
    await phone.answer()
    await caller.wait_established()
    await desk.wait_idle()
    await caller.hang_up()
    await phone.wait_idle()


async def test_where_the_one_place_is_taken_the_desk_phone_keeps_it(lab: Lab) -> None:
    scene = await a_scene(lab, max_contacts=1)
    await scene.desk_phone()
    before = await scene.pbx.contacts("alice")
    answer = await scene.server.try_enrol(Installation("alice"), "pw-alice", scene.pbx.address)
    assert answer.status == 422, answer
    assert len(scene.registers()) == 2
    assert await scene.pbx.contacts("alice") == before
