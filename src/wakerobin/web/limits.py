"""What a request must be before anybody looks at it: for us, unread on the way, small, and JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wakerobin.core.addresses import networks_in
from wakerobin.core.pacing import TokenBuckets
from wakerobin.ports.clock import Clock
from wakerobin.ports.options import HttpOptions
from wakerobin.web.context import Context
from wakerobin.web.problems import ProblemError, response_of
from wakerobin.web.visitors import Visitor, visitor_of

LARGEST_BODY = 16 * 1024
BODY_PATIENCE_S = 10.0
MOST_ADDRESSES = 20_000
RECEIPTS_PER_HOUR = 200
"""Of one push registration: several times what a phone gets that is called all day."""

API = "/v1/"
OPEN_TO_ANY_HOST = "/healthz"

_JSON = ("application/json", "application/merge-patch+json")


class Doors:
    """Stands before every route. `scope["state"]["visitor"]` says who comes (`Visitor`)."""

    def __init__(self, app: ASGIApp, options: HttpOptions, is_ready: Callable[[], bool]) -> None:
        self._app = app
        self._trusted = networks_in(options.trusted_proxies)
        self._hosts = frozenset(host.lower().removesuffix(".") for host in options.hosts)
        self._is_ready = is_ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it with a problem."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visitor = visitor_of(scope, self._trusted)
        scope.setdefault("state", {})["visitor"] = visitor
        try:
            self._expect_welcome(scope, visitor)
            body = await _read_body(scope, receive)
        except ProblemError as problem:
            await response_of(problem)(scope, receive, send)
            return
        await self._app(scope, _replayed(body, receive), send)

    def _expect_welcome(self, scope: Scope, visitor: Visitor) -> None:
        path = scope["path"]
        if self._hosts and path != OPEN_TO_ANY_HOST and _host(scope) not in self._hosts:
            raise ProblemError("misdirected", "Use the server's own name.")
        if not path.startswith(API):
            return
        if not visitor.is_private:
            raise ProblemError(
                "tls-required", "Use https:. A TLS proxy in front says that you do by X-Forwarded-Proto."
            )
        if not self._is_ready():
            raise ProblemError("starting", "Try again in a second.")


class AddressBudget:
    """So many an hour of each key, such as an address. The keys that it remembers are bounded."""

    def __init__(self, per_hour: int, most_addresses: int = MOST_ADDRESSES) -> None:
        most_at_once = max(1, per_hour)
        self._buckets: TokenBuckets[str] = TokenBuckets(most_at_once / 3600, most_at_once, most_addresses)

    def take(self, key: str, now_s: float) -> float:
        """Count one and return 0, or the seconds until one more is allowed."""
        return self._buckets.take(key, now_s)


class AddressAllowance:
    """The budget of the address that a request comes from."""

    def __init__(self, visitor: Visitor, budget: AddressBudget, clock: Clock) -> None:
        self.visitor = visitor
        self._budget = budget
        self._clock = clock

    def expect(self) -> None:
        """Count one enrolment. Raises ProblemError where the address has used up its budget."""
        wait = self._budget.take(self.visitor.key, self._clock.monotonic())
        if wait:
            raise ProblemError("too-many-requests", "Wait, then try again.", retry_after_s=wait)


async def _allowance(request: Request, context: Context) -> AddressAllowance:
    return AddressAllowance(request.state.visitor, request.app.state.enrolments, context.clock)


Budget = Annotated[AddressAllowance, Depends(_allowance)]


async def _counted(budget: Budget) -> Visitor:
    budget.expect()
    return budget.visitor


class ReceiptAllowance:
    """What one push registration may report an hour: each receipt is a row that is kept for a month."""

    def __init__(self, budget: AddressBudget, clock: Clock) -> None:
        self._budget = budget
        self._clock = clock

    def expect(self, public_id: str, receipts: int) -> None:
        """Count receipts. Raises ProblemError where the budget is used up."""
        waits = [self._budget.take(public_id, self._clock.monotonic()) for _ in range(receipts)]
        if any(waits):
            raise ProblemError(
                "too-many-requests", "Report later; old receipts may be left out.", retry_after_s=max(waits)
            )


async def _receipts(request: Request, context: Context) -> ReceiptAllowance:
    return ReceiptAllowance(request.app.state.receipts, context.clock)


ReceiptsBudget = Annotated[ReceiptAllowance, Depends(_receipts)]


CountedVisitor = Annotated[Visitor, Depends(_counted)]
"""How an enrolment asks who sends it: it is counted before anything is looked at."""


def _host(scope: Scope) -> str:
    value = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
    host = value.rpartition(":")[0] if not value.endswith("]") and ":" in value else value
    return str(host.lower().removesuffix("."))


async def _read_body(scope: Scope, receive: Receive) -> bytes:
    """Return the whole body. Raises ProblemError for one that is too large, too slow or no JSON."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    path: str = scope["path"]
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length[:12]) > LARGEST_BODY:
        raise ProblemError("too-large")
    body = b""
    try:
        async with asyncio.timeout(BODY_PATIENCE_S):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return body  # gone; whoever answers finds that out
                part: bytes = message.get("body", b"")
                body += part
                if len(body) > LARGEST_BODY:
                    raise ProblemError("too-large")
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        raise ProblemError("malformed-request", "The body did not come within ten seconds.") from None
    media_type = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
    if body and path.startswith(API) and media_type not in _JSON:
        raise ProblemError("unsupported-media-type", "Send application/json.")
    return body


def _replayed(body: bytes, receive: Receive) -> Receive:
    is_given = False

    async def replay() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        message: dict[str, Any] = {"type": "http.request", "body": body, "more_body": False}
        return message

    return replay
