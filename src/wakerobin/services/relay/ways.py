"""Which flow leads to the PBX of a dialog: its binding's where that is the target, else what the URI says.

A PBX behind a NAT writes an address into its Contact that leads nowhere: then it is where it was seen.
Towards a phone that was not heard since the server started it is the address of before.
"""

from __future__ import annotations

from wakerobin.core.addresses import Reach, parse_address, reach
from wakerobin.core.sip.targets import Destination, Target, ordered
from wakerobin.core.sip.uri import SipUri
from wakerobin.core.values import Flow, Transport
from wakerobin.ports.sip import Resolver, SipEndpoint
from wakerobin.services.fleet.values import Upstream

Peer = tuple[str, int]


class Ways:
    """Asks the endpoint and the resolver; has no state."""

    def __init__(self, endpoint: SipEndpoint, resolver: Resolver) -> None:
        self._endpoint = endpoint
        self._resolver = resolver

    def at_once(self, hop: SipUri, upstream: Upstream | None, seen: Peer | None) -> Flow | None:
        """Return the flow where that needs no name to be resolved, else None."""
        if upstream is not None and hop.host.lower() == upstream.domain.lower() and hop.port is None:
            return upstream.flow
        address = parse_address(hop.host)
        if address is None:
            return None
        is_public = reach(address) is Reach.PUBLIC
        transport = _transport(hop, upstream) or Transport.UDP
        said = Target(transport, str(address), hop.port or transport.default_port, hop.host)
        return self._to(hop, [said], upstream, seen, is_public=is_public)

    async def resolved(self, hop: SipUri, upstream: Upstream | None, seen: Peer | None) -> Flow | None:
        """Return the flow to a name; None where it leads nowhere and the PBX was seen nowhere either."""
        wanted = Destination(hop.host, hop.port, _transport(hop, upstream) or "")
        found = ordered(await self._resolver.locate(wanted), is_failing=self._resolver.is_failing)
        return self._to(hop, found, upstream, seen, is_public=bool(found))

    def back(self, phone: Peer | None) -> Flow | None:
        """Return the flow to a phone that was there, by UDP, when the server last ran."""
        if phone is None:
            return None
        return Flow(Transport.UDP, self._endpoint.local_address(Transport.UDP, phone[0]), phone)

    def _to(
        self,
        hop: SipUri,
        found: list[Target],
        upstream: Upstream | None,
        seen: Peer | None,
        *,
        is_public: bool,
    ) -> Flow | None:
        binding = upstream.flow if upstream is not None else None
        said = (hop.param("transport") or "").lower()
        places = [(target.address, target.port) for target in found]
        if binding is not None and binding.remote in places and said in ("", binding.transport):
            return binding
        if not is_public:
            known = seen or (binding.remote if binding is not None else None)
            if known is not None and all(host != known[0] for host, _ in places):
                found = [Target(_transport(hop, upstream) or Transport.UDP, *known, hop.host)]
                if binding is not None and known == binding.remote:
                    return binding
        if not found:
            return None
        first, local = found[0], binding.local[0] if binding is not None else ""
        transport = Transport(first.transport)
        return self._endpoint.flow_to(transport, first.address, first.port, local, first.name)


def _transport(hop: SipUri, upstream: Upstream | None) -> Transport | None:
    """Return what the URI says, else what the binding has; None: what DNS says."""
    said = (hop.param("transport") or "").lower()
    if said in (Transport.UDP, Transport.TCP, Transport.TLS):
        return Transport(said)
    if said:
        return Transport.UDP
    return upstream.flow.transport if upstream is not None else None
