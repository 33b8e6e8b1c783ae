"""One REGISTER conversation, from the first request to its outcome, through challenges and 423."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from wakerobin.core.binding import listing
from wakerobin.core.binding.answers import Answers, KeptNonce, Verdict, kept_algorithm
from wakerobin.core.binding.outcomes import (
    Accepted,
    Bound,
    ComeLater,
    Looked,
    Outcome,
    RealmUnknown,
    Refusal,
    Refused,
    Removed,
    Unusable,
)
from wakerobin.core.binding.request import BindingRequest, Intent, register
from wakerobin.core.ids import Entropy, hex_token
from wakerobin.core.sip.header import delta_seconds
from wakerobin.core.sip.message import Message
from wakerobin.core.values import Credentials

LONGEST_MIN_EXPIRES_S = 86_400
"""What a registrar may force on us as its shortest expiry (423)."""

_MOST_REQUESTS = 7
_TAG_OCTETS = 5
_LATER = frozenset((408, 429, 480, 486, 491, 500, 502, 503, 504, 600))
_UNKNOWN = frozenset((404, 410, 604))

Step: TypeAlias = Message | Outcome | None
"""The next REGISTER, or the end, or nothing yet (a provisional response)."""


class Conversation:
    """Driven by `begin` and the responses to the request that was last given out.

    Each request is a transaction of its own; what its transaction did not get is not told here.
    `expires_s` is what is asked for and grows where the registrar insists (423).
    """

    __slots__ = (
        "_answers",
        "_cseq",
        "_entropy",
        "_from_tag",
        "_intent",
        "_is_reliable",
        "_request",
        "_requests",
        "expires_s",
    )

    def __init__(  # noqa: PLR0913 - made once, in one place, all but two by name
        self,
        request: BindingRequest,
        credentials: Credentials,
        *,
        intent: Intent,
        expires_s: int,
        first_cseq: int,
        entropy: Entropy,
        kept: Iterable[KeptNonce] = (),
        is_reliable: bool = False,
    ) -> None:
        self.expires_s = expires_s
        self._request = request
        self._intent = intent
        self._answers = Answers(credentials, kept, entropy)
        self._cseq = first_cseq - 1
        self._entropy = entropy
        self._from_tag = hex_token(entropy, _TAG_OCTETS)
        self._is_reliable = is_reliable
        self._requests = 0

    @property
    def cseq(self) -> int:
        """The number of the last request; the next conversation of this Call-ID must begin above it."""
        return self._cseq

    def begin(self) -> Message:
        """Return the first REGISTER, or the same again for another target."""
        self._cseq += 1
        self._requests += 1
        return register(
            self._request,
            self._intent,
            cseq=self._cseq,
            from_tag=self._from_tag,
            expires_s=self.expires_s,
            authorizations=self._answers.headers("REGISTER", self._request.uri),
        )

    def take(self, response: Message) -> Step:
        """Take a response: to the next request, or to the end."""
        status = response.status
        if status < 200:
            return None
        if status < 300:
            return self._succeeded(response)
        if status in (401, 407):
            return self._challenged(response)
        if status == 423:
            return self._too_brief(response)
        return self._failed(response)

    def _challenged(self, response: Message) -> Step:
        match self._answers.take(response):
            case Verdict.ANSWERABLE:
                return self._again()
            case Verdict.WRONG:
                return Refused(Refusal.WRONG, response.status)
            case Verdict.UNKNOWN_REALM:
                return RealmUnknown(tuple(self._answers.asked))
            case Verdict.HOPELESS:
                reason = "The PBX asks for a login again and again, or in a way that nobody can answer."
                return Unusable(reason, response.status)

    def _too_brief(self, response: Message) -> Step:
        wanted = delta_seconds(response.get("min-expires") or "")
        if self._intent is not Intent.BIND or wanted is None:
            return Unusable("The PBX answers 423 without saying what it wants.", 423)
        if not self.expires_s < wanted <= LONGEST_MIN_EXPIRES_S:
            return Unusable("The PBX answers 423 whatever it is asked for.", 423)
        self.expires_s = wanted
        return self._again()

    def _again(self) -> Step:
        if self._requests >= _MOST_REQUESTS:
            return Unusable("The PBX asks for one REGISTER after the other and accepts none.")
        return self.begin()

    def _succeeded(self, response: Message) -> Outcome:
        if self._intent is Intent.REMOVE:
            return Removed()
        listed = listing.contacts(response)
        ours = listing.ours_among(listed, self._request)
        others = listing.others_among(listed, self._request)
        kept = self._answers.kept(response)
        if self._intent is Intent.LOOK:
            is_there = ours is not None and delta_seconds(ours.params.get("expires") or "1") != 0
            return Looked(is_there, others, kept)
        granted = listing.granted_s(response, listed, ours, self.expires_s)
        if granted == 0:
            return Unusable("The PBX says yes to the REGISTER and keeps no binding.", response.status)
        return Bound(
            granted_s=granted,
            is_listed=ours is not None,
            others=others if ours is not None else max(0, len(listed) - 1),
            leftovers=listing.leftovers_among(listed, self._request),
            service_route=listing.routes(response, "Service-Route"),
            path=listing.routes(response, "Path"),
            seen=listing.seen(response, is_reliable=self._is_reliable),
            kept=kept,
            accepted=self._accepted(),
        )

    def _accepted(self) -> Accepted | None:
        challenge = self._answers.accepted()
        if challenge is None:
            return None
        keys = self._answers.keys() if self._answers.has_answered else ()
        return Accepted(challenge.realm, kept_algorithm(challenge.algorithm), keys)

    def _is_full(self, response: Message) -> bool:
        """Whether a registrar that took the credentials says that it holds too many contacts already."""
        said = (response.get("p-registrar-error") or "").lower()
        return "too many" in said and self._intent is Intent.BIND and self._answers.accepted() is not None

    def _failed(self, response: Message) -> Outcome:
        status = response.status
        if self._is_full(response):
            return Refused(Refusal.FULL, status)
        if status == 403:
            return Refused(Refusal.FORBIDDEN, status)
        if status in _UNKNOWN:
            return Refused(Refusal.UNKNOWN, status)
        if status in _LATER:
            return ComeLater(status, delta_seconds(response.get("retry-after") or ""))
        if status < 400:
            return Unusable("The PBX sends us elsewhere, where this account may not go.", status)
        return Unusable(f"The PBX answers the REGISTER with {status}.", status)
