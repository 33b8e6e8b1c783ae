"""Which flow leads to the PBX of a dialog: its binding's where that is the target, else what the URI says.

A PBX behind a NAT writes an address into its Contact that leads nowhere: then it is where it was seen.
Towards a phone that was not heard since the server started it is the address of before.
"""

from __future__ import annotations

from wakerobin.core.addresses import Reach, parse_address, reach
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
        port = hop.port or _transport(hop, upstream).default_port
        return self._to(hop, [(str(address), port)], upstream, seen, is_public=is_public)

    async def resolved(self, hop: SipUri, upstream: Upstream | None, seen: Peer | None) -> Flow | None:
        """Return the flow to a name; None where it leads nowhere and the PBX was seen nowhere either."""
        found = []
        if hop.host:
            found = await self._resolver.resolve(hop.host, hop.port, _transport(hop, upstream))
        return self._to(hop, found, upstream, seen, is_public=bool(found))

    def back(self, phone: Peer | None) -> Flow | None:
        """Return the flow to a phone that was there, by UDP, when the server last ran."""
        if phone is None:
            return None
        return Flow(Transport.UDP, self._endpoint.local_address(Transport.UDP, phone[0]), phone)

    def _to(
        self, hop: SipUri, found: list[Peer], upstream: Upstream | None, seen: Peer | None, *, is_public: bool
    ) -> Flow | None:
        binding = upstream.flow if upstream is not None else None
        said = (hop.param("transport") or "").lower()
        if binding is not None and binding.remote in found and said in ("", binding.transport):
            return binding
        if not is_public:
            known = seen or (binding.remote if binding is not None else None)
            if known is not None and all(host != known[0] for host, _ in found):
                found = [known]
                if binding is not None and known == binding.remote:
                    return binding
        if not found:
            return None
        local = binding.local[0] if binding is not None else ""
        return self._endpoint.flow_to(_transport(hop, upstream), *found[0], local, hop.host)


def _transport(hop: SipUri, upstream: Upstream | None) -> Transport:
    said = (hop.param("transport") or "").lower()
    if said in (Transport.UDP, Transport.TCP, Transport.TLS):
        return Transport(said)
    return upstream.flow.transport if upstream is not None and not said else Transport.UDP
