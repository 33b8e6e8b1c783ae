"""The options of an app as the policies of the core."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection

from wakerobin.core.addresses import DestinationPolicy, networks_in
from wakerobin.core.call import CallPolicy
from wakerobin.core.errors import ConfigurationError
from wakerobin.core.lifetime import LifetimePolicy
from wakerobin.ports.options import AppOptions, Options
from wakerobin.push.webpush.endpoint import read_endpoint
from wakerobin.services.lives import policy_of

_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


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


def destination_policy(options: Options, local: Collection[str]) -> DestinationPolicy:
    """Return where this server may send to; what the operator spells out is named.

    The URLs of push services are not: each service names its own to itself (`Origin.from_url`), and what
    stands here is open to the endpoints that apps bring.

    `local` are the addresses of this machine: a listener on all of them is this server on each.
    """
    named: set[str] = set()
    listed: list[str] = []
    for app in options.apps.values():
        for pattern in app.registrars:
            if _is_address(pattern):
                named.add(pattern)
            elif "/" in pattern:
                listed.append(pattern)
        if app.webpush is not None:
            named.update(app.webpush.hosts)
    private = networks_in([*options.sip.allow_private, *listed])
    return DestinationPolicy(private, frozenset(named), own_listeners(options, local))


def endpoint_refusal(policy: DestinationPolicy) -> Callable[[str], str]:
    """Return what says why the endpoint of a subscription may not be pushed to; empty where it may.

    A name is looked up at each connect, and the policy asked again with what it is then.
    """

    def refusal(url: str) -> str:
        endpoint = read_endpoint(url, policy)
        if isinstance(endpoint, str):
            return endpoint
        if _is_address(endpoint.host):
            return policy.refusal(endpoint.host, endpoint.port) or ""
        return ""

    return refusal


def own_listeners(options: Options, local: Collection[str]) -> frozenset[tuple[str, int]]:
    """Return address and port of each of our own sockets, wildcards spelled out."""
    texts = [text.partition(":")[2] for text in options.sip.listen]
    found: set[tuple[str, int]] = set()
    for text in (*texts, options.http.listen):
        host, _, port = text.rpartition(":")
        host = host.strip("[]")
        if port.isdigit() and int(port):  # port 0 is known only when it listens, and to nobody before
            hosts = local if host in _WILDCARDS else (host,)
            found |= {(one, int(port)) for one in hosts}
    return frozenset(found)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True
