"""One request on its way through the pool, and the two ways in which it can end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

Headers: TypeAlias = tuple[tuple[str, str], ...]
"""Names in lower case, first the pseudo ones of HTTP/2 (`:method`, `:scheme`, `:authority`, `:path`)."""

MOST_BODY: Final = 8192
"""So many octets of an answer are read; no push service has more to say than that."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete response. `connection` is the number of the connection on which it came."""

    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    """At most `MOST_BODY` octets; what is longer is cut."""
    connection: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """There is no response. `processed`: False if the peer certainly did nothing, None if nobody knows.

    `is_of_connection`: it was not about the request.
    """

    reason: str
    processed: bool | None
    is_of_connection: bool = False


Result: TypeAlias = Answer | Failure


@dataclass(slots=True, eq=False, kw_only=True)
class Request:
    """A request with what the pool notes about it; `on_done` is called exactly once.

    `deadline` is monotonic seconds. `is_urgent`: it goes over the call connections and is never paced.
    `may_repeat`: the receiver tells copies apart, so it may go out a second time where nobody can
    know whether the first was processed. `is_on_trial`: an urgent one that may be held against the
    connection, and therefore never goes over those of calls.
    """

    headers: Headers
    body: bytes
    deadline: float
    on_done: Callable[[Result], None]
    is_urgent: bool = False
    may_repeat: bool = False
    is_on_trial: bool = False
    is_wanted: Callable[[], bool] | None = None
    """Asked before it leaves, if it had to wait; None: it is wanted until its deadline."""

    is_done: bool = field(default=False, init=False)
    is_withdrawn: bool = field(default=False, init=False)
    copies_out: int = field(default=0, init=False)
    resends: int = field(default=0, init=False)
    was_repeated: bool = field(default=False, init=False)
    is_uncertain: bool = field(default=False, init=False)
    """A copy was lost of which nobody knows whether it was processed."""

    def may_leave(self) -> bool:
        """Whether it is to be sent now; one that is not wanted any more ends here."""
        if not self.is_done and self.is_wanted is not None and not self.is_wanted():
            self.finish(Failure("not wanted any more", None if self.is_uncertain else False))
        return not self.is_done

    def finish(self, result: Result) -> None:
        """Report the result, unless one was reported."""
        if self.is_done:
            return
        self.is_done = True
        # Whoever made it is mostly held by what it calls: a circle that only the collector would find, and
        # that takes the time of calls.
        on_done, self.on_done = self.on_done, _nobody
        on_done(result)


def _nobody(_result: Result) -> None:
    pass
