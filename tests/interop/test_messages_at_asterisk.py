"""Asterisk writes, and tells of voice messages without being asked: what most PBXs at home are."""

from __future__ import annotations

import asyncio

import pytest

from tests.interop.peers.asterisk import Asterisk
from tests.interop.peers.baresip import Baresip, PhoneAccount
from tests.interop.peers.debian import NoMirrorError
from tests.interop.peers.lab import Lab
from tests.interop.peers.network import PATIENCE, until
from tests.interop.peers.pushes import PushEnd
from tests.interop.peers.wakerobin import Wakerobin

USERS = {"alice": "pw-alice", "bob": "pw-bob"}
_VOICEMAIL = """
[voicemail-{user}]
type = endpoint
context = nowhere
disallow = all
allow = ulaw
incoming_mwi_mailbox = {user}@voicemail
"""
_NOTIFY = """\
NOTIFY sip:{place} SIP/2.0
Via: SIP/2.0/UDP {here};branch=z9hG4bK{number}
Max-Forwards: 70
From: <sip:voicemail-{user}@{here}>;tag={number}
To: <sip:{user}@{place}>
Call-ID: voicemail-{number}
CSeq: 1 NOTIFY
Contact: <sip:voicemail@{here}>
Event: message-summary
Subscription-State: active
Content-Type: application/simple-message-summary
Content-Length: {length}

"""


class AsteriskWithMailboxes(Asterisk):
    """Each user has a mailbox, which a voicemail server beside it tells of: `set_mailbox` is that one."""

    async def start(self) -> None:
        """Start it, with all that mailboxes and messages need beside calls."""
        for user in USERS:
            mailbox = f"aors = {user}\nmailboxes = {user}@voicemail\n"
            self._users = self._users.replace(f"aors = {user}\n", mailbox) + _VOICEMAIL.format(user=user)
        await super().start()
        for module in ("res_pjsip_mwi_body_generator", "res_pjsip_mwi"):
            said = await self.ask(f"module load {module}.so")
            assert "Loaded" in said, said
        await self.ask("dialplan add extension write-alice,1,MessageSend,pjsip:alice into phones")

    async def set_mailbox(self, user: str, new: int, old: int) -> None:
        """Say how many messages a user has; Asterisk tells it to his phones."""
        body = f"Messages-Waiting: {'yes' if new else 'no'}\nVoice-Message: {new}/{old} (0/0)\n"
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[bytes] = loop.create_future()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Answer(answered), local_addr=(self.ip, self.port + 2), remote_addr=self.place
        )
        here = f"{self.ip}:{self.port + 2}"
        head = _NOTIFY.format(
            place=self.address, here=here, user=user, number=f"{new}{old}", length=len(body) + 2
        )
        transport.sendto((head + body).replace("\n", "\r\n").encode())
        async with asyncio.timeout(PATIENCE):
            answer = await answered
        transport.close()
        assert answer.startswith(b"SIP/2.0 200"), answer


class _Answer(asyncio.DatagramProtocol):
    """Waits for one datagram."""

    def __init__(self, answered: asyncio.Future[bytes]) -> None:
        self._answered = answered

    def datagram_received(self, data: bytes, _address: object) -> None:
        if not self._answered.done():
            self._answered.set_result(data)


async def the_cast(lab: Lab) -> tuple[AsteriskWithMailboxes, PushEnd, Wakerobin]:
    try:
        pbx = await lab.start(AsteriskWithMailboxes(*lab.place(), USERS))
    except NoMirrorError as nowhere:
        pytest.skip(f"without Asterisk: {nowhere}")
    pns = await lab.start(PushEnd(lab.folder("pns"), lab.place()[0]))
    server = Wakerobin(*lab.place(), pns.options(), ["pbx.test", pbx.ip])
    return pbx, pns, await lab.start(server)


def phone_of(lab: Lab, user: str, outbound: str) -> Baresip:
    return lab.keep(Baresip(*lab.place(), [PhoneAccount(user, USERS[user], outbound)]))


async def test_a_voice_message_at_asterisk_is_pushed_with_its_number(lab: Lab) -> None:
    pbx, pns, server = await the_cast(lab)
    alice = await server.enrol("alice", "pw-alice", pbx.address)
    await pbx.set_mailbox("alice", 2, 1)
    push = await pns.wait_push(alice.notice_token, "mwi")
    assert push.payload["aps"]["badge"] == 2
    assert push.payload["aps"]["alert"]["body"] == "2 new voice messages."
    assert (await server.of(alice, "GET", "/mwi")).body == {"waiting": True, "new": 2, "old": 1, "urgent": 0}
    await pbx.set_mailbox("alice", 0, 3)
    quiet = await pns.wait_push(alice.notice_token, "mwi", count=2)
    assert quiet.payload["aps"] == {"badge": 0}


async def test_a_message_through_the_dialplan_of_asterisk_wakes_the_phone(lab: Lab) -> None:
    pbx, pns, server = await the_cast(lab)
    alice = await server.enrol("alice", "pw-alice", pbx.address)
    bob = phone_of(lab, "bob", pbx.address)
    bob.friend = "sip:write-alice@pbx.test"
    await bob.wake()
    await bob.wait_registered()
    await bob.write("Lunch?")
    push = await pns.wait_push(alice.notice_token, "message")
    assert "Lunch" not in str(push.payload)
    phone = phone_of(lab, "alice", server.address)
    await phone.wake()
    message = await phone.wait_message("MESSAGE")
    assert message.body.strip() == "Lunch?"
    await until(
        lambda: any(m.sent and m.status == 200 for m in phone.messages() if m.method == "MESSAGE"), what="200"
    )
