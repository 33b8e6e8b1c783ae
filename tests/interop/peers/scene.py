"""The whole cast of a test: a PBX, a push service, the server between them; callers and phones on demand."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.interop.peers.baresip import Baresip, PhoneAccount
from tests.interop.peers.kamailio import Kamailio
from tests.interop.peers.lab import Lab
from tests.interop.peers.network import PATIENCE
from tests.interop.peers.pushes import PushEnd
from tests.interop.peers.sipp import Call, Sipp
from tests.interop.peers.wakerobin import Installation, Wakerobin
from tests.interop.peers.wire import Message

CALLER = "bob"
USERS = {"alice": "pw-alice", CALLER: "pw-bob"}


@dataclass(frozen=True, slots=True)
class Scene:
    """Made by `a_scene`. Everything in it ends with its laboratory."""

    lab: Lab
    pbx: Kamailio
    pns: PushEnd
    server: Wakerobin

    async def enrol(self, user: str = "alice", **fields: Any) -> Installation:
        """Enrol an installation; the account is registered at the PBX when this returns."""
        one = await self.server.enrol(user, f"pw-{user}", self.pbx.address, **fields)
        for contact in await self.pbx.contacts(user):
            name, _, place = contact.uri.removeprefix("sip:").partition("@")
            if place.startswith(self.server.ip):
                self.server.keep_secret(name)  # whoever knows it can make the phone ring
        return one

    async def calls(
        self,
        scenario: str,
        *,
        callees: Sequence[str] = ("alice",),
        transport: str = "udp",
        count: int = 1,
        concurrent: int | None = None,
        delay_ms: int = 0,
        reinvite: bool = False,
        status: int = 0,
    ) -> Sipp:
        """Let SIPp call through the PBX as a scenario says."""
        caller = Sipp(
            scenario,
            *self.lab.place(),
            target=self.pbx.place,
            transport=transport,
            calls=[Call(CALLER, USERS[CALLER], callee) for callee in callees],
            count=count,
            rate=200,
            concurrent=concurrent,
            delay_ms=delay_ms,
            reinvite=reinvite,
            status=status,
        )
        return await self.lab.start(caller)

    def sleeping_phone(
        self, user: str = "alice", *, transport: str = "udp", answers: bool = False, expires: int = 300
    ) -> Baresip:
        """A phone with its normal password and the server as outbound proxy. `wake` it by the push."""
        account = PhoneAccount(
            user,
            f"pw-{user}",
            self.server.address,
            transport=transport,
            answers=answers,
            expires=expires,
        )
        return self.lab.keep(Baresip(*self.lab.place(), [account]))

    async def awake_phone(
        self, user: str = "alice", *, transport: str = "udp", answers: bool = False, expires: int = 300
    ) -> Baresip:
        """A phone that has registered with the server already."""
        phone = self.sleeping_phone(user, transport=transport, answers=answers, expires=expires)
        await phone.wake()
        await phone.wait_registered()
        return phone

    async def caller_with_a_phone(self) -> Baresip:
        """A caller who has a phone at the PBX, beside the server, and hangs up when told to."""
        account = PhoneAccount(CALLER, USERS[CALLER], self.pbx.address)
        phone = self.lab.keep(Baresip(*self.lab.place(), [account]))
        await phone.wake()
        await phone.wait_registered()
        return phone

    async def desk_phone(self, scenario: str, *, user: str = "alice", delay_ms: int = 100) -> Sipp:
        """A phone that registers with the PBX itself, beside the server, and then follows a scenario."""
        ip, port = self.lab.place()
        desk = await self.lab.start(Sipp(scenario, ip, port, delay_ms=delay_ms, keys={"user": "desk"}))
        registering = Sipp(
            "register",
            ip,
            port + 1,
            target=self.pbx.place,
            calls=[Call(user, USERS.get(user, f"pw-{user}"))],
            keys={"contact_port": port, "expires": 600},
        )
        await (await self.lab.start(registering)).succeeded()
        return desk

    async def outcome(self, one: Installation) -> tuple[str, list[str]]:
        """What became of the newest call of an installation: its state, and the events of its timeline.

        The server writes a call's end just after it: what still rings is looked at again for a while.
        """
        never = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(PATIENCE):
            while (call := await self.server.call_of(one))["state"] in ("waking", "offered"):
                await asyncio.wait([never], timeout=0.02)
        told = await self.server.timeline(one, call["call_id"])
        return call["state"], [event for event, _ in told]

    async def wait_state(self, one: Installation, state: str) -> None:
        """Wait until the server has written that the newest call of an installation is in this state."""
        never = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(PATIENCE):
            while (await self.server.call_of(one))["state"] != state:
                await asyncio.wait([never], timeout=0.02)

    async def wait_end(self, one: Installation, problem: str) -> None:
        """Wait until a push registration has ended in this way."""
        never = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(PATIENCE):
            while (await self.server.of(one, "GET")).problem != problem:
                await asyncio.wait([never], timeout=0.02)

    async def wait_binding(self, one: Installation, state: str, within: float = 20) -> dict[str, Any]:
        """Wait until the server says that an installation's account is in this state at the PBX."""
        never = asyncio.get_running_loop().create_future()
        binding: dict[str, Any] = {}
        try:
            async with asyncio.timeout(within):
                while binding.get("state") != state:
                    binding = (await self.server.of(one, "GET")).body["binding"]
                    await asyncio.wait([never], timeout=0.05)
        except TimeoutError:
            raise TimeoutError(f"not {state} within {within} s: {binding}") from None
        return binding

    def finals(self, method: str = "INVITE") -> set[tuple[str, int, str]]:
        """What the PBX was told in the end, retransmissions left out: (Call-ID and CSeq, status, To tag)."""
        found = set()
        for message in self.pbx.messages():
            status = message.status
            if message.sent or status is None or status < 200 or message.method != method:
                continue
            if self.is_from_server(message):
                tag = message.header("To").partition("tag=")[2]
                found.add((f"{message.call_id} {message.header('CSeq')}", status, tag))
        return found

    def is_from_server(self, message: Message) -> bool:
        """Whether the PBX got this message from the server's address."""
        return message.source.split(":")[1] == self.server.ip


async def a_scene(
    lab: Lab,
    *,
    users: Mapping[str, str] | None = None,
    sha256: bool = False,
    max_expires: int = 3600,
    one_time_nonce: bool = False,
    sip: Mapping[str, object] | None = None,
    app: Mapping[str, object] | None = None,
    life: Mapping[str, object] | None = None,
) -> Scene:
    """Start a PBX with these users (and the caller), a push service, and the server under test."""
    known = {**USERS, **(users or {})}
    pbx = Kamailio(*lab.place(), known, sha256=sha256, max_expires=max_expires, one_time_nonce=one_time_nonce)
    await lab.start(pbx)
    ip, _ = lab.place()
    pns = await lab.start(PushEnd(lab.folder(f"pns-{secrets.token_hex(4)}"), ip))
    server = Wakerobin(*lab.place(), pns.options(), ["pbx.test", pbx.ip], sip=sip, app=app, life=life)
    return Scene(lab, pbx, pns, await lab.start(server))
