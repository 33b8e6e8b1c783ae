"""The fake PBX over real sockets: it rings, it is answered, it hangs up."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable

import pytest

from wakerobin.core.addresses import DestinationPolicy
from wakerobin.core.sip import digest
from wakerobin.core.sip.message import Message, respond
from wakerobin.core.sip.timers import Timers as SipTimers
from wakerobin.core.values import Flow, Transport
from wakerobin.net.clock import SystemClock
from wakerobin.net.endpoint import Endpoint
from wakerobin.net.wheel import Wheel
from wakerobin.ports.options import SipOptions
from wakerobin.ports.sip import ServerTransactionHandle
from wakerobin.services.dispatch.transactions import Transactions
from wakerobin.testing.pbx import FakePbx

HOST = "127.22.0.1"


class Phone:
    """A user agent by hand, one function for each thing that it does."""

    def __init__(self, pbx: FakePbx) -> None:
        loop = asyncio.get_running_loop()
        self._wheel = Wheel(loop)
        clock = SystemClock(loop)
        policy = DestinationPolicy(named=frozenset({HOST}))
        self.pbx = pbx
        self.endpoint = Endpoint(
            SipOptions(listen=(f"udp:{HOST}:0", f"tcp:{HOST}:0")), policy, clock, self._wheel
        )
        self.layer = Transactions(self.endpoint, self._wheel, clock, os.urandom, SipTimers())
        self.requests: list[ServerTransactionHandle] = []
        self.acks: list[Message] = []
        self.answer: Callable[[ServerTransactionHandle], None] = lambda _transaction: None
        self.layer.on_request = self._requested
        self.layer.on_ack = lambda ack, _flow: self.acks.append(ack)
        self.layer.on_cancel = self._cancelled
        self._cseq = 0

    async def start(self) -> None:
        await self.endpoint.start(self.layer)

    async def stop(self) -> None:
        await self.endpoint.close()
        self._wheel.close()

    def contact(self, transport: Transport) -> str:
        port = next(one.port for one in self.endpoint.listeners if one.transport is transport)
        return f"sip:alice@{HOST}:{port};transport={transport.value}"

    async def send(
        self,
        method: str,
        transport: Transport,
        password: str = "pw-alice",
        *,
        to: str = "sip:alice@pbx.test",
        call_id: str = "",
    ) -> Message:
        """Send a request, answer one challenge, return the final response."""
        flow = self.endpoint.flow_to(transport, self.pbx.host, self.pbx.port)
        uri = "sip:pbx.test" if method == "REGISTER" else to
        call_id = call_id or os.urandom(6).hex()
        response = await self._transact(method, uri, to, flow, transport, call_id, ())
        if response.status not in (401, 407):
            return response
        (challenge,) = digest.challenges(response)
        value = digest.answer(
            challenge,
            username="alice",
            ha1=digest.ha1(challenge.algorithm, "alice", challenge.realm, password),
            method=method,
            uri=uri,
            nc=1,
            cnonce="c",
        )
        header = "Proxy-Authorization" if challenge.proxy else "Authorization"
        return await self._transact(method, uri, to, flow, transport, call_id, ((header, value),))

    async def _transact(
        self,
        method: str,
        uri: str,
        to: str,
        flow: Flow,
        transport: Transport,
        call_id: str,
        more: tuple[tuple[str, str], ...],
    ) -> Message:
        self._cseq += 1
        headers = [
            ("Max-Forwards", "70"),
            ("From", "<sip:alice@pbx.test>;tag=phone"),
            ("To", f"<{to}>"),
            ("Call-ID", call_id),
            ("CSeq", f"{self._cseq} {method}"),
            ("Contact", f"<{self.contact(transport)}>"),
            *more,
        ]
        final: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

        def answered(response: Message) -> None:
            if response.status >= 200 and not final.done():
                final.set_result(response)

        def failed(reason: str) -> None:
            final.set_exception(AssertionError(reason))

        self.layer.request(Message.request(method, uri, headers), flow, answered, failed)
        async with asyncio.timeout(5):
            return await final

    def reply(self, transaction: ServerTransactionHandle, status: int) -> None:
        invite = transaction.request
        headers = [("Contact", f"<{self.contact(transaction.flow.transport)}>")]
        transaction.respond(respond(invite, status, to_tag="phone-tag", headers=headers, record_route=True))

    def _requested(self, transaction: ServerTransactionHandle) -> None:
        self.requests.append(transaction)
        if transaction.request.method == "INVITE":
            self.answer(transaction)
        else:
            transaction.respond(respond(transaction.request, 200))

    def _cancelled(self, cancel: ServerTransactionHandle, invite: ServerTransactionHandle) -> None:
        cancel.respond(respond(cancel.request, 200))
        invite.respond(respond(invite.request, 487, to_tag="phone-tag"))


@contextlib.asynccontextmanager
async def pair() -> AsyncIterator[tuple[FakePbx, Phone]]:
    pbx = FakePbx({"alice": "pw-alice"})
    await pbx.start(HOST)
    phone = Phone(pbx)
    await phone.start()
    try:
        yield pbx, phone
    finally:
        await phone.stop()
        await pbx.stop()


both = pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])


@both
async def test_a_phone_registers_with_its_password_and_not_with_another(transport: Transport) -> None:
    async with pair() as (pbx, phone):
        assert (await phone.send("REGISTER", transport, "wrong")).status == 401
        assert pbx.contacts("alice") == []
        assert (await phone.send("REGISTER", transport)).status == 200
        assert [one.uri for one in pbx.contacts("alice")] == [phone.contact(transport)]


@both
async def test_a_call_is_answered_acknowledged_and_ended_by_the_pbx(transport: Transport) -> None:
    async with pair() as (pbx, phone):
        await phone.send("REGISTER", transport)

        def answer(transaction: ServerTransactionHandle) -> None:
            phone.reply(transaction, 180)
            phone.reply(transaction, 200)

        phone.answer = answer
        call = pbx.call("alice")
        await call.wait(lambda call: call.final == 200)
        assert call.is_ringing
        await _until(lambda: len(phone.acks) == 1)
        assert phone.acks[0].cseq.number == 1
        call.send("INVITE")
        await call.wait(lambda call: bool(call.replies))
        await _until(lambda: len(phone.acks) == 2)
        call.hang_up()
        await call.wait(lambda call: len(call.replies) == 2)
        assert [one.request.method for one in phone.requests] == ["INVITE", "INVITE", "BYE"]


@both
async def test_the_phone_hangs_up(transport: Transport) -> None:
    async with pair() as (pbx, phone):
        await phone.send("REGISTER", transport)
        phone.answer = lambda transaction: phone.reply(transaction, 200)
        call = pbx.call("alice")
        await call.wait(lambda call: call.final == 200)
        assert call.answer is not None
        invite = phone.requests[0].request
        flow = phone.endpoint.flow_to(transport, pbx.host, pbx.port)
        bye = Message.request(
            "BYE",
            invite.contacts[0].uri,
            [
                ("Max-Forwards", "70"),
                ("From", call.answer.get("To") or ""),
                ("To", invite.get("From") or ""),
                ("Call-ID", invite.call_id),
                ("CSeq", "1 BYE"),
            ],
        )
        phone.layer.request(bye, flow, lambda _response: None, lambda _reason: None)
        await call.wait(lambda call: call.is_over)
        assert [one.method for one in call.requests] == ["BYE"]


async def test_a_call_is_cancelled() -> None:
    async with pair() as (pbx, phone):
        await phone.send("REGISTER", Transport.UDP)
        phone.answer = lambda transaction: phone.reply(transaction, 180)
        call = pbx.call("alice")
        await call.wait(lambda call: call.is_ringing)
        call.cancel()
        await call.wait(lambda call: call.final == 487)


async def test_a_call_to_nobody_is_none() -> None:
    async with pair() as (pbx, _phone):
        with pytest.raises(LookupError):
            pbx.call("alice")


async def test_the_pbx_takes_calls_of_its_users_only() -> None:
    async with pair() as (pbx, phone):
        echo = "sip:echo@pbx.test"
        assert (await phone.send("INVITE", Transport.UDP, "wrong", to=echo)).status == 403
        assert (await phone.send("INVITE", Transport.UDP, to=echo, call_id="taken")).status == 200
        assert "taken" in pbx.taken


async def test_contacts_of_a_closed_connection_are_forgotten() -> None:
    async with pair() as (pbx, phone):
        await phone.send("REGISTER", Transport.TCP)
        assert len(pbx.contacts("alice")) == 1
        phone.endpoint.close_flow(phone.endpoint.flow_to(Transport.TCP, pbx.host, pbx.port))
        await _until(lambda: pbx.contacts("alice") == [])


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.01)
