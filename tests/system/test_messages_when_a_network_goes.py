"""Thousands of connections that close at once, while a message waits for each phone behind them."""

from __future__ import annotations

import time

from tests.system.calls_world import US, World
from wakerobin.core.values import Flow, PhoneFlow, Transport
from wakerobin.ports.messages import KeptMessage
from wakerobin.services.messages.deliveries import Deliveries

PHONES = 1_000


async def test_a_closed_connection_costs_the_same_however_many_others_wait() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        content = (
            b"MESSAGE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c\r\nFrom: <sip:d@e>;tag=f\r\nTo: <sip:a@b>\r\n"
        )
        content += b"Call-ID: g\r\nCSeq: 1 MESSAGE\r\n\r\n"
        message = KeptMessage(
            account_id=account.id,
            public_id="h",
            received_at=world.clock.now(),
            expires_at=world.clock.now() + 10**9,
            content=content,
        )
        numbers = [(await world.add_registration(account)).id for _ in range(PHONES)]
        await world.store.transact(lambda tx: tx.messages.add(message, numbers))
        deliveries: Deliveries = world.messages._deliveries
        phones = [
            PhoneFlow(
                account_id=account.id,
                registration_id=number,
                flow=Flow(Transport.TCP, US, ("203.0.113.7", number), number),
                contact_uri="sip:alice@203.0.113.7",
                instance="",
                heard_at=0.0,
                expires_at=1e9,
            )
            for number in numbers
        ]
        for phone in phones:
            deliveries.phone_arrived(phone)
        began = time.process_time()
        for number in range(10 * PHONES):
            deliveries.flow_closed(Flow(Transport.TCP, US, ("203.0.113.8", number), 10**6 + number))
        spent = time.process_time() - began
        for phone in phones:
            deliveries.flow_closed(phone.flow)
        assert not deliveries._rounds
        assert not deliveries._by_flow
        assert spent < 0.7
