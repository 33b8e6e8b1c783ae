"""What `serve` prints when it is ready: a line for each thing that is on, and for each that is off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import wakerobin
from wakerobin.cli.flags import Configured
from wakerobin.core.addresses import Reach, parse_address, reach
from wakerobin.ports.options import AppOptions, HttpOptions, Options

if TYPE_CHECKING:
    from wakerobin.server import Server


def announcement(configuration: Configured, server: Server) -> list[str]:
    """Return the lines."""
    options, where = configuration.options, str(configuration.file)
    lines = [f"Wakerobin {wakerobin.__version__} is ready."]
    lines += [f"  on   {text}" for text in _on(configuration, server)]
    lines += [f"  off  {text}" for text in _off(options, where, server.api_address)]
    lines += [f"  note {text}" for text in server.remarks]
    return lines


def _on(configuration: Configured, server: Server) -> Iterator[str]:
    assert server.rooms is not None
    for listener in server.rooms.endpoint.listeners:
        yield f"SIP: {listener}"
    options = configuration.options
    if server.api_address is not None:
        scheme = "https" if options.http.tls_cert else "http"
        yield f"API: {scheme}://{_host_port(*server.api_address)}"
    for name, app in options.apps.items():
        if app.registrars:
            yield f"enrolment: app {name}, accounts of {', '.join(app.registrars)}"
        if app.plain_8599:
            yield f"RFC 8599: app {name}, phones that never enrolled, of {', '.join(app.registrars)}"
        for service in _push_services(app):
            yield f"push: app {name}, {service}"
    yield f"data: {server.folders.data} (the key to its secrets: {server.folders.key_file})"
    if configuration.is_read:
        yield f"configuration: {configuration.file}"


def _off(options: Options, where: str, address: tuple[str, int] | None) -> Iterator[str]:
    if address is None:
        yield f"API: http.listen is empty; set it in {where}, for example to 127.0.0.1:8088"
    elif not _is_reachable(options.http, address[0]):
        yield (
            "API: unencrypted requests from other machines are refused; set http.tls_cert and http.tls_key, "
            "or http.trusted_proxies"
        )
    if not options.apps:
        yield f"enrolment: no app is configured; add [apps.NAME] with enrolment_key and registrars to {where}"
    for name, app in options.apps.items():
        if not app.registrars:
            yield f"enrolment: app {name} may enrol at no PBX; list them in apps.{name}.registrars"
        if not any(_push_services(app)):
            yield (
                f"push: app {name} has no push service, so that no call wakes its phones; "
                f"add [apps.{name}.apns], fcm, webpush, webhook or acrobits"
            )
    if not options.sip.listen:
        yield f"SIP: sip.listen is empty, so that neither PBX nor phone gets through; set it in {where}"
    elif not options.sip.public:
        yield "public name: phones are told a local address; set sip.public to the name that they can reach"


def _push_services(app: AppOptions) -> Iterator[str]:
    if app.apns is not None:
        yield f"APNs, topic {app.apns.topic}"
    if app.fcm is not None:
        yield "Firebase"
    if app.webpush is not None:
        yield "Web Push and UnifiedPush"
    if app.webhook is not None:
        yield "a webhook"
    if app.acrobits is not None:
        yield "Acrobits"


def _is_reachable(http: HttpOptions, host: str) -> bool:
    """Whether the API can be used by those whom it listens to."""
    address = parse_address(host)
    is_local = address is not None and reach(address) is Reach.LOOPBACK
    return is_local or bool(http.tls_cert or http.trusted_proxies)


def _host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
