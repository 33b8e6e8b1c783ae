"""Pushes to a server of the operator's own, for apps with a push path that we do not know."""

from __future__ import annotations

from wakerobin.core.addresses import DestinationPolicy
from wakerobin.core.pushes import Outcome, PushMessage
from wakerobin.ports.options import WebhookOptions
from wakerobin.push.connection import PoolOptions, Surroundings
from wakerobin.push.place import Place
from wakerobin.push.posting import Letter, PostingService
from wakerobin.push.reporting import line_reporter
from wakerobin.push.webhook.letter import read_secrets, write
from wakerobin.push.webhook.verdicts import judge


def webhook_service(
    options: WebhookOptions,
    around: Surroundings,
    policy: DestinationPolicy,
    *,
    pool: PoolOptions | None = None,
    key: str = "webhook",
) -> PostingService:
    """Make the service of the setting group `key`. Raises ConfigurationError for what cannot be used."""
    secrets = read_secrets(options.secrets, f"{key}.secrets")
    place = Place.from_url(options.url, options.ca_file, policy, f"{key}.url")

    def signed(message: PushMessage, now: int) -> Letter | Outcome:
        return write(message, now, secrets)

    reporter = line_reporter("webhook", key)
    return PostingService(place, around, signed, judge, pool=pool, on_line=reporter)
