"""Pushes to browsers or UnifiedPush apps: `ports.push` over a pool of connections for each push service.

Which push services there are, the subscriptions say; their addresses are asked of the destination
policy at each connect, and redirects are not followed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Final

from wakerobin import log, metrics
from wakerobin.core.addresses import DestinationPolicy
from wakerobin.core.pushes import Outcome, PushMessage, Rejected, TargetGone, Unavailable
from wakerobin.core.values import SILENCE, Provider, Silence
from wakerobin.ports.options import WebPushOptions
from wakerobin.ports.push import always_wanted
from wakerobin.push.connection import (
    EITHER,
    Answer,
    Failure,
    Headers,
    Pool,
    PoolOptions,
    Pools,
    Request,
    Result,
    Surroundings,
    client_context,
)
from wakerobin.push.reporting import line_reporter
from wakerobin.push.sending import OnOutcome, Wish, outcome_of
from wakerobin.push.webpush import notification
from wakerobin.push.webpush.encryption import BARE, SALT_OCTETS, SubscriptionKeys, encrypt, padding
from wakerobin.push.webpush.endpoint import Endpoint, read_endpoint
from wakerobin.push.webpush.ephemeral import KeyPool
from wakerobin.push.webpush.vapid import Vapid, VapidKey
from wakerobin.push.webpush.verdicts import is_too_large, judge

SHOWS_NOTHING: Final = "ShowsNothing"
BAD_ENDPOINT: Final = "BadEndpoint"
BAD_KEYS: Final = "BadSubscriptionKeys"
TOO_LARGE: Final = "PayloadTooLarge"

_log = log.get("push")


class WebPushService:
    """Web Push with the VAPID key of one app, to browsers or to UnifiedPush apps."""

    def __init__(  # noqa: PLR0913 - what it stands on, then options by name
        self,
        options: WebPushOptions,
        key: VapidKey,
        around: Surroundings,
        policy: DestinationPolicy,
        *,
        provider: Provider = Provider.WEBPUSH,
        pool: PoolOptions | None = None,
        group: str = "webpush",
    ) -> None:
        """Raise ConfigurationError, naming the setting group, where `ca_file` cannot be used."""
        self._page = options.page
        self._around = around
        self._policy = dataclasses.replace(policy, named=policy.named | frozenset(options.hosts))
        self._provider = provider
        self._vapid = Vapid(key, around.clock)
        self._keys = KeyPool(around.clock, around.timers)
        tls = client_context(options.ca_file, f"{group}.ca_file", EITHER)
        report = line_reporter(provider.value, group)
        # Apps choose the push services: none of these may tell this server the time.
        undated = dataclasses.replace(around, on_date=None)
        self._pools = Pools(undated, self._policy, tls, pool, report)

    async def warm(self) -> None:
        """Make keys ahead. Connections are opened by the first push to a push service, and kept in use."""
        self._keys.fill()

    async def close(self) -> None:
        """Close every connection. Pushes on their way end as Unavailable."""
        self._keys.close()
        await self._pools.close()

    async def send(self, message: PushMessage, deadline: float) -> Outcome:
        """Try once, until `deadline` (monotonic seconds)."""
        return await outcome_of(self.begin, message, deadline)

    def begin(
        self,
        message: PushMessage,
        deadline: float,
        on_outcome: OnOutcome,
        is_wanted: Callable[[], bool] = always_wanted,
    ) -> WebPushAttempt:
        """As `send`, without awaiting. What would show nothing to a browser is not sent."""
        attempt = WebPushAttempt(self, Wish(message, deadline, on_outcome, is_wanted))
        if self._must_show(message):
            metrics.PUSHES_SHOWING_NOTHING.labels(message.type.value).inc()
            _log.error("push_shows_nothing", type=message.type.value, push=message.id)
            on_outcome(Rejected(SHOWS_NOTHING))
            return attempt
        endpoint = read_endpoint(message.target.token.reveal(), self._policy)
        keys = SubscriptionKeys.of(message.target)
        plaintext = notification.plaintext(message, self._page)
        if isinstance(endpoint, str):
            _log.info("push_endpoint_refused", provider=self._provider.value, reason=endpoint)
            on_outcome(Rejected(BAD_ENDPOINT))
        elif message.target.token_kind == BARE:
            attempt.start(endpoint, None, b"")
        elif keys is None:
            on_outcome(TargetGone(BAD_KEYS))
        elif plaintext is None:
            on_outcome(Rejected(TOO_LARGE))
        else:
            attempt.start(endpoint, keys, plaintext)
        return attempt

    def request(
        self,
        message: PushMessage,
        endpoint: Endpoint,
        keys: SubscriptionKeys | None,
        plaintext: bytes,
        pad: int,
    ) -> tuple[Headers, bytes]:
        """Return headers and body of a push: encrypted for this once, with the token of the moment.

        Without keys nothing is said: the push is all that there is to it.
        """
        authorization = self._vapid.authorization(endpoint.origin)
        if keys is None:
            now = self._around.clock.now()
            return notification.headers(message, endpoint, authorization, now, has_body=False), b""
        headers = notification.headers(message, endpoint, authorization, self._around.clock.now())
        salt = self._around.entropy(SALT_OCTETS)
        return headers, encrypt(plaintext, keys, self._keys.take(), salt, pad)

    def shorter(self, message: PushMessage, plaintext: bytes) -> bytes | None:
        """Return a text that is shorter than the one that was too long, None where there is none."""
        return notification.plaintext(message, self._page, len(plaintext) - 1)

    def pool(self, endpoint: Endpoint) -> Pool | None:
        """Return the connections to a push service; None where too many others are in use."""
        return self._pools.of(endpoint.host, endpoint.port)

    def outcome(self, endpoint: Endpoint, result: Result) -> Outcome:
        """Judge what came of a push, and sign anew where our token was not liked."""
        if isinstance(result, Failure):
            return Unavailable(result.reason, processed=result.processed)
        judgement = judge(result, self._around.clock.now())
        if judgement.signs_again:
            self._vapid.forget(endpoint.origin)
        return judgement.outcome

    def _must_show(self, message: PushMessage) -> bool:
        """Whether this push would show nothing where it must not."""
        return SILENCE[self._provider] is not Silence.ALLOWED and notification.shows_nothing(message)


class WebPushAttempt:
    """One push on its way; a push service that finds it too large is given a shorter one, once."""

    __slots__ = (
        "_is_withdrawn",
        "_pool",
        "_request",
        "_service",
        "_wish",
    )

    def __init__(self, service: WebPushService, wish: Wish) -> None:
        self._service = service
        self._wish = wish
        self._is_withdrawn = False
        self._pool: Pool | None = None
        self._request: Request | None = None

    def start(self, endpoint: Endpoint, keys: SubscriptionKeys | None, plaintext: bytes) -> None:
        """Encrypt and send it; without keys, as it is: empty."""
        self._send(endpoint, keys, plaintext, is_first=True)

    def _send(
        self, endpoint: Endpoint, keys: SubscriptionKeys | None, plaintext: bytes, *, is_first: bool
    ) -> None:
        def on_done(result: Result) -> None:
            may_try = is_first and not self._is_withdrawn and keys is not None
            if may_try and isinstance(result, Answer) and is_too_large(result):
                shorter = self._service.shorter(self._wish.message, plaintext)
                if shorter is not None:
                    self._send(endpoint, keys, shorter, is_first=False)
                    return
            self._wish.on_outcome(self._service.outcome(endpoint, result))

        pool = self._service.pool(endpoint)
        if pool is None:
            self._wish.on_outcome(Unavailable("too many push services at once", processed=False))
            return
        pad = padding(len(plaintext)) if is_first else 0  # too long is worse than telling
        headers, body = self._service.request(self._wish.message, endpoint, keys, plaintext, pad)
        self._request = self._wish.request(headers, body, on_done)
        self._pool = pool
        pool.submit(self._request)

    def withdraw(self) -> None:
        """Do not send it, nor send it again."""
        self._is_withdrawn = True
        if self._pool is not None and self._request is not None:
            self._pool.withdraw(self._request)
