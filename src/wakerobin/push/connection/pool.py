"""The connections to one push service with one credential, and who may use which.

Calls have connections of their own, kept open and never touched by anything else; bulk is paced by a
token bucket and capped in flight. A shared connection would make a call wait for the bulk's streams
and octets, whatever the order of the queue. A call that may be held against the connection, since
nobody knows its token yet, goes over one for such trials. There is no task and no timer for a request:
one sweep ends what is late.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from wakerobin.core.pacing import TokenBucket
from wakerobin.ports.clock import Timer
from wakerobin.push.connection.connection import Connection
from wakerobin.push.connection.exchange import Answer, Failure, Request, Result
from wakerobin.push.connection.line import Line, Surroundings
from wakerobin.push.connection.lines import Lines
from wakerobin.push.connection.origin import Origin

_SWEEP_S = 0.1
# Shorter pauses of the pacing would only wake the loop more often.
_QUANTUM_S = 0.005
_MOST_RESENDS = 5
# By GOAWAY; between connections that bring nothing there are pauses.
_MOST_MOVES = 50
# A connection with an answer below 400, or one of these, was of use. After one that only brought refusals
# the next is opened with a pause, so that a wrong key or clock does not open a connection for each push.
_WELCOME = frozenset((404, 410))
_DATE_S = 60.0
_CLOSE_S = 2.0
# Longer than a handshake around the world; the start of the server does not wait for more.
_WARM_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """How many connections, and how much may go over them. Times in seconds."""

    call_connections: int = 2
    trial_connections: int = 0
    """For calls that are on trial, opened at the first of them; with 0 those are calls like all others."""
    bulk_connections: int = 1
    most_connections: int = 32
    """With HTTP/1.1, where each carries one request: so many for calls, and so many for the rest."""
    bulk_rate: float = 1000.0
    bulk_in_flight: int = 200
    repeat_after: float = 1.0
    """A call push without an answer for so long goes out once more, over another connection."""
    ping_after: float = 300.0
    """So long without a word from the peer, and it is asked for one: what is between us and it forgets quiet
    connections, many after 350 s. Idle connections of HTTP/1.1 are closed then."""
    ping_answer: float = 5.0
    """A connection whose PING is unanswered for so long is dead."""


class Pool:
    """Takes requests and ends each exactly once, by its deadline at the latest."""

    def __init__(
        self,
        origin: Origin,
        around: Surroundings,
        options: PoolOptions | None = None,
        on_line: Callable[[str, str], None] = lambda event, reason: None,
    ) -> None:
        self.origin = origin
        self._around = around
        self._options = options = options or PoolOptions()
        self._on_line = on_line
        numbers = itertools.count(1)

        def lines(count: int, *, stay: bool = False) -> Lines:
            most = options.most_connections
            return Lines(self, origin, numbers, around, count=count, most=most, stay=stay)

        self._call_lines = lines(options.call_connections, stay=True)
        self._trial_lines = lines(options.trial_connections)
        self._bulk_lines = lines(options.bulk_connections)
        self._line_of: dict[Connection, Line] = {}
        """Every connection that was ready and is not closed, those that are leaving too."""
        self._calls: deque[Request] = deque()
        self._trials: deque[Request] = deque()
        self._bulk: deque[Request] = deque()
        self._bulk_out = 0
        self._bucket = TokenBucket(
            options.bulk_rate, max(1.0, options.bulk_rate / 20), at=around.clock.monotonic()
        )
        self._timer: Timer | None = None
        self._timer_at = 0.0
        self._first_results: dict[Line, asyncio.Future[None]] = {}
        self._is_closed = False
        self._date_at = 0.0
        self._used_at = around.clock.monotonic()

    @property
    def idle_since(self) -> float | None:
        """When it was used last, monotonic seconds; None while a request waits or is on its way."""
        is_busy = self._calls or self._trials or self._bulk or any(c.in_flight for c in self._line_of)
        return None if is_busy else self._used_at

    async def warm(self) -> None:
        """Open the call connections; return when each is open or has failed once, soon in any case."""
        if self._is_closed:
            return
        loop = asyncio.get_running_loop()
        for line in self._call_lines:
            if line.connection is None:
                self._first_results.setdefault(line, loop.create_future())
                line.open()
        if self._first_results:
            await asyncio.wait(list(self._first_results.values()), timeout=_WARM_S)

    def submit(self, request: Request) -> None:
        """Take a request. An urgent one is on the wire when this returns, if a connection is free."""
        if self._is_closed:
            request.finish(Failure("the pool is closed", processed=False))
            return
        if request.deadline <= self._around.clock.monotonic():
            request.finish(Failure("too late to be sent", processed=False))
            return
        self._used_at = self._around.clock.monotonic()
        self._queue_of(request).append(request)
        self._pump()
        self._arm()

    def withdraw(self, request: Request) -> None:
        """Do not send it, nor send it again; a copy that is on the wire may still be answered."""
        request.is_withdrawn = True
        if not request.copies_out:
            # It is still in a queue, which drops what is done.
            request.finish(Failure("withdrawn", None if request.is_uncertain else False))

    def leave(self, number: int, reason: str) -> None:
        """Let that connection finish what it has and replace it."""
        connection = next((c for c in self._line_of if c.number == number), None)
        if connection is not None:
            connection.leave(reason)

    async def close(self) -> None:
        """Close every connection and wait for it; what is on its way ends now."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        connections = list(self._line_of)
        for line in list(self._lines()):
            self._tell_first(line)
            await line.close("closed by us")
        for connection in connections:
            connection.close("closed by us")
        for queue in (self._calls, self._trials, self._bulk):
            while queue:
                queue.popleft().finish(Failure("the pool is closed", processed=False))
        await self._wait_for_sockets(connections)

    async def _wait_for_sockets(self, connections: list[Connection]) -> None:
        if not connections:
            return
        finished = [connection.finished for connection in connections]
        _, open_still = await asyncio.wait(finished, timeout=_CLOSE_S)
        if open_still:
            for connection in connections:
                connection.abort("closed by us")
            await asyncio.wait(finished, timeout=_CLOSE_S)

    # What the lines and connections report.

    def line_opened(self, line: Line) -> None:
        """Use the new connection for what waits."""
        if line.connection is not None:
            self._line_of[line.connection] = line
        self._tell_first(line)
        self._on_line("opened", "")
        self._pump()
        self._arm()

    def line_failed(self, line: Line, reason: str) -> None:
        """Bulk does not wait for a service that is down; calls wait until their deadline."""
        self._tell_first(line)
        self._on_line("failed", reason)
        is_of_bulk = line in self._bulk_lines
        self._drop(line)
        if is_of_bulk and self._bulk_lines.are_failing:
            self._refuse_bulk(reason)

    def line_left(self, line: Line, connection: Connection) -> None:
        """The connection goes on until its last request has ended; the sweep watches it."""
        self._on_line("left", line.reason)
        self._pump_soon()

    def connection_closed(self, connection: Connection, reason: str) -> None:
        """Forget it."""
        line = self._line_of.pop(connection, None)
        if line is not None:
            self._on_line("closed", reason)
            if line.connection in (None, connection) and not line.is_opening:
                self._drop(line)
            self._pump_soon()

    def is_in_use(self, address: str) -> bool:
        """Whether one of our connections goes there."""
        return any(connection.address == address for connection in self._line_of)

    def has_room(self, connection: Connection) -> None:
        """Send what waits."""
        self._pump()

    def ended(self, connection: Connection, request: Request, result: Result) -> None:
        """Report the result, or send the request again where that is safe."""
        request.copies_out -= 1
        if not request.is_urgent:
            self._bulk_out -= 1
        if isinstance(result, Answer):
            line = self._line_of.get(connection)
            if line is not None and (result.status < 400 or result.status in _WELCOME):
                line.succeeded()
            self._tell_date(result)
            request.finish(result)
        elif not request.is_done:
            self._failed(request, result)

    def _failed(self, request: Request, failure: Failure) -> None:
        request.is_uncertain = request.is_uncertain or failure.processed is None
        if request.copies_out:
            return  # the other copy may still be answered
        is_late = request.deadline <= self._around.clock.monotonic()
        may_resend = not (is_late or self._is_closed or request.is_withdrawn)
        most = _MOST_MOVES if failure.is_of_connection else _MOST_RESENDS
        if may_resend and failure.processed is False and request.resends < most:
            request.resends += 1
        elif may_resend and failure.processed is None and request.may_repeat and not request.was_repeated:
            request.was_repeated = True
        else:
            request.finish(Failure(failure.reason, None if request.is_uncertain else False))
            return
        self._queue_of(request).appendleft(request)
        # Not from here: the connection that failed it is in the middle of reporting.
        self._pump_soon()

    def _tell_date(self, answer: Answer) -> None:
        """Pass on what time it is over there, once a minute: reading a date costs as much as a push."""
        on_date, now = self._around.on_date, self._around.clock.monotonic()
        if on_date is None or now < self._date_at:
            return
        try:
            date = parsedate_to_datetime(answer.headers.get("date", ""))
        except (ValueError, TypeError, IndexError, OverflowError):
            return
        self._date_at = now + _DATE_S
        on_date(round(date.timestamp() * 1000))

    # Sending.

    def _queue_of(self, request: Request) -> deque[Request]:
        if not request.is_urgent:
            return self._bulk
        return self._trials if request.is_on_trial and self._trial_lines else self._calls

    def _pump_soon(self) -> None:
        if self._calls or self._trials or self._bulk:
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        if self._is_closed:
            return
        self._pump_urgent(self._calls, self._call_lines)
        self._pump_urgent(self._trials, self._trial_lines)
        self._pump_bulk()

    def _pump_urgent(self, queue: deque[Request], lines: Lines) -> None:
        while queue:
            # With its own connections down or full, a call may use the bulk's; never the reverse.
            connection = lines.free() or self._bulk_lines.free()
            if connection is None:
                (lines or self._bulk_lines).open(len(queue), hurry=True)
                return
            request = queue.popleft()
            if not request.is_done:
                connection.send(request)

    def _pump_bulk(self) -> None:
        while self._bulk and self._bulk_out < self._options.bulk_in_flight:
            connection = self._bulk_lines.free()
            if connection is None:
                self._open_bulk()
                return
            if self._bulk[0].is_done:
                self._bulk.popleft()
                continue
            now = self._around.clock.monotonic()
            wait = self._bucket.take(now)
            if wait > 0.0:
                self._wake_at(now + max(wait, _QUANTUM_S))
                return
            request = self._bulk.popleft()
            if request.may_leave():
                self._bulk_out += 1
                connection.send(request)

    def _open_bulk(self) -> None:
        if self._bulk_lines.are_failing:
            self._refuse_bulk(self._bulk_lines.reason)
        else:
            self._bulk_lines.open(len(self._bulk))

    def _refuse_bulk(self, reason: str) -> None:
        while self._bulk:
            self._bulk.popleft().finish(Failure(reason, processed=False))

    def _drop(self, line: Line) -> None:
        for lines in (self._call_lines, self._trial_lines, self._bulk_lines):
            lines.drop(line)

    # The sweep.

    def _on_timer(self) -> None:
        self._timer = None
        if self._is_closed:
            return
        now = self._around.clock.monotonic()
        for connection in list(self._line_of):
            connection.give_up(now)
            self._watch(connection, now)
        for queue in (self._calls, self._trials, self._bulk):
            self._drop_late(queue, now)
        self._pump()
        self._arm()

    def _watch(self, connection: Connection, now: float) -> None:
        options = self._options
        if connection.pinged_before(now - options.ping_answer):
            connection.abort("no answer to PING")
            return
        for request in connection.silent_since(now - options.repeat_after):
            is_over = request.is_done or request.is_withdrawn
            if request.may_repeat and not request.was_repeated and not is_over:
                self._repeat(request, connection)
        if now - connection.heard_at >= options.ping_after:
            connection.ping()

    def _repeat(self, request: Request, silent: Connection) -> None:
        silent.ping()  # is it the push service that is slow, or is the connection dead?
        own = self._trial_lines if request.is_on_trial and self._trial_lines else self._call_lines
        other = own.free(silent) or self._bulk_lines.free(silent)
        if other is not None:
            request.was_repeated = True
            other.send(request)
        else:
            own.open(1)  # it goes over one of these at one of the next sweeps
            self._bulk_lines.open(0)

    def _drop_late(self, queue: deque[Request], now: float) -> None:
        for request in [request for request in queue if request.deadline <= now]:
            queue.remove(request)
            processed = None if request.is_uncertain else False
            request.finish(Failure(f"no connection in time: {self._why_not()}", processed))

    def _why_not(self) -> str:
        return (
            self._call_lines.reason or self._trial_lines.reason or self._bulk_lines.reason or "all are busy"
        )

    def _arm(self) -> None:
        if self._is_closed:
            return
        now = self._around.clock.monotonic()
        is_waiting = self._calls or self._trials or self._bulk
        if is_waiting or any(c.in_flight or c.pinged_before(now) for c in self._line_of):
            self._wake_at(now + _SWEEP_S)
        elif self._line_of:
            idle = min(connection.heard_at for connection in self._line_of)
            self._wake_at(max(now + _SWEEP_S, idle + self._options.ping_after))

    def _wake_at(self, when: float) -> None:
        if self._timer is not None:
            if self._timer_at <= when:
                return
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._around.timers.call_at(when, self._on_timer)

    def _tell_first(self, line: Line) -> None:
        first = self._first_results.pop(line, None)
        if first is not None and not first.done():
            first.set_result(None)

    def _lines(self) -> Iterable[Line]:
        return itertools.chain(self._call_lines, self._trial_lines, self._bulk_lines)
