"""What the parts of this room share: the ports, who sponsors guests, and the way to their PBXs."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from wakerobin.core.addresses import matches_host
from wakerobin.core.call import CallPolicy
from wakerobin.core.guests import Guest, Offer
from wakerobin.core.ids import Entropy
from wakerobin.core.pushes import Outcome, PushMessage
from wakerobin.core.sip.targets import Destination, Target, ordered
from wakerobin.core.sip.uri import SipUri
from wakerobin.core.tokens import TokenKeys
from wakerobin.core.values import Flow, PhoneFlow, Transport
from wakerobin.ports.clock import Clock, Timers
from wakerobin.ports.options import SipOptions
from wakerobin.ports.sip import Gatekeeper, Resolver, SipEndpoint, TransactionLayer
from wakerobin.ports.store import Store
from wakerobin.services.phones import Phones
from wakerobin.services.phones.routes import Address, RecordRoutes

_TO_PBXS = frozenset({Transport.UDP, Transport.TCP, Transport.TLS})


class Pusher(Protocol):
    """The part of the courier that guests need."""

    def call_now(
        self,
        messages: list[PushMessage],
        on_outcome: Callable[[PushMessage, Outcome], None],
        deadline: float,
    ) -> None:
        """Send each at once; `deadline` is monotonic seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Sponsor:
    """An app whose operator serves phones that never enrolled, at these PBXs, by these push services."""

    app: str
    patterns: tuple[str, ...]
    offers: tuple[Offer, ...]


class Sponsors:
    """Finds who serves the phones of a PBX."""

    def __init__(self, sponsors: Iterable[Sponsor]) -> None:
        self._all = [one for one in sponsors if one.offers]

    def __bool__(self) -> bool:
        return bool(self._all)

    def offers(self, hosts: Sequence[str]) -> list[Offer]:
        """Return what is offered to phones whose REGISTER names these hosts, all of them allowed."""
        return [
            offer
            for one in self._all
            if all(any(matches_host(pattern, host.strip("[]")) for pattern in one.patterns) for host in hosts)
            for offer in one.offers
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """The ports of the room. `start` runs a task of the room's; `policy` gives an app's for calls."""

    store: Store
    clock: Clock
    timers: Timers
    transactions: TransactionLayer
    endpoint: SipEndpoint
    resolver: Resolver
    routes: RecordRoutes
    phones: Phones
    pusher: Pusher
    keys: TokenKeys
    secret: bytes
    entropy: Entropy
    options: SipOptions
    policy: Callable[[str], CallPolicy]
    gate: Gatekeeper | None
    start: Callable[[Coroutine[None, None, None]], None]

    def flow_of(self, number: int) -> PhoneFlow | None:
        """Return the flow that a guest has now."""
        return next(iter(self.phones.flows(number)), None)

    def guest(self, number: int) -> Guest | None:
        """Return a guest as it is stored."""
        return self.store.read(lambda tx: tx.guests.get(number))

    def our_address(self, flow: Flow) -> Address:
        """Return where the far end of a flow reaches us."""
        host, port = self.endpoint.local_address(flow.transport, flow.remote[0])
        return Address(host, port, flow.transport)

    def with_targets(self, hop: SipUri, aor: str, use: Callable[[list[Target]], None]) -> None:
        """Call `use` with the places of a PBX in the order of one account (RFC 3263); none: it has none."""
        said = (hop.param("transport") or "").lower()
        wanted = Destination(hop.host, hop.port, said if said in _TO_PBXS else "")

        async def look_up() -> None:
            found = await self.resolver.locate(wanted)
            use(ordered(found, aor.encode("utf-8", "surrogateescape"), self.resolver.is_failing))

        self.start(look_up())

    def flow_to(self, target: Target) -> Flow:
        """Return the flow to a place of a PBX."""
        transport = Transport(target.transport)
        return self.endpoint.flow_to(transport, target.address, target.port, name=target.name)
