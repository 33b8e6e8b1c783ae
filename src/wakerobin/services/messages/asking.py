"""A request of our own to an account's PBX, through its challenges, over the binding's own way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from wakerobin.core.binding.answers import Answers, Verdict
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.routing import put_routes
from wakerobin.core.values import Credentials
from wakerobin.services.fleet.values import Upstream
from wakerobin.services.messages.values import Around

_MOST_REQUESTS = 4


@dataclass(frozen=True, slots=True)
class Final:
    """How it ended: the final response, or why there is none."""

    response: Message | None
    reason: str = ""

    @property
    def status(self) -> int:
        """Of the response; 0 without one."""
        return self.response.status if self.response is not None else 0


OnFinal: TypeAlias = Callable[[Final, int], None]
"""Called once, with how it ended and the CSeq number that was used last."""


class Asking:
    """Driven by the responses. `request` has all but CSeq, Route and credentials."""

    def __init__(
        self,
        around: Around,
        upstream: Upstream,
        credentials: Credentials,
        request: Message,
        cseq: int,
        on_final: OnFinal,
    ) -> None:
        self._around = around
        self._upstream = upstream
        self._answers = Answers(credentials, (), around.entropy)
        self._request = request
        self._cseq = cseq - 1
        self._on_final = on_final
        self._sent = 0

    def begin(self, routes: tuple[str, ...] | None = None) -> None:
        """Send it, along the binding's own route unless a dialog has another one."""
        upstream = self._upstream
        self._routes = routes
        if routes is None:
            self._routes = upstream.service_route or tuple(filter(None, [upstream.proxy_uri]))
        self._send()

    def _send(self) -> None:
        self._cseq += 1
        self._sent += 1
        request = self._request.copy()
        request.set("CSeq", f"{self._cseq} {request.method}")
        for name, value in self._answers.headers(request.method, request.uri, request.body):
            request.add(name, value)
        put_routes(request, self._routes or ())
        self._around.transactions.request(request, self._upstream.flow, self._answered, self._failed)

    def _answered(self, response: Message) -> None:
        if response.status < 200:
            return
        is_challenge = response.status in (401, 407) and self._sent < _MOST_REQUESTS
        if is_challenge and self._answers.take(response) is Verdict.ANSWERABLE:
            self._send()
        else:
            self._on_final(Final(response), self._cseq)

    def _failed(self, reason: str) -> None:
        words = "The PBX does not answer" if reason == "timeout" else "The PBX cannot be reached"
        self._on_final(Final(None, words), self._cseq)
