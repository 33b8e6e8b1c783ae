"""What a value may be beyond its type: ranges, choices, and what goes together."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from wakerobin.core.addresses import is_host_pattern, networks_in
from wakerobin.core.errors import ConfigurationError
from wakerobin.ports.options import Options
from wakerobin.settings.app_checks import wrong_in_app, wrong_registrars

_MOST = 1_000_000


def check(options: Options, place: str) -> None:
    """Raise ConfigurationError for the first value that cannot be used."""
    for wrong in _wrong(options):
        raise ConfigurationError(f"{place}: {wrong}")


def _wrong(options: Options) -> Iterator[str]:
    for name, app in options.apps.items():
        yield from wrong_in_app(f"apps.{name}", app)
    yield from _wrong_choices(options)
    yield from _wrong_numbers(options)
    yield from _wrong_networks(options)
    yield from _wrong_names(options)
    if bool(options.http.tls_cert) != bool(options.http.tls_key):
        yield "http.tls_cert and http.tls_key go together"


def _wrong_choices(options: Options) -> Iterator[str]:
    choices = {
        "sip.ringback": (options.sip.ringback, ("immediate", "pushed", "device")),
        "sip.call_sources_policy": (options.sip.call_sources_policy, ("learn", "strict")),
        "log.level": (options.log.level, ("debug", "info", "warning", "error")),
        "log.format": (options.log.format, ("auto", "text", "json")),
    }
    for key, (value, allowed) in choices.items():
        if value not in allowed:
            yield f"{key} = {value!r}: choose one of {', '.join(allowed)}"


def _wrong_numbers(options: Options) -> Iterator[str]:
    sip, limits = options.sip, options.limits
    above_zero = {
        "sip.register_rate": sip.register_rate,
        "sip.unproven_rate": sip.unproven_rate,
        "sip.t1": sip.t1,
        "push.rate": options.push.rate,
        "sip.wake_timeout": sip.wake_timeout,
        "sip.ring_timeout": sip.ring_timeout,
        "limits.source_rate": limits.source_rate,
        "limits.strangers_rate": limits.strangers_rate,
        "limits.phone_rate": limits.phone_rate,
        "limits.pbx_rate": limits.pbx_rate,
        "limits.handshake_time": limits.handshake_time,
        "limits.first_message_time": limits.first_message_time,
        "limits.unproven_time": limits.unproven_time,
    }
    for key, number in above_zero.items():
        if not number > 0:  # false for nan, too
            yield f"{key}: must be above 0"
    at_least_one = {
        "sip.register_burst": sip.register_burst,
        "sip.unproven_refusals": sip.unproven_refusals,
        "sip.pbx_connections": sip.pbx_connections,
        "sip.max_breadth": sip.max_breadth,
        "limits.connections": limits.connections,
        "limits.connections_per_source": limits.connections_per_source,
        "limits.unproven_per_source": limits.unproven_per_source,
        "limits.handshakes": limits.handshakes,
        "limits.source_burst": limits.source_burst,
        "limits.phone_burst": limits.phone_burst,
        "push.in_flight": options.push.in_flight,
        "http.enrolments_per_hour": options.http.enrolments_per_hour,
    }
    for key, number in at_least_one.items():
        if not 1 <= number <= _MOST:
            yield f"{key} = {number}: must be from 1 to {_MOST}"
    if limits.unread < 65_536:
        yield "limits.unread: must be at least 65536, the longest message"
    if not sip.recovery_rate >= 0:  # false for nan, too
        yield "sip.recovery_rate: must be 0 or more"
    if options.store.max_pages < 0:
        yield "store.max_pages: must be 0 (no limit) or more"
    if sip.register_expires < 1000:
        yield "sip.register_expires: must be at least 1s"
    if not 1000 <= sip.phone_expires_min <= sip.phone_expires_max:
        yield "sip.phone_expires_min: must be at least 1s and at most sip.phone_expires_max"


def _wrong_networks(options: Options) -> Iterator[str]:
    lists = {
        "sip.allow_private": options.sip.allow_private,
        "sip.call_sources": options.sip.call_sources,
        "sip.towards": tuple(options.sip.towards),
        "limits.trusted": options.limits.trusted,
        "http.trusted_proxies": options.http.trusted_proxies,
    }
    for key, patterns in lists.items():
        for pattern in patterns:
            if not networks_in([pattern]):
                yield f"{key}: {pattern!r} is no network; write an address or a network like 192.168.1.0/24"


def _wrong_names(options: Options) -> Iterator[str]:
    for pattern, kind in options.sip.contact_user.items():
        if not is_host_pattern(pattern):
            yield f"sip.contact_user: {pattern!r} matches nothing; write a host such as *.pbx.example"
        if kind not in ("aor", "random"):
            yield f"sip.contact_user: {kind!r} for {pattern} is neither aor nor random"
    public = options.sip.public
    if public and (set(public) & set("*/") or not is_host_pattern(public)):
        yield f"sip.public = {public!r}: is no name or address of a host"
    url = urlsplit(options.http.public_url)
    if options.http.public_url and not (url.scheme in ("https", "http") and url.netloc):
        yield "http.public_url: is no address such as https://push.example.com"
    for name, app in options.apps.items():
        yield from wrong_registrars(f"apps.{name}", app)
