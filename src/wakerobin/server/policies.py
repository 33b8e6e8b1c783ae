"""The options of an app as the policies of the core."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from wakerobin.core.addresses import DestinationPolicy, networks_in
from wakerobin.core.call import CallPolicy
from wakerobin.core.errors import ConfigurationError
from wakerobin.core.lifetime import LifetimePolicy
from wakerobin.ports.options import AppOptions, Options
from wakerobin.services.lives import policy_of


def lifetime_policies(options: Options) -> dict[str, LifetimePolicy]:
    """Return the policy of each app. Raises ConfigurationError that names the app."""
    policies = {}
    for name, app in options.apps.items():
        try:
            policies[name] = policy_of(app.lifetime)
        except ConfigurationError as error:
            raise ConfigurationError(f"apps.{name}: {error}") from None
    return policies


def call_policy(options: Options, app: AppOptions | None) -> CallPolicy:
    """Return the policy of one app's calls, in seconds."""
    sip = options.sip
    app = app if app is not None else AppOptions()
    return CallPolicy(
        wake_timeout=sip.wake_timeout / 1000,
        ring_timeout=sip.ring_timeout / 1000,
        ringback=sip.ringback,
        live_flow=sip.live_flow / 1000,
        live_flow_answer=sip.live_flow_answer / 1000,
        decline_all=app.decline == "all",
        decline_code=app.decline_code,
        max_breadth=sip.max_breadth,
        t1=sip.t1 / 1000,
    )


def destination_policy(options: Options, own_listeners: Iterable[tuple[str, int]] = ()) -> DestinationPolicy:
    """Return where this server may send to; what the operator spells out is named."""
    named: set[str] = set()
    listed: list[str] = []
    for app in options.apps.values():
        for pattern in app.registrars:
            if _is_address(pattern):
                named.add(pattern)
            elif "/" in pattern:
                listed.append(pattern)
        if app.apns is not None:
            named.add(urlsplit(app.apns.url).hostname or "")
    private = networks_in([*options.sip.allow_private, *listed])
    return DestinationPolicy(private, frozenset(named - {""}), frozenset(own_listeners))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True
