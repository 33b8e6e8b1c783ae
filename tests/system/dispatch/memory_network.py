"""Transaction layers on a network in memory that loses, delays and breaks; the clock is jumped."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from wakerobin import metrics
from wakerobin.core.sip.message import Message, parse
from wakerobin.core.sip.timers import Timers
from wakerobin.core.values import Flow, Transport
from wakerobin.net import edge
from wakerobin.ports.sip import ClientTransactionHandle, ServerTransactionHandle
from wakerobin.services.dispatch.transactions import Transactions
from wakerobin.testing.clock import ManualClock

LATENCY = 0.01
ALICE = ("192.0.2.1", 5060)
BOB = ("192.0.2.2", 5070)


@dataclass
class Network:
    """Carries bytes between endpoints; `is_lost` decides, in order of sending, what does not arrive."""

    clock: ManualClock
    is_lost: Callable[[bytes], bool] = lambda _data: False
    endpoints: dict[tuple[str, int], MemoryEndpoint] = field(default_factory=dict)
    carried: list[tuple[float, tuple[str, int], Message]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    broken: set[int] = field(default_factory=set)

    def carry(self, data: bytes, flow: Flow, source: tuple[str, int]) -> None:
        self.carried.append((self.clock.monotonic(), flow.remote, parse(data)))
        if not self.is_lost(data):
            self.clock.call_at(self.clock.monotonic() + LATENCY, lambda: self.deliver(data, flow, source))

    def deliver(self, data: bytes, flow: Flow, source: tuple[str, int]) -> None:
        receiver = self.endpoints.get(flow.remote)
        if receiver is not None and receiver.user is not None:
            message = edge.read(data, source)
            receiver.user.receive(message, Flow(flow.transport, flow.remote, source, flow.connection))

    def sent(self, method_or_status: str) -> list[Message]:
        """What was sent, lost or not, with this method or status."""
        return [
            message
            for _, _, message in self.carried
            if method_or_status in (message.method, str(message.status))
        ]

    def break_connection(self, flow: Flow) -> None:
        """End a stream for both sides, each of which is told."""
        self.broken.add(flow.connection)
        for mine, other in ((flow.local, flow.remote), (flow.remote, flow.local)):
            user = self.endpoints[mine].user
            assert user is not None
            user.flow_closed(Flow(flow.transport, mine, other, flow.connection), "the peer closed it")


@dataclass
class MemoryEndpoint:
    """`ports.sip.SipEndpoint` on a `Network`."""

    network: Network
    at: tuple[str, int]
    user: Transactions | None = None

    def send(self, flow: Flow, data: bytes) -> bool:
        if not self.is_open(flow):
            return False
        self.network.carry(data, flow, self.at)
        return True

    def flow_to(
        self, transport: Transport, address: str, port: int, local: str = "", name: str = "", lane: int = 0
    ) -> Flow:
        number = next(self.network.numbers) if transport.is_reliable else 0
        return Flow(transport, self.at, (address, port), number)

    def local_address(self, transport: Transport, remote: str) -> tuple[str, int]:
        return self.at

    def is_open(self, flow: Flow) -> bool:
        return flow.connection not in self.network.broken

    def close_flow(self, flow: Flow) -> None:
        self.network.broken.add(flow.connection)


@dataclass
class Side:
    """One transaction layer and what it told."""

    transactions: Transactions
    endpoint: MemoryEndpoint
    requests: list[ServerTransactionHandle] = field(default_factory=list)
    cancels: list[tuple[ServerTransactionHandle, ServerTransactionHandle]] = field(default_factory=list)
    acks: list[Message] = field(default_factory=list)
    strays: list[Message] = field(default_factory=list)
    heard: list[Flow] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)


@dataclass
class Asked:
    """A request under way and its answers."""

    statuses: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def on_response(self, response: Message) -> None:
        self.statuses.append(response.status)

    def on_failure(self, reason: str) -> None:
        self.failures.append(reason)


def side(network: Network, at: tuple[str, int], seed: int) -> Side:
    endpoint = MemoryEndpoint(network, at)
    clock = network.clock
    transactions = Transactions(endpoint, clock, clock, random.Random(seed).randbytes, Timers())
    endpoint.user = transactions
    network.endpoints[at] = endpoint
    made = Side(transactions, endpoint)
    transactions.on_request = made.requests.append
    transactions.on_cancel = lambda cancel, invite: made.cancels.append((cancel, invite))
    transactions.on_ack = lambda ack, _flow: made.acks.append(ack)
    transactions.on_stray_response = lambda response, _flow: made.strays.append(response)
    transactions.on_heard = made.heard.append
    transactions.on_flow_closed = lambda _flow, reason: made.closed.append(reason)
    return made


def request(method: str, number: int = 1) -> Message:
    return Message.request(
        method,
        "sip:bob@192.0.2.2:5070",
        [
            ("Max-Forwards", "70"),
            ("Route", "<sip:192.0.2.2:5070;lr>"),
            ("From", "<sip:alice@pbx.test>;tag=a1"),
            ("To", "<sip:bob@pbx.test>"),
            ("Call-ID", "c1@192.0.2.1"),
            ("CSeq", f"{number} {method}"),
            ("Contact", "<sip:alice@192.0.2.1>"),
        ],
    )


def ask(
    one: Side, message: Message, flow: Flow | None = None, branch: str = ""
) -> tuple[Asked, ClientTransactionHandle]:
    asked = Asked()
    flow = flow or one.endpoint.flow_to(Transport.UDP, *BOB)
    handle = one.transactions.request(message, flow, asked.on_response, asked.on_failure, branch)
    return asked, handle


def sample(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(f"wakerobin_{name}", labels) or 0.0
