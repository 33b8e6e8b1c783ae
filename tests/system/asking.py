"""Requests in the raw: from the PBX's own address, or from somebody whom nobody knows."""

from __future__ import annotations

import itertools

from tests.system.calls_world import DOMAIN, MINUTE, PBX, US, World
from wakerobin.core.sip.message import Message
from wakerobin.core.values import Transport
from wakerobin.ports.sip import ClientTransactionHandle
from wakerobin.services.dispatch.transactions import Transactions
from wakerobin.testing.wire import WireEndpoint


class Asker:
    """Sends requests from an address of its own and collects what they get."""

    def __init__(self, world: World, transactions: Transactions, endpoint: WireEndpoint) -> None:
        self.world = world
        self.transactions = transactions
        self.endpoint = endpoint
        self.responses: list[Message] = []
        self.failures: list[str] = []
        self.requests: list[Message] = []
        self.acks: list[Message] = []
        transactions.on_ack = lambda ack, _flow: self.acks.append(ack)

    def send(self, request: Message, transport: Transport = Transport.UDP) -> ClientTransactionHandle:
        """Send a request to the server."""
        flow = self.endpoint.flow_to(transport, *US)
        return self.transactions.request(request, flow, self.responses.append, self.failures.append)

    async def ask(self, request: Message, within: int = 2 * MINUTE) -> Message:
        """Send a request and return its final response."""
        seen = len(self.responses)
        self.send(request)
        await self.world.until(lambda: self._final(seen) is not None, within)
        final = self._final(seen)
        assert final is not None
        return final

    def _final(self, seen: int) -> Message | None:
        return next((one for one in self.responses[seen:] if one.status >= 200), None)


def stranger(world: World, address: str = "203.0.113.99", port: int = 5060) -> Asker:
    """Return somebody at an address that nobody knows."""
    endpoint = world.wire.endpoint(address, port)
    return Asker(world, world.layer(endpoint, f"stranger {address}"), endpoint)


def at_pbx(world: World) -> Asker:
    """Return a way to send from the PBX's own address what the fake PBX does not send by itself."""
    return Asker(world, world.pbx.transactions, world.there)


def request(method: str, uri: str, *headers: tuple[str, str], to: str = "", tag: str = "") -> Message:
    """Return a request outside a dialog, or with a To tag."""
    number = next(_numbers)
    to_tag = f";tag={tag}" if tag else ""
    lines = [
        ("Max-Forwards", "70"),
        ("From", f"<sip:bob@{DOMAIN}>;tag=from{number}"),
        ("To", f"<{to or uri}>{to_tag}"),
        ("Call-ID", f"call-{number}"),
        ("CSeq", f"{number} {method}"),
        ("Contact", f"<sip:bob@{PBX[0]}:{PBX[1]}>"),
    ]
    replaced = {name.lower() for name, _ in headers}
    kept = [line for line in lines if line[0].lower() not in replaced]
    return Message.request(method, uri, [*kept, *headers])


_numbers = itertools.count(100)
