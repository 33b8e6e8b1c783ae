"""Pushes to Apple's devices for one app: `ports.push` on the connection pool."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from wakerobin.core.addresses import DestinationPolicy
from wakerobin.core.pushes import (
    Accepted,
    Lane,
    Outcome,
    PushMessage,
    Rejected,
    TargetGone,
    Unavailable,
)
from wakerobin.core.values import PushTarget
from wakerobin.ports.options import ApnsOptions
from wakerobin.ports.push import always_wanted
from wakerobin.push.apns import notification
from wakerobin.push.apns.certificate import read_certificate
from wakerobin.push.apns.verdicts import Consequence, judge
from wakerobin.push.connection import (
    Failure,
    Headers,
    Origin,
    Pool,
    PoolOptions,
    Request,
    Result,
    Surroundings,
)
from wakerobin.push.jwt import TeamToken
from wakerobin.push.reporting import line_reporter
from wakerobin.push.sending import OnOutcome, Wish, outcome_of

PRODUCTION_HOST: Final = "api.push.apple.com"
SANDBOX_HOST: Final = "api.sandbox.push.apple.com"
_OTHER_ENVIRONMENT: Final = {
    PRODUCTION_HOST: f"https://{SANDBOX_HOST}",
    SANDBOX_HOST: f"https://{PRODUCTION_HOST}",
}

_DEVICE_TOKEN = re.compile(r"[0-9A-Fa-f]{2,400}")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,255}")

_MOST_REMEMBERED = 20_000


class ApnsService:
    """Apple's push service with the key or certificate of one app. Connections, once made, are kept.

    `token` may be shared with other apps of the team, connections never are: Apple binds each to the
    topics that it saw first. None: the app has a certificate.

    A call to a device that no push reached yet goes over a connection of its own, since Apple holds bad
    device tokens against the connection; it slows down, and at last closes, what brings many.
    """

    def __init__(  # noqa: PLR0913 - what it stands on, then options by name
        self,
        options: ApnsOptions,
        token: TeamToken | None,
        around: Surroundings,
        policy: DestinationPolicy,
        *,
        pool: PoolOptions | None = None,
        second_url: str = "",
        key: str = "apns",
    ) -> None:
        """Raise ConfigurationError, naming the setting group `key`, where a file or `url` cannot be used.

        `second_url` is asked when the first knows no such device and the app did not say which
        environment its token is for; empty: Apple's other environment, if `url` is one of Apple's.
        """
        self._options = options
        self._token = token
        self._around = around
        pool = pool or PoolOptions(trial_connections=1, ping_after=options.keep_alive / 1000)
        self._certificate = read_certificate(options, key) if token is None else None
        client = self._certificate.client if self._certificate else None

        def pool_to(url: str) -> Pool:
            origin = Origin.from_url(url, options.ca_file, policy, f"{key}.url", certificate=client)
            return Pool(origin, around, pool, line_reporter("apns", key))

        self._pools = [pool_to(options.url)]
        first_host = self._pools[0].origin.host
        second_url = second_url or _OTHER_ENVIRONMENT.get(first_host, "")
        if second_url:
            self._pools.append(pool_to(second_url))
        self._environments = (
            ("sandbox", "production") if first_host == SANDBOX_HOST else ("production", "sandbox")
        )
        self._known: OrderedDict[int, str] = OrderedDict()
        """Device tokens (as hashes) that a push reached, with the environment that knows them."""
        self._has_begun = False

    async def warm(self) -> None:
        """Take up the provider token and open the call connections; both are kept from now on."""
        if not self._has_begun:
            self._has_begun = True
            if self._certificate is not None:
                self._certificate.tell(self._options.topic, self._around.clock.now())
            if self._token is not None:
                await self._token.start()
        await self._pools[0].warm()

    async def close(self) -> None:
        """Close every connection. Pushes on their way end as Unavailable."""
        for pool in self._pools:
            await pool.close()
        if self._has_begun:
            self._has_begun = False
            if self._token is not None:
                await self._token.close()

    async def send(self, message: PushMessage, deadline: float) -> Outcome:
        """Try once, until `deadline` (monotonic seconds)."""
        return await outcome_of(self.begin, message, deadline)

    def begin(
        self,
        message: PushMessage,
        deadline: float,
        on_outcome: OnOutcome,
        is_wanted: Callable[[], bool] = always_wanted,
    ) -> ApnsAttempt:
        """As `send`, without awaiting: a call is on the wire when this returns, if a connection is free.

        Bulk is asked `is_wanted` when its turn has come: pacing may have held it for seconds.
        """
        attempt = ApnsAttempt(self, Wish(message, deadline, on_outcome, is_wanted))
        refusal = self._refusal(message)
        if refusal is not None:
            on_outcome(refusal)
            return attempt
        body = notification.body(message)
        if body is None:
            on_outcome(Rejected("PayloadTooLarge"))
        else:
            attempt.start(body, self._pools_for(message.target))
        return attempt

    def headers(self, message: PushMessage, pool: Pool) -> Headers:
        """Build the headers of a push over one of the pools, with the token of the moment."""
        topic, token = self._options.topic, self._token.current() if self._token else ""
        return notification.headers(message, pool.origin.authority, topic, token)

    def outcome(self, pool: Pool, message: PushMessage, result: Result) -> Outcome:
        """Judge what came of a push, and let connection and token follow."""
        if isinstance(result, Failure):
            return Unavailable(result.reason, processed=result.processed)
        is_call = message.lane is Lane.CALLS
        judgement = judge(result, self._around.clock.now(), is_call=is_call)
        if judgement.consequence is not Consequence.NOTHING:
            pool.leave(result.connection, judgement.reason)
        if judgement.consequence is Consequence.SIGN_AGAIN and self._token is not None:
            self._token.is_refused()
        outcome = judgement.outcome
        return self._remembered(outcome, pool, message.target) if isinstance(outcome, Accepted) else outcome

    def is_on_trial(self, target: PushTarget) -> bool:
        """Whether no push has reached this device yet."""
        return not target.accepted_at and hash(target.token) not in self._known

    def _remembered(self, outcome: Accepted, pool: Pool, target: PushTarget) -> Accepted:
        """Say in the outcome which environment it was, unless that was known before."""
        environment = self._environments[self._pools.index(pool)] if len(self._pools) > 1 else ""
        token = hash(target.token)
        self._known[token] = environment
        self._known.move_to_end(token)
        if len(self._known) > _MOST_REMEMBERED:
            self._known.popitem(last=False)
        return outcome if target.environment else replace(outcome, environment=environment)

    def _refusal(self, message: PushMessage) -> Outcome | None:
        if message.type not in notification.KINDS:
            return Rejected("NotForApple")
        # Both come from the app. Apple counts bad tokens against the connection, and a topic that is
        # none could not even be written into a header.
        if _DEVICE_TOKEN.fullmatch(message.target.token.reveal()) is None:
            return TargetGone("BadDeviceToken", certain=False)
        if _TOPIC.fullmatch(message.target.topic or self._options.topic) is None:
            return Rejected("BadTopic")
        return None

    def _pools_for(self, target: PushTarget) -> list[Pool]:
        environment = target.environment or self._known.get(hash(target.token), "")
        if not environment or len(self._pools) == 1:
            return self._pools
        return [self._pools[self._environments.index(environment)]]


class ApnsAttempt:
    """One push on its way, through one environment of Apple's or both."""

    __slots__ = (
        "_is_withdrawn",
        "_pool",
        "_request",
        "_service",
        "_wish",
    )

    def __init__(self, service: ApnsService, wish: Wish) -> None:
        self._service = service
        self._wish = wish
        self._pool: Pool | None = None
        self._request: Request | None = None
        self._is_withdrawn = False

    def start(self, body: bytes, pools: list[Pool]) -> None:
        """Send it over the first pool, and over the next if its environment does not know the device."""
        pool, *others = pools

        def on_done(result: Result) -> None:
            outcome = self._service.outcome(pool, self._wish.message, result)
            is_elsewhere = others and isinstance(outcome, TargetGone) and outcome.reason == "BadDeviceToken"
            if is_elsewhere and self._is_withdrawn:
                self._wish.on_outcome(Unavailable("withdrawn", processed=False))
            elif is_elsewhere:
                self.start(body, others)
            else:
                self._wish.on_outcome(outcome)

        self._pool = pool
        self._request = self._wish.request(
            self._service.headers(self._wish.message, pool),
            body,
            on_done,
            is_on_trial=self._wish.is_call and self._service.is_on_trial(self._wish.message.target),
        )
        pool.submit(self._request)

    def withdraw(self) -> None:
        """Do not send it, nor send it again."""
        self._is_withdrawn = True
        if self._pool is not None and self._request is not None:
            self._pool.withdraw(self._request)
