"""What the settings of an app may be beyond their type: its life, its refusals, and each push service."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from wakerobin.core.addresses import is_host_pattern
from wakerobin.ports.options import (
    AcrobitsOptions,
    ApnsOptions,
    AppOptions,
    FcmOptions,
    LifetimeOptions,
    WebhookOptions,
    WebPushOptions,
)

_CHOICES = {
    "handover": ("always", "alternate"),
    "decline": ("all", "this-phone"),
    "mwi": ("unsolicited", "subscribe", "off"),
    "push_privacy": ("full", "none", "encrypted"),
}


def wrong_in_app(where: str, app: AppOptions) -> Iterator[str]:
    """Yield what is wrong in the table `where` (`apps.NAME`), each as a sentence that names the key."""
    if not app.enrolment_key:
        yield f"{where}.enrolment_key: is missing; make one with `openssl rand -hex 16`"
    for key, allowed in _CHOICES.items():
        value = getattr(app, key)
        if value not in allowed:
            yield f"{where}.{key} = {value!r}: choose one of {', '.join(allowed)}"
    if not 400 <= app.decline_code <= 699:
        yield f"{where}.decline_code = {app.decline_code}: is no SIP refusal (400-699)"
    if app.plain_8599 and not (app.registrars and (app.apns or app.fcm or app.webpush)):
        yield f"{where}.plain_8599: needs registrars, and apns, fcm or webpush to push with"
    yield from _wrong_life(f"{where}.lifetime", app.lifetime)
    yield from _wrong_push(where, app)


def wrong_registrars(where: str, app: AppOptions) -> Iterator[str]:
    """Yield the patterns of `registrars` that can match nothing."""
    for pattern in app.registrars:
        if not is_host_pattern(pattern):
            yield (
                f"{where}.registrars: {pattern!r} matches nothing; write a host such as pbx.example, "
                "*.pbx.example, an address or a network, without sip: and port"
            )


def _wrong_life(where: str, life: LifetimeOptions) -> Iterator[str]:
    if life.lifetime <= 0 or life.renewal_every <= 0:
        yield f"{where}: lifetime and renewal_every are longer than 0"
    for lead in life.warnings:
        if lead >= life.lifetime:
            yield f"{where}.warnings: a warning before the life begins is none"


def _wrong_push(where: str, app: AppOptions) -> Iterator[str]:
    if app.apns is not None:
        yield from _wrong_apns(where, app.apns, app.lifetime)
    if app.fcm is not None:
        yield from _wrong_fcm(f"{where}.fcm", app.fcm)
    if app.webpush is not None:
        yield from _wrong_webpush(f"{where}.webpush", app.webpush)
    if app.webhook is not None:
        yield from _wrong_webhook(f"{where}.webhook", app.webhook)
    if app.acrobits is not None:
        yield from _wrong_acrobits(f"{where}.acrobits", app.acrobits)


def _wrong_apns(where: str, apns: ApnsOptions, life: LifetimeOptions) -> Iterator[str]:
    wanted = ("cert_file", "topic") if apns.cert_file else ("key_file", "key_id", "team_id", "topic")
    for key in wanted:
        if not getattr(apns, key):
            yield f"{where}.apns.{key}: is missing"
    if apns.cert_file and apns.key_file:
        yield f"{where}.apns: has key_file and cert_file; keep one, best the key: it does not expire"
    if apns.keep_alive < 10_000:
        yield f"{where}.apns.keep_alive: 10s at least; Apple closes connections that ask too often"
    if ".push.apple.com" in apns.url and life.renewal_every < 20 * 60_000:
        yield f"{where}.lifetime.renewal_every: Apple takes 2 or 3 an hour; 20m at least"


def _wrong_fcm(where: str, fcm: FcmOptions) -> Iterator[str]:
    if not fcm.service_account_file:
        yield (
            f"{where}.service_account_file: is missing; Firebase console, Project settings, "
            "Service accounts, Generate new private key"
        )
    yield from _wrong_url(f"{where}.url", fcm.url)
    if fcm.token_url:
        yield from _wrong_url(f"{where}.token_url", fcm.token_url)


def _wrong_webpush(where: str, webpush: WebPushOptions) -> Iterator[str]:
    if not webpush.vapid_key_file:
        yield f"{where}.vapid_key_file: is missing; it is the private key that subscriptions are bound to"
    if not webpush.subject.startswith(("mailto:", "https:")):
        yield f"{where}.subject = {webpush.subject!r}: write mailto:you@example.com or an https: address"
    if webpush.page:
        yield from _wrong_url(f"{where}.page", webpush.page)
    for host in webpush.hosts:
        name, _, port = host.rpartition(":")
        if not is_host_pattern(name if name and port.isdecimal() else host) or "*" in host:
            yield f"{where}.hosts: {host!r} is no host; write push.lan or push.lan:8443"


def _wrong_webhook(where: str, webhook: WebhookOptions) -> Iterator[str]:
    if not webhook.url:
        yield f"{where}.url: is missing; it is where pushes are posted to"
    else:
        # Without TLS it is posted only to addresses that are not public.
        yield from _wrong_url(f"{where}.url", webhook.url, ("https", "http"))
    if not webhook.secrets:
        yield f"{where}.secrets: is missing; make one with `echo whsec_$(openssl rand -base64 32)`"


def _wrong_acrobits(where: str, acrobits: AcrobitsOptions) -> Iterator[str]:
    yield from _wrong_url(f"{where}.url", acrobits.url)


def _wrong_url(key: str, url: str, schemes: tuple[str, ...] = ("https",)) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        yield f"{key} = {url!r}: is no https address"
