"""The PBXs as the fleet sees them: where each is, how fast it may be asked, and who waits for a turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from wakerobin.core.addresses import parse_address
from wakerobin.core.binding import Bound
from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.header import NameAddr
from wakerobin.core.sip.targets import Candidate, Destination, Target, ordered
from wakerobin.core.sip.uri import SipUri
from wakerobin.core.values import Account, Transport
from wakerobin.ports.store import KeptAccount
from wakerobin.services.fleet.surroundings import Surroundings
from wakerobin.services.fleet.turns import Queue, Turn, Urgency

_ADDRESSES_FRESH_S = 30.0
_MOST_SOURCES = 256


@dataclass(frozen=True, slots=True)
class NextHop:
    """Where REGISTERs for some accounts go first."""

    host: str
    port: int | None
    transport: Transport | None
    """None: the one that DNS says."""

    def __str__(self) -> str:
        return self.host if self.port is None else f"{self.host}:{self.port}"

    @property
    def destination(self) -> Destination:
        """What is asked of DNS."""
        return Destination(self.host, self.port, self.transport or "")


def next_hop(account: Account | KeptAccount) -> NextHop:
    """Return an account's outbound proxy, else its registrar, else the domain of its AOR."""
    domain = account.aor.rpartition("@")[2]
    return _next_hop(account.outbound_proxy, account.registrar or domain, account.transport)


@lru_cache(maxsize=4096)
def _next_hop(proxy: str, registrar: str, transport: Transport | None) -> NextHop:
    try:
        uri = SipUri.parse(proxy or f"sip:{registrar}")
    except SipSyntaxError:
        return NextHop("", None, transport)  # resolves to nothing: the account is told so
    named = (uri.param("transport") or "").lower()
    if named in {one.value for one in Transport}:
        transport = Transport(named)
    return NextHop(uri.host.lower(), uri.port, transport)


class Registrar:
    """One PBX or outbound proxy: its addresses, and the queue for it.

    Turns wait here until the address is known and the pace allows them.
    """

    def __init__(
        self, number: int, hop: NextHop, surroundings: Surroundings, on_row: Callable[[int], None]
    ) -> None:
        options = surroundings.options.sip
        self.number = number
        self.hop = hop
        self.addresses: list[tuple[str, int]] = []
        """All that it resolved to last; empty while it does not resolve."""
        self.sources: set[str] = set()
        """Addresses that requests of this PBX may come from: all that its names resolve to."""
        self.expires_s = options.register_expires // 1000
        """What is asked for; grows where the registrar insists (423)."""
        self.can_look = True
        """Whether it answers a REGISTER without Contact."""
        self.granted_s = 0
        """What it granted last; 0 for not yet."""
        self.is_by_stream = hop.transport is not None and hop.transport.is_reliable
        """Whether bindings are made over connections, and end with them."""
        self.unreachable: set[int] = set()
        """Rows that wait out a back-off because nothing was answered to anyone."""
        self._around = surroundings
        self.queue = Queue(surroundings, on_row, self._has_addresses)
        """Who waits for a turn here."""
        self._fresh_until = float("-inf")
        self._is_resolving = False
        self._located: tuple[Candidate, ...] = ()
        self._success_at = float("-inf")
        self._named_sources: set[Destination] = set()

    def ask(self, turn: Turn | int, urgency: Urgency = Urgency.ROUTINE) -> None:
        """Call `turn` when the registrar may be sent a REGISTER and its address was looked up.

        A number is a row of the roster: then `on_row` is called with it.
        """
        self.queue.ask(turn, urgency)

    def spend(self, urgency: Urgency = Urgency.ROUTINE) -> None:
        """Count a REGISTER that goes without waiting for its turn: the answer to a challenge."""
        self.queue.spend(urgency)

    def targets(self, account_id: int, *, will_try: bool = False) -> list[Target]:
        """Return where to try for an account, in order; what failed lately comes last.

        Each account has an order of its own and keeps it, so that hosts share accounts by their weights.
        `will_try`: the first of them is sent to now.
        """
        resolver = self._around.resolver
        found = ordered(self._located, account_id.to_bytes(8, "big"), resolver.is_failing)
        if will_try and len(found) > 1:
            resolver.is_failing(found[0], will_try=True)
        return found

    def bound(self, outcome: Bound, asked_s: int) -> None:
        """Learn from a binding that was made here, for which `asked_s` was asked in the end."""
        self._success_at = self._around.clock.monotonic()
        self.granted_s = outcome.granted_s
        self.expires_s = max(self.expires_s, asked_s)
        for value in (*outcome.service_route, *outcome.path):
            self._note_source(value)

    def note_unreachable(self, row: int, started_s: float) -> None:
        """Note a row that got no answer; where another one did meanwhile, the trouble is its own."""
        if self._success_at < started_s:
            self.unreachable.add(row)

    def take_unreachable(self) -> tuple[int, ...]:
        """Return the rows to be tried again now that the registrar answers, and forget them."""
        if not self.unreachable:
            return ()
        rows = tuple(self.unreachable)
        self.unreachable.clear()
        return rows

    def resolve_soon(self) -> None:
        """Look the addresses up in good time, before anyone waits for them."""
        is_old = self._fresh_until <= self._around.clock.monotonic()
        if is_old and not self._is_resolving and self._around.tasks is not None:
            self._is_resolving = True
            self._around.start(self._resolve())

    def stop(self) -> None:
        """Forget everyone who waits: the fleet ends."""
        self.queue.stop()

    def _has_addresses(self) -> bool:
        self.resolve_soon()
        # While they are looked up nobody goes; then it goes on, also where there are none.
        return bool(self.addresses) or not self._is_resolving

    async def _resolve(self) -> None:
        hop = self.hop
        try:
            self._located = await self._around.resolver.locate(hop.destination)
        finally:
            self._is_resolving = False
        self._fresh_until = self._around.clock.monotonic() + _ADDRESSES_FRESH_S
        self.addresses = [(target.address, target.port) for target in ordered(self._located)]
        self._add_sources(address for address, _ in self.addresses)
        if self.queue:
            self.queue.pump()

    def _note_source(self, route: str) -> None:
        """Requests of this PBX may come from whatever stands in its Service-Route or Path."""
        uri = SipUri.parse(NameAddr.parse(route).uri)
        address = parse_address(uri.host)
        if address is not None:
            self._add_sources((str(address),))
            return
        named = Destination(uri.host.lower(), uri.port, (uri.param("transport") or "").lower())
        if named not in self._named_sources and len(self._named_sources) < _MOST_SOURCES:
            self._named_sources.add(named)
            self._around.start(self._resolve_source(named))

    async def _resolve_source(self, named: Destination) -> None:
        found = ordered(await self._around.resolver.locate(named))
        self._add_sources(target.address for target in found)

    def _add_sources(self, addresses: Iterable[str]) -> None:
        if len(self.sources) > _MOST_SOURCES:
            self.sources.clear()
        self.sources.update(str(parse_address(address)) for address in addresses)


class Registrars:
    """All registrars, by number and by next hop. Made when the first account needs one, and kept."""

    on_row: Callable[[int], None]
    """Called with a row of the roster when its registrar may be asked. To be set before anyone asks."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings
        self._all: list[Registrar] = []
        self._of: dict[NextHop, Registrar] = {}

    def __getitem__(self, number: int) -> Registrar:
        return self._all[number]

    def all(self) -> tuple[Registrar, ...]:
        """Return every registrar."""
        return tuple(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def known(self, account: Account) -> Registrar | None:
        """Return the registrar of an account, if anybody needed it before."""
        return self._of.get(next_hop(account))

    def of(self, account: Account | KeptAccount) -> Registrar:
        """Return the registrar of an account."""
        behind = self._behind_proxy(account)
        if behind is not None:
            behind.resolve_soon()  # before it calls
        return self._at(next_hop(account))

    def is_source(self, account: Account, address: str) -> bool:
        """Whether an account's PBX may speak from an address: its outbound proxy's or its registrar's."""
        registrar = self._at(next_hop(account))
        registrar.resolve_soon()
        if address in registrar.sources:
            return True
        behind = self._behind_proxy(account)
        if behind is None:
            return False
        behind.resolve_soon()
        return address in behind.sources

    def _behind_proxy(self, account: Account | KeptAccount) -> Registrar | None:
        """Return the registrar that an outbound proxy stands in front of."""
        if not account.outbound_proxy:
            return None
        name = account.registrar or account.aor.rpartition("@")[2]
        return self._at(_next_hop("", name, account.transport))

    def _at(self, hop: NextHop) -> Registrar:
        known = self._of.get(hop)
        if known is None:
            known = self._of[hop] = Registrar(len(self._all), hop, self._around, self.on_row)
            self._all.append(known)
        return known
