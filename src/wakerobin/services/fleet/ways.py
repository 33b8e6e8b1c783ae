"""The ways between an account and its PBX: where requests to it go, and whose requests are believed."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from wakerobin import log
from wakerobin.core.addresses import Network, parse_address
from wakerobin.core.errors import ConfigurationError
from wakerobin.core.values import Account, Flow, Transport
from wakerobin.services.fleet.cycle import proxy_route
from wakerobin.services.fleet.hops import hop_to
from wakerobin.services.fleet.our_address import OurAddresses
from wakerobin.services.fleet.refreshing import Refreshing
from wakerobin.services.fleet.registrars import Registrars
from wakerobin.services.fleet.schedule import Roster
from wakerobin.services.fleet.surroundings import Surroundings
from wakerobin.services.fleet.values import Upstream

_MOST_SHOWN = 1_000

_log = log.get("fleet")


class Ways:
    """Answers from what refreshing knows; nothing here waits. Raises ConfigurationError when it is made."""

    def __init__(
        self,
        around: Surroundings,
        roster: Roster,
        registrars: Registrars,
        addresses: OurAddresses,
        refreshing: Refreshing,
    ) -> None:
        options = around.options.sip
        self._around = around
        self._roster = roster
        self._registrars = registrars
        self._addresses = addresses
        self._refreshing = refreshing
        self._allowed = _networks(options.call_sources)
        self._is_strict = options.call_sources_policy == "strict"
        self._shown: set[tuple[int, str]] = set()

    def upstream(self, account_id: int) -> Upstream | None:
        """Return the way to an account's PBX; None for an account that is not kept bound, or not yet."""
        row = self._roster.row(account_id)
        if row is None:
            return None
        account = self._around.store.read(lambda tx: tx.accounts.get(account_id))
        flow = self._flow(row, account_id)
        if account is None or flow is None:
            return None
        ours = self._addresses.towards(flow)
        return Upstream(
            flow=flow,
            contact_uri=self._addresses.contact(account, flow),
            our_address=ours,
            service_route=self._refreshing.service_routes.get(account_id, ()),
            proxy_uri=proxy_route(account.outbound_proxy),
            domain=account.aor.rpartition("@")[2],
        )

    def our_address(self, account_id: int) -> tuple[str, int, Transport] | None:
        """Return where, and how, an account's PBX reaches us; None as for `upstream`, which costs more."""
        row = self._roster.row(account_id)
        flow = None if row is None else self._flow(row, account_id)
        return None if flow is None else (*self._addresses.towards(flow), flow.transport)

    def _flow(self, row: int, account_id: int) -> Flow | None:
        hop = self._refreshing.hops.of(row)
        if hop is None:
            registrar = self._registrars[self._roster.registrar[row]]
            registrar.resolve_soon()
            targets = registrar.targets(account_id)
            if not targets:
                return None
            hop = hop_to(targets[0], account_id, self._around.options.sip.pbx_connections)
        return hop.flow(self._around.endpoint)

    def is_from_pbx(self, account: Account, flow: Flow) -> bool:
        """Whether a request for this account that came over this flow may ring its phones.

        Known are what the names of its PBX resolve to or have resolved to, and `call_sources`.
        From elsewhere `call_sources_policy` decides; the address is then shown to the operator once.
        """
        if self.is_known(account, flow):
            return True
        self._show(account, flow)
        return not self._is_strict

    def is_known(self, account: Account, flow: Flow) -> bool:
        """Whether a flow comes from an address that belongs to an account's PBX, whatever the policy."""
        source = parse_address(flow.remote[0])
        if source is None:
            return False
        return self._registrars.is_source(account, str(source)) or any(
            source in network for network in self._allowed
        )

    def _show(self, account: Account, flow: Flow) -> None:
        seen = (account.id, flow.remote[0])
        if seen in self._shown:
            return
        if len(self._shown) >= _MOST_SHOWN:
            self._shown.clear()
        self._shown.add(seen)
        _log.warning("call_source_unknown", account=account.id, address=flow.remote[0])
        registrar = f"{self._registrars.of(account).hop}"
        self._refreshing.alarms.stranger(registrar, flow.remote[0], is_refused=self._is_strict)


def _networks(listed: Iterable[str]) -> list[Network]:
    try:
        return [ipaddress.ip_network(text.strip(), strict=False) for text in listed]
    except ValueError as fault:
        raise ConfigurationError(
            f"sip.call_sources: {fault}; write networks like 192.0.2.0/24 or 2001:db8::/32"
        ) from None
