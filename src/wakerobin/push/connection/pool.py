"""The connections to one push service with one credential, and who may use which.

Calls have connections of their own, kept open and never touched by anything else; bulk is paced by a
token bucket and capped in flight. A shared connection would make a call wait for the bulk's streams
and octets, whatever the order of the queue. There is no task and no timer for a request: one sweep
ends what is late.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from wakerobin.core.pacing import TokenBucket
from wakerobin.ports.clock import Timer
from wakerobin.push.connection.exchange import Answer, Failure, Request, Result
from wakerobin.push.connection.http2 import Http2Connection
from wakerobin.push.connection.line import Line, Surroundings
from wakerobin.push.connection.origin import Origin

_SWEEP_S = 0.1
# Shorter pauses of the pacing would only wake the loop more often.
_QUANTUM_S = 0.005
_MOST_RESENDS = 5
# A connection with such an answer was of use. After one that only brought refusals the next is opened
# with a pause, so that a wrong key or clock does not open a connection for each push.
_WELCOME = frozenset((200, 410))
_CLOSE_S = 2.0
# Longer than a handshake around the world; the start of the server does not wait for more.
_WARM_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """How many connections, and how much may go over them. Times in seconds."""

    call_connections: int = 2
    bulk_connections: int = 1
    bulk_rate: float = 1000.0
    bulk_in_flight: int = 200
    repeat_after: float = 1.0
    """A call push without an answer for so long goes out once more, over another connection."""
    ping_after: float = 60.0
    """So long without a word from the peer, and it is asked for one: home routers forget quiet flows."""
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
        self._call_lines = [Line(self, origin, i, numbers, around) for i in range(options.call_connections)]
        self._bulk_lines = [Line(self, origin, i, numbers, around) for i in range(options.bulk_connections)]
        self._line_of: dict[Http2Connection, Line] = {}
        """Every connection that was ready and is not closed, those that are leaving too."""
        self._calls: deque[Request] = deque()
        self._bulk: deque[Request] = deque()
        self._bulk_out = 0
        self._bucket = TokenBucket(
            options.bulk_rate, max(1.0, options.bulk_rate / 20), at=around.clock.monotonic()
        )
        self._timer: Timer | None = None
        self._timer_at = 0.0
        self._first_results: dict[Line, asyncio.Future[None]] = {}
        self._is_closed = False

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
        (self._calls if request.is_urgent else self._bulk).append(request)
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
        for line in self._lines():
            self._tell_first(line)
            await line.close("closed by us")
        for connection in connections:
            connection.close("closed by us")
        for request in (*self._calls, *self._bulk):
            request.finish(Failure("the pool is closed", processed=False))
        self._calls.clear()
        self._bulk.clear()
        await self._wait_for_sockets(connections)

    async def _wait_for_sockets(self, connections: list[Http2Connection]) -> None:
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
        if line in self._bulk_lines and self._bulk_is_down:
            while self._bulk:
                self._bulk.popleft().finish(Failure(reason, processed=False))

    def line_left(self, line: Line, connection: Http2Connection) -> None:
        """The connection goes on until its last request has ended; the sweep watches it."""
        self._on_line("left", line.reason)

    def connection_closed(self, connection: Http2Connection, reason: str) -> None:
        """Forget it."""
        if self._line_of.pop(connection, None) is not None:
            self._on_line("closed", reason)

    def has_room(self, connection: Http2Connection) -> None:
        """Send what waits."""
        self._pump()

    def ended(self, connection: Http2Connection, request: Request, result: Result) -> None:
        """Report the result, or send the request again where that is safe."""
        request.copies_out -= 1
        if not request.is_urgent:
            self._bulk_out -= 1
        if isinstance(result, Answer):
            line = self._line_of.get(connection)
            if line is not None and result.status in _WELCOME:
                line.succeeded()
            request.finish(result)
        elif not request.is_done:
            self._failed(request, result)

    def _failed(self, request: Request, failure: Failure) -> None:
        request.is_uncertain = request.is_uncertain or failure.processed is None
        if request.copies_out:
            return  # the other copy may still be answered
        is_late = request.deadline <= self._around.clock.monotonic()
        may_resend = not (is_late or self._is_closed or request.is_withdrawn)
        if may_resend and failure.processed is False and request.resends < _MOST_RESENDS:
            request.resends += 1
        elif may_resend and failure.processed is None and request.may_repeat and not request.was_repeated:
            request.was_repeated = True
        else:
            request.finish(Failure(failure.reason, None if request.is_uncertain else False))
            return
        (self._calls if request.is_urgent else self._bulk).appendleft(request)
        # Not from here: the connection that failed it is in the middle of reporting.
        asyncio.get_running_loop().call_soon(self._pump)

    # Sending.

    def _pump(self) -> None:
        if self._is_closed:
            return
        self._pump_calls()
        self._pump_bulk()

    def _pump_calls(self) -> None:
        while self._calls:
            # With its own connections down or full, a call may use the bulk's; never the reverse.
            connection = _free(self._call_lines) or _free(self._bulk_lines)
            if connection is None:
                for line in self._call_lines:
                    line.hurry()
                return
            request = self._calls.popleft()
            if not request.is_done:
                connection.send(request)

    def _pump_bulk(self) -> None:
        while self._bulk and self._bulk_out < self._options.bulk_in_flight:
            connection = _free(self._bulk_lines)
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
        if self._bulk_is_down:
            line = self._bulk_lines[0]
            while self._bulk:
                self._bulk.popleft().finish(Failure(line.reason, processed=False))
            return
        for line in self._bulk_lines:
            line.open()

    @property
    def _bulk_is_down(self) -> bool:
        return all(line.is_failing for line in self._bulk_lines)

    # The sweep.

    def _on_timer(self) -> None:
        self._timer = None
        if self._is_closed:
            return
        now = self._around.clock.monotonic()
        for connection in list(self._line_of):
            connection.give_up(now)
            self._watch(connection, now)
        for queue in (self._calls, self._bulk):
            self._drop_late(queue, now)
        self._pump()
        self._arm()

    def _watch(self, connection: Http2Connection, now: float) -> None:
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

    def _repeat(self, request: Request, silent: Http2Connection) -> None:
        silent.ping()  # is it the push service that is slow, or is the connection dead?
        other = _free(self._call_lines, silent) or _free(self._bulk_lines, silent)
        if other is not None:
            request.was_repeated = True
            other.send(request)

    def _drop_late(self, queue: deque[Request], now: float) -> None:
        for request in [request for request in queue if request.deadline <= now]:
            queue.remove(request)
            processed = None if request.is_uncertain else False
            request.finish(Failure(f"no connection in time: {self._why_not()}", processed))

    def _why_not(self) -> str:
        return next((line.reason for line in self._lines() if line.connection is None), "all are busy")

    def _arm(self) -> None:
        if self._is_closed:
            return
        now = self._around.clock.monotonic()
        if self._calls or self._bulk or any(c.in_flight or c.pinged_before(now) for c in self._line_of):
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
        return itertools.chain(self._call_lines, self._bulk_lines)


def _free(lines: list[Line], but: Http2Connection | None = None) -> Http2Connection | None:
    """Return the free connection with the least on it; between equals, the one that was quiet longest."""
    free = [c for c in (line.connection for line in lines) if c is not None and c is not but and c.is_free]
    return min(free, key=lambda c: (c.in_flight, c.heard_at), default=None)
