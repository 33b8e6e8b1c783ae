"""Calls in disorder: phones come, go, move and say anything; callers give up; messages are lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from random import Random
from typing import Any

from tests.system.calls_world import PBX, World
from wakerobin.core.call import CallPolicy
from wakerobin.core.pushes import Accepted, Outcome, PushMessage, Rejected
from wakerobin.core.values import Account, Flow, PushRegistration, Transport
from wakerobin.testing.pbx_call import FakeCall
from wakerobin.testing.phone import FakePhone
from wakerobin.testing.phone_call import PhoneCall

LOST = 0.04
REFUSALS = (486, 486, 480, 603, 600, 606, 404, 302, 500, 401)


class Storm:
    """One account, three phones; everything by chance, and the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.world = World(call=CallPolicy(ring_timeout=60.0, decline_all=seed % 2 == 0))
        self.phones: list[FakePhone] = []
        self.calls: list[FakeCall] = []
        self.registrations: list[PushRegistration] = []
        self._came: list[tuple[FakePhone, PhoneCall, float]] = []
        self._left: list[tuple[FakePhone, float]] = []
        """When phones left the flow that they had."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(self) -> None:
        """Enrol, and make the phones; one of each transport, and one more."""
        account: Account = await self.world.enrol(registrations=3)
        self.registrations = self.world.registrations(account)
        for number, registration in enumerate(self.registrations):
            transport = Transport.TCP if number == 1 else Transport.UDP
            phone = self.world.phone(
                address=f"203.0.113.{number + 1}", instance=registration.sip_instance, transport=transport
            )
            phone.on_call = partial(self._behave, phone)
            self.phones.append(phone)
        self.world.pushes.outcome = self._pushed
        self.world.wire.drops = self._drops

    def one_call(self) -> None:
        """Let the PBX call; what happens to the call happens in the minute after."""
        if not self.world.pbx.contacts("alice"):
            return
        call = self.world.pbx.call("alice")
        self.calls.append(call)
        for phone in self.phones:
            for _ in range(self.chance.choice((0, 1, 1, 2))):
                self._later(40.0, partial(self._phone_does_something, phone))
        if self.chance.random() < 0.4:
            self._later(50.0, lambda: None if call.final else call.cancel("SIP;cause=487"))
        if self.chance.random() < 0.2:
            self._later(30.0, lambda: self._decline(call))
        self._later(80.0, lambda: self._hang_up(call))

    def settle(self) -> None:
        """Let no message be lost from now on."""
        self.world.wire.drops = lambda _flow, _data: False

    def finals(self) -> Counter[str]:
        """Return how many different final responses went to the PBX, for each call."""
        sent = [m for m in self.world.sent_to(PBX[0]) if not m.is_request and m.cseq.method == "INVITE"]
        return Counter(
            call for call, _, _ in {(m.call_id, m.status, m.to_tag) for m in sent if m.status >= 200}
        )

    def left_alone(self) -> list[PhoneCall]:
        """Return the calls that have no end on a phone that could be told of it all the time."""
        last = {(id(phone), call.call_id): (phone, call, at) for phone, call, at in self._came}
        return [
            call
            for phone, call, at in last.values()
            if not call.is_over and not any(who is phone and when >= at for who, when in self._left)
        ]

    # What may happen

    def _drops(self, flow: Flow, data: bytes) -> bool:
        is_datagram = not flow.connection
        return is_datagram and not data.startswith(b"REGISTER") and self.chance.random() < LOST

    def _pushed(self, _message: PushMessage) -> Outcome | None:
        return self.chance.choice((Accepted(), Accepted(), Accepted(), Rejected("BadDeviceToken"), None))

    def _behave(self, phone: FakePhone, call: PhoneCall) -> None:
        """What a phone does with a call: nothing, or rings, and answers or refuses it or does not."""
        self._came.append((phone, call, self.world.clock.monotonic()))
        if self.chance.random() < 0.15:
            return
        self._later(2.0, lambda: self._if_open(call, PhoneCall.ring))
        does = self.chance.random()
        if does < 0.45:
            self._later(20.0, lambda: self._if_open(call, PhoneCall.answer))
        elif does < 0.75:
            status = self.chance.choice(REFUSALS)
            self._later(20.0, lambda: self._if_open(call, lambda one: one.decline(status)))

    def _phone_does_something(self, phone: FakePhone) -> None:
        does = self.chance.random()
        if does < 0.7:
            self._start(phone.register())
            return
        self._left.append((phone, self.world.clock.monotonic()))
        if does < 0.8:
            self._start(phone.unregister())
        elif does < 0.9 and phone.transport is Transport.TCP:
            endpoint: Any = phone.endpoint
            endpoint.cut_all()
        else:
            host, port = phone.endpoint.local_address(phone.transport, "")
            self.world.move(phone, host, port + 1)
            self._start(phone.register())

    def _decline(self, call: FakeCall) -> None:
        registration = self.chance.choice(self.registrations)
        found = self.world.store.read(lambda tx: tx.calls.of_account(0, 1000))
        record = next((one for one in found if one.sip_call_id == call.call_id), None)
        if record is not None:
            call_id = self.world.switchboard.call_id_for(registration, record)
            everywhere = self.chance.random() < 0.5
            self.world.switchboard.decline(registration, call_id, everywhere=everywhere, status=486)

    def _hang_up(self, call: FakeCall) -> None:
        if call.answer is not None and not call.is_over:
            call.hang_up()
        elif not call.final:
            self._later(80.0, lambda: self._hang_up(call))  # somebody may still take it

    def _if_open(self, call: PhoneCall, do: Callable[[PhoneCall], None]) -> None:
        if not call.is_over and call.answered_with is None:
            do(call)

    def _later(self, within: float, do: Callable[[], Any]) -> None:
        self.world.clock.call_at(self.world.clock.monotonic() + self.chance.random() * within, do)

    def _start(self, work: Coroutine[Any, Any, Any]) -> None:
        async def quietly() -> None:
            with contextlib.suppress(ConnectionError, TimeoutError):
                await work

        task = asyncio.create_task(quietly())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
