"""The access token of a service account (RFC 6749, RFC 7523): fetched in the background, before it is needed.

A token lives for an hour. It is replaced at half its life, so that Google may be out of reach for the
other half and every push still leaves at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode

from wakerobin import log
from wakerobin.core.pacing import Backoff
from wakerobin.core.pushes import Rejected, Throttled, Unavailable
from wakerobin.core.values import Secret
from wakerobin.ports.clock import Timer
from wakerobin.push.connection import Answer, Failure, Pool, PoolOptions, Request, Result, Surroundings
from wakerobin.push.fcm.account import ServiceAccount
from wakerobin.push.place import Place
from wakerobin.push.retry_after import retry_after
from wakerobin.push.verdict import json_object

GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"

_FETCH_S = 10.0
# The start of the server waits no longer for a first token.
_START_S = 2.0
_MARGIN_S = 60.0
"""It is not used in its last minute: the push is still on its way then."""
_MOST_S = 24 * 3600.0
_BACKOFF = Backoff(first_s=5.0, most_s=300.0)
# With a call waiting, fetches that fail follow each other no faster than that.
_HURRY_S = 1.0
_YOUNGEST_REFUSED_S = 10.0
_ONE = PoolOptions(call_connections=0, bulk_connections=1)

_log = log.get("push")

Trouble: TypeAlias = Rejected | Throttled | Unavailable
"""Why there is no token, as the outcome of the pushes that wanted it."""
OnToken: TypeAlias = Callable[[str | Trouble], None]


@dataclass(frozen=True, slots=True)
class _Token:
    text: Secret
    until: float
    """Monotonic seconds."""
    expires_at: int
    """Epoch milliseconds: the monotonic clock stands still while a machine is suspended."""
    began: float
    """When it was asked for, monotonic seconds."""
    life: float
    """Seconds."""


@dataclass(slots=True, eq=False)
class _Waiting:
    on_token: OnToken
    timer: Timer | None = None


class AccessToken:
    """The current token of one service account. `start` before use, `close` at the end."""

    def __init__(self, account: ServiceAccount, place: Place, around: Surroundings) -> None:
        self._account = account
        self._place = place
        self._around = around
        self._token: _Token | None = None
        self._trouble: Trouble = Unavailable("no access token yet", processed=False)
        self._failures = 0
        self._tried_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None
        self._timer: Timer | None = None
        self._waiting: list[_Waiting] = []
        self._is_closed = False

    async def start(self) -> None:
        """Fetch the first token, and keep it young from now on; returns soon in any case."""
        self._fetch()
        if self._fetching is not None:
            await asyncio.wait([self._fetching], timeout=_START_S)

    async def close(self) -> None:
        """Stop keeping it; who waits for it learns that there is none."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])
        self._tell(Unavailable("closed by us", processed=False))

    def current(self) -> str | None:
        """Return the token, if there is one that is still good."""
        token = self._token
        if token is None or self._around.clock.monotonic() >= token.until:
            return None
        return token.text.reveal() if self._around.clock.now() < token.expires_at else None

    def wait(self, deadline: float, on_token: OnToken, *, hurry: bool) -> None:
        """Call `on_token` once, with a token or with why there is none, at the deadline at the latest.

        Who is in a `hurry` has it fetched again although that failed shortly before.
        """
        now = self._around.clock.monotonic()
        pause = self._pause()
        is_due = self._tried_at + (min(pause, _HURRY_S) if hurry else pause) <= now
        if self._fetching is None and (self._is_closed or not is_due):
            on_token(self._trouble)
            return
        waiting = _Waiting(on_token)
        waiting.timer = self._around.timers.call_at(deadline, lambda: self._too_late(waiting))
        self._waiting.append(waiting)
        self._fetch()

    def is_refused(self, text: str) -> None:
        """Google refused this token: have another fetched, unless that has been done since.

        One that was fetched only just now is not the reason; it stays.
        """
        token = self._token
        if token is None or token.text.reveal() != text:
            return
        if self._around.clock.monotonic() - token.began >= _YOUNGEST_REFUSED_S:
            self._token = None
            self._tried_at = float("-inf")

    # Fetching.

    def _fetch(self) -> None:
        if self._fetching is None and not self._is_closed:
            self._tried_at = self._around.clock.monotonic()
            self._fetching = asyncio.get_running_loop().create_task(self._ask())
            self._fetching.add_done_callback(self._asked)

    async def _ask(self) -> None:
        pool = Pool(self._place.origin, self._around, _ONE)
        answered: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

        def on_done(result: Result) -> None:
            if not answered.done():
                answered.set_result(result)

        try:
            began = self._around.clock.monotonic()
            pool.submit(
                Request(
                    headers=self._headers(), body=self._body(), deadline=began + _FETCH_S, on_done=on_done
                )
            )
            self._take(await answered, began)
        finally:
            await pool.close()

    def _asked(self, task: asyncio.Task[None]) -> None:
        self._fetching = None
        if task.cancelled():
            return
        task.result()
        token = self.current()
        self._tell(self._trouble if token is None else token)

    def _headers(self) -> tuple[tuple[str, str], ...]:
        return self._place.post(
            ("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")
        )

    def _body(self) -> bytes:
        assertion = self._account.assertion(self._around.clock.now())
        return urlencode({"grant_type": GRANT, "assertion": assertion}).encode()

    def _take(self, result: Result, began: float) -> None:
        token = self._parse(result, began)
        if isinstance(token, _Token):
            self._token = token
            self._failures = 0
            self._plan(token.life / 2)
            _log.info("fcm_token_fetched", project=self._account.project)
        else:
            self._trouble = token
            self._failures += 1
            self._plan(self._pause())
            _log.warning("fcm_token_not_fetched", project=self._account.project, reason=token.reason)

    def _parse(self, result: Result, began: float) -> _Token | Trouble:
        if isinstance(result, Failure):
            return Unavailable(f"no access token: {result.reason}", processed=False)
        values = json_object(result.body)
        text = values.get("access_token")
        if result.status != 200:
            return self._refusal(result, values)
        seconds = _seconds(values.get("expires_in"))
        if not isinstance(text, str) or not _is_bearer(text) or not seconds:
            return Unavailable("no access token: the answer of the token server has none", processed=False)
        usable = max(seconds - _MARGIN_S, seconds / 2)
        expires_at = self._around.clock.now() + round(usable * 1000)
        return _Token(Secret(text), began + usable, expires_at, began, seconds)

    def _refusal(self, answer: Answer, values: dict[str, Any]) -> Trouble:
        error, description = values.get("error"), values.get("error_description")
        said = ": ".join(part[:200] for part in (error, description) if isinstance(part, str) and part)
        reason = f"no access token: {said or f'status {answer.status}'}"
        wait = retry_after(answer.headers.get("retry-after", ""), self._around.clock.now())
        if answer.status == 429:
            return Throttled(reason, wait)
        if answer.status >= 500 or answer.status == 408:
            return Unavailable(reason, wait, processed=False)
        return Rejected(reason, ours=True)

    # Who waits, and when it is fetched again.

    def _pause(self) -> float:
        return _BACKOFF.upper_bound(self._failures - 1) if self._failures else 0.0

    def _plan(self, wait: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._around.timers.call_at(self._around.clock.monotonic() + wait, self._fetch)

    def _tell(self, what: str | Trouble) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if one.timer is not None:
                one.timer.cancel()
            one.on_token(what)

    def _too_late(self, waiting: _Waiting) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)
            waiting.on_token(Unavailable("no access token in time", processed=False))


def _is_bearer(text: str) -> bool:
    """Whether it can be written into a header (RFC 6750 2.1)."""
    return 0 < len(text) <= 8192 and text.isascii() and text.isprintable() and " " not in text


def _seconds(value: object) -> float:
    """Return the life of a token; 0.0 for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        return 0.0
    return float(min(value, _MOST_S))  # in this order: an integer can be too large for a float
