"""The two doors of SIP: the network below the transactions, the transactions below the services."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from wakerobin.core.sip.message import Message
from wakerobin.core.sip.targets import Candidate, Destination, Target
from wakerobin.core.values import Flow, Transport


class SipReceiver(Protocol):
    """Who is told what the network brings."""

    def receive(self, message: Message, flow: Flow) -> None:
        """Take a message that passed the strict edge check. It came over `flow`."""
        ...

    def heard(self, flow: Flow) -> None:
        """Something that was no message (a keep-alive) came over `flow`."""
        ...

    def flow_closed(self, flow: Flow, reason: str) -> None:
        """A stream ended, or could not be opened, or a datagram could not be sent."""
        ...


class SipEndpoint(Protocol):
    """The sockets: sends bytes over flows and opens new ones. Never blocks, never raises for the network."""

    def send(self, flow: Flow, data: bytes) -> bool:
        """Send, or queue while the stream connects. False: the flow is known to be dead.

        A keep-alive (CRLF CRLF) over a connection that we made is watched: where the peer has answered one
        before, and does not answer this one soon, the connection is closed (RFC 5626 4.4.1).
        """
        ...

    def flow_to(
        self, transport: Transport, address: str, port: int, local: str = "", name: str = "", lane: int = 0
    ) -> Flow:
        """Return a flow to a resolved address: the listening socket for UDP, a shared connection for streams.

        `name`: the host that was asked for; the certificate of a TLS peer must have it (RFC 5922), and peers
        of another name get another connection. `lane`: which of several connections to the same peer.

        A stream that cannot be opened, or a refused destination (core.addresses), ends in `flow_closed`.
        """
        ...

    def local_address(self, transport: Transport, remote: str) -> tuple[str, int]:
        """Return the address and port under which `remote` can reach us: the route's own address."""
        ...

    def is_open(self, flow: Flow) -> bool:
        """Whether the flow can still carry a message, as far as is known. Always True for UDP."""
        ...

    def close_flow(self, flow: Flow) -> None:
        """Close a stream (a peer that broke the rules). Nothing happens for UDP."""
        ...


class Gatekeeper(Protocol):
    """Who decides how much of this server each sender may take: told who is who, and what was bad."""

    def pbx(self, flow: Flow) -> None:
        """A PBX spoke over this flow: it knew what only a PBX of ours can know."""
        ...

    def proven(self, flow: Flow) -> None:
        """A phone has shown its password over this flow."""
        ...

    def blame(self, flow: Flow) -> None:
        """A stranger asked for what only those get whom we know."""
        ...

    def guessed(self, flow: Flow, *, is_seen: bool) -> None:
        """A wrong password came. `is_seen`: it answered a challenge that went to this very source."""
        ...


class Resolver(Protocol):
    """Where requests go (RFC 3263), and which of those places have failed lately, whoever found it out."""

    async def locate(self, destination: Destination) -> tuple[Candidate, ...]:
        """Return who serves a destination (`core.sip.targets.ordered` gives the order of one account).

        Nobody where it leads nowhere. Never raises; answers within five seconds.
        """
        ...

    def failed(self, target: Target) -> None:
        """Note that a target answered 503 or not at all: others are tried before it for a while."""
        ...

    def answered(self, target: Target) -> None:
        """Note that a target serves."""
        ...

    def is_failing(self, target: Target, *, will_try: bool = False) -> bool:
        """Whether others are to be tried before this one.

        `will_try`: the caller sends to a target that is not; of one that failed only one such caller at a
        time is told that.
        """
        ...


OnResponse: TypeAlias = Callable[[Message], None]
"""Called for each response that the client transaction passes up (INVITE: several)."""

OnFailure: TypeAlias = Callable[[str], None]
"""Called once if there is no final response: `"timeout"` or `"transport: …"`."""


class ClientTransactionHandle(Protocol):
    """A request under way."""

    @property
    def branch(self) -> str:
        """The branch of our Via."""
        ...

    @property
    def heard_on(self) -> Flow:
        """The flow that its last response came by; before any, the one that it was sent on."""
        ...

    def cancel(self, headers: tuple[tuple[str, str], ...] = ()) -> None:
        """INVITE only: CANCEL now if a provisional has come, else as soon as one comes (RFC 3261 9.1)."""
        ...

    def receive(self, response: Message) -> None:
        """Take a response that came before this transaction was adopted, and showed that it must be."""
        ...

    def repeat(self) -> None:
        """INVITE only: send it once more at once, if no response has come: its phone has just woken."""
        ...

    def abandon(self) -> None:
        """Stop retransmitting and forget it: a newer flow of the phone replaced this branch."""
        ...


class ServerTransactionHandle(Protocol):
    """A request that we owe an answer."""

    @property
    def request(self) -> Message:
        """The request as it came (Via `received`/`rport` filled in)."""
        ...

    @property
    def flow(self) -> Flow:
        """Where it came from."""
        ...

    def respond(self, response: Message) -> None:
        """Send a provisional or the final response by RFC 3261 18.2.2 and RFC 3581."""
        ...


class TransactionLayer(Protocol):
    """Client and server transactions over the endpoint: what every SIP service talks to."""

    def request(
        self,
        message: Message,
        flow: Flow,
        on_response: OnResponse,
        on_failure: OnFailure,
        branch: str = "",
    ) -> ClientTransactionHandle:
        """Put our Via on top (with `branch`, else a new one) and send the request in a client transaction."""
        ...

    def send_ack(self, ack: Message, flow: Flow) -> None:
        """Put our Via on top and send an ACK for a 2xx, outside any transaction (RFC 3261 13.2.2.4)."""
        ...

    def adopt_server(self, invite: Message, flow: Flow) -> ServerTransactionHandle:
        """Go on with an INVITE received before a restart, as if its 100 had just been sent.

        Its final response is retransmitted, its ACK absorbed and its CANCEL matched as usual. Where `flow`
        is gone, responses go to the top Via's received/rport (RFC 3261 18.2.2).
        """
        ...

    def adopt_client(
        self, invite: Message, flow: Flow, branch: str, on_response: OnResponse, on_failure: OnFailure
    ) -> ClientTransactionHandle:
        """Go on with an INVITE sent before a restart under `branch`, as if a provisional had come."""
        ...
