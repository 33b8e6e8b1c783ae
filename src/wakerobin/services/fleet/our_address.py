"""Our own address as each PBX sees it: the route's, what the settings say, or what a NAT makes of it."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from wakerobin.core.addresses import matches_host, parse_address
from wakerobin.core.errors import ConfigurationError, SipSyntaxError
from wakerobin.core.sip.uri import SipUri
from wakerobin.core.values import Account, Flow, Transport
from wakerobin.ports.sip import SipEndpoint

_MOST_CHANGES = 4
_FORGET_AFTER_S = 3_600.0
_AOR, _SECRET = "aor", "random"


class OurAddresses:
    """What goes into Contact and Record-Route towards each PBX (address and port).

    `towards` are the networks for which the operator has said it; nothing is learnt there. `users` says, by
    a pattern of PBXs' names, which user part: `aor`, where a PBX insists on it, else a secret one. Raises
    ConfigurationError for another word.
    """

    def __init__(self, endpoint: SipEndpoint, towards: dict[str, str], users: dict[str, str]) -> None:
        self._endpoint = endpoint
        if wrong := set(users.values()) - {_AOR, _SECRET}:
            raise ConfigurationError(f"sip.contact_user: {min(wrong)!r} is neither `aor` nor `random`")
        self._named = tuple(pattern for pattern, kind in users.items() if kind == _AOR)
        self._said = [ipaddress.ip_network(network, strict=False) for network in towards]
        self._seen: dict[tuple[Transport, str, int], tuple[str, int]] = {}
        self._changes: dict[tuple[Transport, str, int], list[float]] = {}

    def towards(self, flow: Flow) -> tuple[str, int]:
        """Return the address and port under which the far end of this flow reaches us."""
        seen = self._seen.get((flow.transport, *flow.remote))
        return seen or self._endpoint.local_address(flow.transport, flow.remote[0])

    def learn(self, flow: Flow, seen: tuple[str, int | None] | None, now_s: float) -> bool:
        """Note where the far end saw us; whether that is another address than it was told.

        A NAT that gives out a new port every few minutes is not followed for ever.
        """
        if seen is None:
            return False
        host, port = self.towards(flow)
        if seen[0] == host and seen[1] in (None, port):
            return False  # as it should be: nothing needs to be taken apart
        address = parse_address(seen[0])
        if address is None or self._is_said(flow.remote[0]):
            return False
        is_same_host = parse_address(host) == address
        if is_same_host and seen[1] in (None, port):
            return False
        key = (flow.transport, *flow.remote)
        changes = [at for at in self._changes.get(key, ()) if now_s - at < _FORGET_AFTER_S]
        self._changes[key] = [*changes, now_s][-_MOST_CHANGES:]
        if len(changes) >= _MOST_CHANGES:
            return False
        self._seen[key] = (str(address), port if seen[1] is None else seen[1])
        return True

    def contact(self, account: Account, flow: Flow) -> str:
        """Return the URI of our Contact for an account towards its PBX."""
        user = account.aor.removeprefix("sip:").rpartition("@")[0]
        if self.has_secret_user(account):
            user = account.contact_user
        return contact_uri(user, self.towards(flow), flow.transport)

    def has_secret_user(self, account: Account) -> bool:
        """Whether the user part of that URI is known to nobody else: then it is ours wherever it stands."""
        if not self._named:
            return True
        hosts = _hosts(account.aor, account.registrar, account.outbound_proxy)
        return not any(matches_host(pattern, host) for pattern in self._named for host in hosts)

    def is_learnt(self, flow: Flow) -> bool:
        """Whether the far end sees us behind a NAT."""
        return (flow.transport, *flow.remote) in self._seen

    def learnt(self) -> list[tuple[str, str, int, str, int]]:
        """Return what is worth remembering over a restart: transport, far end, our address and port."""
        return [
            (transport.value, remote, remote_port, host, port)
            for (transport, remote, remote_port), (host, port) in self._seen.items()
        ]

    def remember(self, learnt: list[tuple[str, str, int, str, int]]) -> None:
        """Take up what `learnt` gave out before a restart."""
        for transport, remote, remote_port, host, port in learnt:
            if not self._is_said(remote):
                self._seen[Transport(transport), remote, remote_port] = (host, port)

    def _is_said(self, remote: str) -> bool:
        address = parse_address(remote)
        return address is not None and any(address in network for network in self._said)


@lru_cache(maxsize=4096)
def _hosts(aor: str, registrar: str, outbound_proxy: str) -> tuple[str, ...]:
    """Return the names that an account's PBX goes by."""
    named = (aor, f"sip:{registrar}" if registrar else "", outbound_proxy)
    try:
        return tuple(SipUri.parse(one).host for one in named if one)
    except SipSyntaxError:
        return ()


def contact_uri(user: str, address: tuple[str, int], transport: Transport) -> str:
    """Return our Contact's URI for an account at a PBX."""
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"sip:{user}@{host}:{address[1]};transport={transport.value}"
