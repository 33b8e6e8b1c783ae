"""What is logged and counted of the connections to a push service."""

from __future__ import annotations

from collections.abc import Callable

from wakerobin import log, metrics

_log = log.get("push")


def line_reporter(provider: str, group: str) -> Callable[[str, str], None]:
    """Return what a pool calls with an event and its reason; `group` is the table of the settings."""

    def report(event: str, reason: str) -> None:
        gauge = metrics.PUSH_CONNECTIONS.labels(provider)
        match event:
            case "opened":
                gauge.inc()
                _log.info("push_connection_opened", provider=provider, settings=group)
            case "closed":
                gauge.dec()
                _log.info("push_connection_closed", provider=provider, reason=reason)
            case "failed":
                _log.warning("push_connection_failed", provider=provider, reason=reason)
            case _:
                _log.info("push_connection_left", provider=provider, reason=reason)

    return report
