"""A client and a server transaction, joined by a link that loses, delays, doubles and reorders.

Nothing here waits: the clock jumps from one event to the next. Each packet's fate is a list of
delays, one for each copy that arrives; none is a loss.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from tests.unit.sip.transaction_bench import Machine
from wakerobin.core.sip.message import Message, parse, respond
from wakerobin.core.sip.timers import Timers
from wakerobin.core.sip.transaction import (
    ClientTransaction,
    Effect,
    InviteClientTransaction,
    InviteServerTransaction,
    PassUp,
    ServerTransaction,
    Terminated,
    TimedOut,
    TransactionState,
    Transmit,
)
from wakerobin.core.sip.transaction.matching import client_key, server_key

Fate: TypeAlias = Sequence[float]
# What the server's user says to a request: (seconds after it came, status), the final one last.
Answers: TypeAlias = Sequence[tuple[float, int]]

TIMERS = Timers()
PROMPT: Fate = (0.01,)


@dataclass
class Link:
    """The network and the clock. `fates` are dealt out in turn; the rest arrive after 10 ms.

    A fair link loses no two packets of one direction in a row; `is_reliable` is what the
    transactions are told about it.
    """

    fates: Iterable[Fate]
    is_fair: bool = True
    is_reliable: bool = False
    now: float = 0.0
    sent: int = 0
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _count: int = 0
    _lost_last: dict[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._dealt = iter(self.fates)

    def at(self, when: float, event: Callable[[], None]) -> None:
        """Do something at that time."""
        self._count += 1
        heapq.heappush(self._events, (when, self._count, event))

    def send(self, direction: str, data: bytes, arrive: Callable[[bytes], None]) -> None:
        """Put a packet on the link."""
        self.sent += 1
        fate = next(self._dealt, PROMPT)
        if self.is_fair and not fate and self._lost_last.get(direction):
            fate = PROMPT
        self._lost_last[direction] = not fate
        for delay in fate:
            self.at(self.now + delay, lambda: arrive(data))

    def run(self) -> None:
        """Let everything happen that ever will; a world that never comes to rest is a failure."""
        for _ in range(20_000):
            if not self._events:
                return
            self.now, _, event = heapq.heappop(self._events)
            event()
        raise AssertionError("the transactions never come to rest")


class Client:
    """The side that sends the request: a transaction, and a user that acknowledges each 2xx."""

    def __init__(self, link: Link, request: Message, to_server: Callable[[bytes], None]) -> None:
        self.link = link
        self.to_server = to_server
        self.heard: list[int] = []
        self.timeouts = 0
        self.terminations = 0
        make = InviteClientTransaction if request.method == "INVITE" else ClientTransaction
        self.machine = make(request, reliable=link.is_reliable, timers=TIMERS)

    def start(self) -> None:
        self._perform(self.machine.start(self.link.now))

    def receive(self, data: bytes) -> None:
        response = parse(data)
        assert client_key(response) == client_key(self.machine.request)
        if not self.terminations:
            self._perform(self.machine.receive_response(response, self.link.now))

    @property
    def finals(self) -> list[int]:
        """The final responses that came up, in order."""
        return [status for status in self.heard if status >= 200]

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Transmit(data):
                    self.link.send("up", data, self.to_server)
                case PassUp(message):
                    self.heard.append(message.status)
                    self._acknowledge(message)
                case TimedOut():
                    self.timeouts += 1
                case Terminated():
                    self.terminations += 1
                case _:
                    raise AssertionError(effect)
        _arm(self.link, self.machine, self._perform)

    def _acknowledge(self, response: Message) -> None:
        invite = self.machine.request
        if invite.method != "INVITE" or not 200 <= response.status < 300:
            return
        ack = invite.copy()
        ack.method = "ACK"
        ack.set("Via", "SIP/2.0/UDP client.example:5060;branch=z9hG4bKack")
        ack.set("To", response.all("To")[0])
        ack.set("CSeq", f"{invite.cseq.number} ACK")
        self.link.send("up", ack.encode(), self.to_server)


class Server:
    """The side that answers. Each request that no transaction knows makes one, as on a real server.

    Its user plays a UAS: it repeats a 2xx to an INVITE until the ACK, as 13.3.1.4 demands.
    """

    def __init__(self, link: Link, answers: Answers, to_client: Callable[[bytes], None]) -> None:
        self.link = link
        self.answers = answers
        self.to_client = to_client
        self.machines: dict[str, InviteServerTransaction | ServerTransaction] = {}
        self.requests = 0
        self.timeouts = 0
        self.terminations = 0
        self.is_acknowledged = False

    def receive(self, data: bytes) -> None:
        message = parse(data)
        key = server_key(message)
        if key in self.machines:
            self._perform(key, self.machines[key].receive_request(message, self.link.now))
        elif message.method == "ACK":
            self.is_acknowledged = True
        else:
            self._begin(key, message)

    def _begin(self, key: str, request: Message) -> None:
        self.requests += 1
        make = InviteServerTransaction if request.method == "INVITE" else ServerTransaction
        self.machines[key] = make(request, reliable=self.link.is_reliable, timers=TIMERS)
        for after, status in self.answers:
            response = respond(request, status, to_tag="ours")
            self.link.at(self.link.now + after, partial(self._respond, key, response))

    def _respond(self, key: str, response: Message) -> None:
        machine = self.machines.get(key)
        if machine is None:
            return
        self._perform(key, machine.respond(response, self.link.now))
        if isinstance(machine, InviteServerTransaction) and 200 <= response.status < 300:
            self._repeat(key, response, TIMERS.t1)

    def _repeat(self, key: str, response: Message, interval: float) -> None:
        def again() -> None:
            if key in self.machines and not self.is_acknowledged:
                self._perform(key, self.machines[key].respond(response, self.link.now))
                self._repeat(key, response, min(2 * interval, TIMERS.t2))

        self.link.at(self.link.now + interval, again)

    def _perform(self, key: str, effects: list[Effect]) -> None:
        machine = self.machines[key]
        for effect in effects:
            match effect:
                case Transmit(data):
                    self.link.send("down", data, self.to_client)
                case PassUp():
                    raise AssertionError("no ACK to a 2xx comes in the INVITE's branch here")
                case TimedOut():
                    self.timeouts += 1
                case Terminated():
                    self.terminations += 1
                    del self.machines[key]
                case _:
                    raise AssertionError(effect)
        _arm(self.link, machine, partial(self._perform, key))


def _arm(link: Link, machine: Machine, perform: Callable[[list[Effect]], None]) -> None:
    """Call `on_timer` at the deadline, unless another has taken its place by then."""
    deadline = machine.deadline
    if deadline is None:
        return

    def fire() -> None:
        if machine.deadline == deadline and machine.state is not TransactionState.TERMINATED:
            perform(machine.on_timer(link.now))

    link.at(deadline, fire)


def run_exchange(link: Link, request: Message, answers: Answers) -> tuple[Client, Server]:
    """Send the request over the link and let everything happen; return both sides."""

    def to_client(data: bytes) -> None:
        client.receive(data)

    server = Server(link, answers, to_client)
    client = Client(link, request, server.receive)
    client.start()
    link.run()
    return client, server
