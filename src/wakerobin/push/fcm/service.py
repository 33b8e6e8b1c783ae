"""Pushes to Android devices for one app: `ports.push` on the connection pool."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from wakerobin.core.addresses import DestinationPolicy
from wakerobin.core.pushes import (
    Lane,
    Outcome,
    PushMessage,
    PushType,
    Rejected,
    TargetGone,
    Throttled,
    Unavailable,
)
from wakerobin.ports.options import FcmOptions
from wakerobin.ports.push import always_wanted
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
from wakerobin.push.fcm import notification, pacing
from wakerobin.push.fcm.access import AccessToken, Trouble
from wakerobin.push.fcm.account import ServiceAccount
from wakerobin.push.fcm.pacing import ProjectPace
from wakerobin.push.fcm.verdicts import Consequence, Judgement, judge
from wakerobin.push.place import Place
from wakerobin.push.reporting import line_reporter
from wakerobin.push.sending import OnOutcome, Wish, outcome_of

_CAN_WAIT: Final = frozenset((PushType.RENEW, PushType.EXPIRED, PushType.STILL_REACHABLE))
"""What no one waits for, and what may go out in crowds. A warning has its time, a missed call its reader."""


class FcmService:
    """Firebase with the service account of one app. Connections, once made, are kept.

    `pace` is what was sent for the project; apps of one project share it.
    """

    def __init__(  # noqa: PLR0913 - what it stands on, then options by name
        self,
        options: FcmOptions,
        account: ServiceAccount,
        pace: ProjectPace,
        around: Surroundings,
        policy: DestinationPolicy,
        *,
        pool: PoolOptions | None = None,
        key: str = "fcm",
    ) -> None:
        """Raise ConfigurationError, naming the setting group `key`, where a URL or the CA file is no use."""
        origin = Origin.from_url(options.url, options.ca_file, policy, f"{key}.url")
        token_key = f"{key}.token_url" if options.token_url else f"{key}.service_account_file: token_uri"
        place = Place.from_url(options.token_url or account.token_url, options.ca_file, policy, token_key)
        self.access = AccessToken(account, place, around)
        self._pool = Pool(origin, around, pool, line_reporter("fcm", key))
        self._place = Place(origin, f"/v1/projects/{account.project}/messages:send")
        self._pace = pace
        self._around = around

    async def warm(self) -> None:
        """Fetch the access token and open the call connections; both are kept from now on."""
        await asyncio.gather(self.access.start(), self._pool.warm())

    async def close(self) -> None:
        """Close every connection. Pushes on their way end as Unavailable."""
        await self.access.close()
        await self._pool.close()

    async def send(self, message: PushMessage, deadline: float) -> Outcome:
        """Try once, until `deadline` (monotonic seconds)."""
        return await outcome_of(self.begin, message, deadline)

    def begin(
        self,
        message: PushMessage,
        deadline: float,
        on_outcome: OnOutcome,
        is_wanted: Callable[[], bool] = always_wanted,
    ) -> FcmAttempt:
        """As `send`, without awaiting: a call is on the wire when this returns, if a connection is free.

        What is no call may have to wait for a quota, or for the quarter hour to be over: then it ends
        at once, as Throttled.
        """
        attempt = FcmAttempt(self, Wish(message, deadline, on_outcome, is_wanted))
        now = self._around.clock.now()
        refusal, body = self._refusal(message), None
        if refusal is None:
            body = notification.body(message, now)
            refusal = Rejected("PayloadTooLarge") if body is None else self._hold(message, deadline, now)
        if refusal is not None or body is None:
            on_outcome(refusal or Rejected("PayloadTooLarge"))
        else:
            attempt.start(body)
        return attempt

    def headers(self, token: str) -> Headers:
        """Build the headers of a push with an access token."""
        return self._place.post(("authorization", f"Bearer {token}"), ("content-type", "application/json"))

    def submit(self, request: Request) -> None:
        """Send it."""
        self._pool.submit(request)

    def withdraw(self, request: Request) -> None:
        """Do not send it, nor send it again."""
        self._pool.withdraw(request)

    def judge(self, result: Result, message: PushMessage) -> Judgement:
        """Judge what came of a push, and let the quotas follow."""
        if isinstance(result, Failure):
            return Judgement(Unavailable(result.reason, processed=result.processed))
        clock, is_call = self._around.clock, message.lane is Lane.CALLS
        judgement = judge(result, clock.now(), is_call=is_call)
        outcome = judgement.outcome
        if isinstance(outcome, Throttled):
            if judgement.consequence is Consequence.PAUSE_PROJECT:
                self._pace.pause_project(clock.monotonic(), outcome.retry_after)
            elif judgement.consequence is Consequence.PAUSE_DEVICE:
                self._pace.pause_device(_device(message), clock.monotonic(), outcome.retry_after)
        return judgement

    def _refusal(self, message: PushMessage) -> Outcome | None:
        if not notification.is_token(message.target.token.reveal()):
            return TargetGone("INVALID_ARGUMENT", certain=False)
        return None

    def _hold(self, message: PushMessage, deadline: float, now: int) -> Outcome | None:
        """Say why a push must not go yet, and count those that may."""
        monotonic, device = self._around.clock.monotonic(), _device(message)
        if message.lane is Lane.CALLS:
            self._pace.urgent(device, monotonic)
            return None
        if deadline <= monotonic:
            return None  # the pool says so
        quiet = pacing.quiet_for(now)
        if quiet and message.type in _CAN_WAIT:
            wait = quiet + round(pacing.SPREAD * self._around.jitter())
            if now + wait < message.expires_at and not self._pace.trickles(monotonic):
                return Throttled("Google asks for quiet around the quarter hour", wait)
        collapses = bool(notification.KINDS[message.type].collapse_key)
        held = self._pace.hold(device, monotonic, collapses=collapses)
        return None if held is None else Throttled(held.reason, held.wait)


class FcmAttempt:
    """One push on its way: until there is an access token, with it, and once more with another."""

    __slots__ = (
        "_body",
        "_has_renewed",
        "_is_withdrawn",
        "_request",
        "_service",
        "_wish",
    )

    def __init__(self, service: FcmService, wish: Wish) -> None:
        self._service = service
        self._wish = wish
        self._body = b""
        self._request: Request | None = None
        self._is_withdrawn = False
        self._has_renewed = False

    def start(self, body: bytes) -> None:
        """Send it, at once where there is an access token."""
        self._body = body
        token = self._service.access.current()
        if token is not None:
            self._send(token)
        else:
            self._service.access.wait(self._wish.deadline, self._go_on, hurry=self._wish.is_call)

    def withdraw(self) -> None:
        """Do not send it, nor send it again."""
        self._is_withdrawn = True
        if self._request is not None:
            self._service.withdraw(self._request)

    def _go_on(self, token: str | Trouble) -> None:
        if self._is_withdrawn:
            self._wish.on_outcome(Unavailable("withdrawn", processed=False))
        elif isinstance(token, str):
            self._send(token)
        else:
            self._wish.on_outcome(token)

    def _send(self, token: str) -> None:
        def on_done(result: Result) -> None:
            self._done(result, token)

        self._request = self._wish.request(self._service.headers(token), self._body, on_done)
        self._service.submit(self._request)

    def _done(self, result: Result, token: str) -> None:
        judgement = self._service.judge(result, self._wish.message)
        if judgement.consequence is Consequence.RENEW_TOKEN and not self._has_renewed:
            self._has_renewed = True
            self._service.access.is_refused(token)
            if self._service.access.current() != token and not self._is_withdrawn:
                self.start(self._body)
                return
        self._wish.on_outcome(judgement.outcome)


def _device(message: PushMessage) -> int:
    return hash(message.target.token)
