"""Pushes that are one POST to one URL: what is written and how answers are read is up to the provider."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from wakerobin.core.pushes import Outcome, PushMessage, Unavailable
from wakerobin.ports.push import always_wanted
from wakerobin.push.connection import Answer, Pool, PoolOptions, Request, Result, Surroundings
from wakerobin.push.place import Place
from wakerobin.push.sending import OnOutcome, Wish, outcome_of

CALL_TRY_S: Final = 2.0
"""A server that takes longer to answer a call's push is asked again."""
MOST_CALL_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Letter:
    """What is posted: the headers beside where it goes, and the body."""

    fields: tuple[tuple[str, str], ...]
    body: bytes


Write: TypeAlias = Callable[[PushMessage, int], Letter | Outcome]
"""Makes the letter of a push, or says why there is none; the time is epoch milliseconds."""
Read: TypeAlias = Callable[[Answer, int], Outcome]
"""Reads an answer; the time is epoch milliseconds."""


class PostingService:
    """A push service (`ports.push`) at one URL. Connections, once made, are kept."""

    def __init__(
        self,
        place: Place,
        around: Surroundings,
        write: Write,
        read: Read,
        *,
        pool: PoolOptions | None = None,
        on_line: Callable[[str, str], None],
    ) -> None:
        self.place = place
        self._around = around
        self._write = write
        self.read = read
        self._pool = Pool(place.origin, around, pool, on_line)

    async def warm(self) -> None:
        """Open the call connections; they are kept from now on."""
        await self._pool.warm()

    async def close(self) -> None:
        """Close every connection. Pushes on their way end as Unavailable."""
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
    ) -> PostingAttempt:
        """As `send`, without awaiting: a call is on the wire when this returns, if a connection is free."""
        attempt = PostingAttempt(self, Wish(message, deadline, on_outcome, is_wanted))
        letter = self._write(message, self._around.clock.now())
        if isinstance(letter, Letter):
            attempt.start(letter)
        else:
            on_outcome(letter)
        return attempt

    def submit(self, request: Request) -> None:
        """Send it."""
        self._pool.submit(request)

    def withdraw(self, request: Request) -> None:
        """Do not send it, nor send it again."""
        self._pool.withdraw(request)

    def monotonic(self) -> float:
        """Return the time that deadlines are in."""
        return self._around.clock.monotonic()

    def outcome(self, answer: Answer) -> Outcome:
        """Say what an answer means."""
        return self.read(answer, self._around.clock.now())


class PostingAttempt:
    """One push on its way. A call's is tried again when nobody answers in two seconds."""

    __slots__ = (
        "_is_withdrawn",
        "_letter",
        "_request",
        "_service",
        "_tries",
        "_was_sent",
        "_wish",
    )

    def __init__(self, service: PostingService, wish: Wish) -> None:
        self._service = service
        self._wish = wish
        self._letter = Letter((), b"")
        self._request: Request | None = None
        self._is_withdrawn = False
        self._tries = 0
        self._was_sent = False

    def start(self, letter: Letter) -> None:
        """Send it."""
        self._letter = letter
        self._send()

    def withdraw(self) -> None:
        """Do not send it, nor send it again."""
        self._is_withdrawn = True
        if self._request is not None:
            self._service.withdraw(self._request)

    def _send(self) -> None:
        self._tries += 1
        deadline = self._wish.deadline
        if self._wish.is_call:
            deadline = min(deadline, self._service.monotonic() + CALL_TRY_S)
        headers = self._service.place.post(*self._letter.fields)
        self._request = self._wish.request(headers, self._letter.body, self._done, deadline=deadline)
        self._service.submit(self._request)

    def _done(self, result: Result) -> None:
        if isinstance(result, Answer):
            self._wish.on_outcome(self._service.outcome(result))
            return
        self._was_sent = self._was_sent or result.processed is None
        if self._may_try_again():
            self._send()
        else:
            self._wish.on_outcome(Unavailable(result.reason, processed=None if self._was_sent else False))

    def _may_try_again(self) -> bool:
        return (
            self._wish.is_call
            and not self._is_withdrawn
            and self._tries < MOST_CALL_TRIES
            and self._service.monotonic() < self._wish.deadline
        )
