"""What a value may be beyond its type: ranges, choices, and what goes together."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from wakerobin.core.addresses import is_host_pattern, networks_in
from wakerobin.core.errors import ConfigurationError
from wakerobin.ports.options import ApnsOptions, AppOptions, LifetimeOptions, Options

_MOST = 1_000_000


def check(options: Options, place: str) -> None:
    """Raise ConfigurationError for the first value that cannot be used."""
    for wrong in _wrong(options):
        raise ConfigurationError(f"{place}: {wrong}")


def _wrong(options: Options) -> Iterator[str]:
    for name, app in options.apps.items():
        yield from _wrong_app(f"apps.{name}", app)
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
    sip = options.sip
    above_zero = {
        "sip.register_rate": sip.register_rate,
        "sip.unproven_rate": sip.unproven_rate,
        "sip.t1": sip.t1,
        "sip.wake_timeout": sip.wake_timeout,
        "sip.ring_timeout": sip.ring_timeout,
    }
    for key, number in above_zero.items():
        if not number > 0:  # false for nan, too
            yield f"{key}: must be above 0"
    at_least_one = {
        "sip.register_burst": sip.register_burst,
        "sip.unproven_refusals": sip.unproven_refusals,
        "sip.max_breadth": sip.max_breadth,
        "http.enrolments_per_hour": options.http.enrolments_per_hour,
    }
    for key, number in at_least_one.items():
        if not 1 <= number <= _MOST:
            yield f"{key} = {number}: must be from 1 to {_MOST}"
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
        "http.trusted_proxies": options.http.trusted_proxies,
    }
    for key, patterns in lists.items():
        for pattern in patterns:
            if not networks_in([pattern]):
                yield f"{key}: {pattern!r} is no network; write an address or a network like 192.168.1.0/24"


def _wrong_names(options: Options) -> Iterator[str]:
    public = options.sip.public
    if public and (set(public) & set("*/") or not is_host_pattern(public)):
        yield f"sip.public = {public!r}: is no name or address of a host"
    url = urlsplit(options.http.public_url)
    if options.http.public_url and not (url.scheme in ("https", "http") and url.netloc):
        yield "http.public_url: is no address such as https://push.example.com"
    for name, app in options.apps.items():
        for pattern in app.registrars:
            if not is_host_pattern(pattern):
                yield (
                    f"apps.{name}.registrars: {pattern!r} matches nothing; write a host such as pbx.example, "
                    "*.pbx.example, an address or a network, without sip: and port"
                )


def _wrong_app(where: str, app: AppOptions) -> Iterator[str]:
    if not app.enrolment_key:
        yield f"{where}.enrolment_key: is missing; make one with `openssl rand -hex 16`"
    if app.decline not in ("all", "this-phone"):
        yield f"{where}.decline = {app.decline!r}: choose one of all, this-phone"
    if not 400 <= app.decline_code <= 699:
        yield f"{where}.decline_code = {app.decline_code}: is no SIP refusal (400-699)"
    yield from _wrong_life(f"{where}.lifetime", app.lifetime)
    if app.apns is not None:
        yield from _wrong_apns(where, app.apns, app.lifetime)


def _wrong_life(where: str, life: LifetimeOptions) -> Iterator[str]:
    if life.lifetime <= 0 or life.renewal_every <= 0:
        yield f"{where}: lifetime and renewal_every are longer than 0"
    for lead in life.warnings:
        if lead >= life.lifetime:
            yield f"{where}.warnings: a warning before the life begins is none"


def _wrong_apns(where: str, apns: ApnsOptions, life: LifetimeOptions) -> Iterator[str]:
    for key in ("key_file", "key_id", "team_id", "topic"):
        if not getattr(apns, key):
            yield f"{where}.apns.{key}: is missing"
    if ".push.apple.com" in apns.url and life.renewal_every < 20 * 60_000:
        yield f"{where}.lifetime.renewal_every: Apple takes 2 or 3 an hour; 20m at least"
