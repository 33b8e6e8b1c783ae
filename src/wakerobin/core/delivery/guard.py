"""Whether a refused target is gone, or we are wrong (law 5).

`TargetGuard` remembers, in memory, what the push services said of each credential's tokens: many refusals
at once are our misconfiguration, not many deleted apps.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from dataclasses import dataclass, field

from wakerobin.core.pushes import TargetGone
from wakerobin.core.values import PushTarget

_MINUTE = 60_000
_DAY = 24 * 3600_000


class TargetVerdict(enum.Enum):
    """What a refused target is."""

    KEPT = "kept"
    """The refusal is older than the token, or the guard holds: nothing changes."""
    SUSPECTED = "suspected"
    """It may be gone: applied after a day if it is refused again."""
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardPolicy:
    """When refusals are our own fault (law 5); times in milliseconds."""

    window: int = 5 * _MINUTE
    tokens: int = 10
    """Fewer distinct refused tokens than that never trip the guard."""
    share: float = 0.2
    suspect_after: int = _DAY
    evidence_within: int = _DAY
    most_remembered: int = 50_000
    """Accepted tokens remembered in a window; beyond it the guard trips sooner, which harms nobody."""


@dataclass(slots=True)
class _Credential:
    accepted: OrderedDict[int, int] = field(default_factory=OrderedDict)
    refused: OrderedDict[int, int] = field(default_factory=OrderedDict)
    proofs: OrderedDict[int, int] = field(default_factory=OrderedDict)
    """The last two distinct tokens that were accepted, with the time."""
    is_tripped: bool = False


class TargetGuard:
    """What the push services said in the last minutes, per credential (an app's at a provider)."""

    def __init__(self, policy: GuardPolicy | None = None) -> None:
        self.policy = GuardPolicy() if policy is None else policy
        self._credentials: dict[str, _Credential] = {}

    def accepted(self, credential: str, target: PushTarget, now: int) -> None:
        """Remember that a push to the target was accepted."""
        seen = self._seen(credential, now)
        token = hash(target.token)
        seen.refused.pop(token, None)
        if token in seen.accepted or len(seen.accepted) < self.policy.most_remembered:
            _put(seen.accepted, token, now)
        _put(seen.proofs, token, now)
        if len(seen.proofs) > 2:
            seen.proofs.popitem(last=False)

    def judge(self, credential: str, target: PushTarget, outcome: TargetGone, now: int) -> TargetVerdict:
        """Count a refusal and say what it makes of the target."""
        if outcome.gone_at and outcome.gone_at <= target.reported_at:
            return TargetVerdict.KEPT  # the app has reported this token since
        seen = self._seen(credential, now)
        token = hash(target.token)
        seen.accepted.pop(token, None)
        _put(seen.refused, token, now)
        seen.is_tripped = self._trips(seen)
        if seen.is_tripped:
            return TargetVerdict.KEPT
        if outcome.certain:
            return TargetVerdict.GONE
        has_waited = target.refused_at and now >= target.refused_at + self.policy.suspect_after
        if has_waited and self._has_evidence(seen, token, now):
            return TargetVerdict.GONE
        return TargetVerdict.SUSPECTED

    def is_tripped(self, credential: str, now: int) -> bool:
        """Whether refusals by this credential end nothing at present."""
        seen = self._seen(credential, now)
        seen.is_tripped = seen.is_tripped and self._trips(seen)
        return seen.is_tripped

    def _trips(self, seen: _Credential) -> bool:
        refused = len(seen.refused)
        total = refused + len(seen.accepted)
        return refused >= self.policy.tokens and refused > self.policy.share * total

    def _has_evidence(self, seen: _Credential, token: int, now: int) -> bool:
        """Whether the credential works at all: with few tokens a wrong topic looks like a dead phone."""
        if len(seen.refused) >= self.policy.tokens:
            return True  # then the share decides
        since = now - self.policy.evidence_within
        return any(other != token and at >= since for other, at in seen.proofs.items())

    def _seen(self, credential: str, now: int) -> _Credential:
        seen = self._credentials.setdefault(credential, _Credential())
        for tokens in (seen.accepted, seen.refused):
            while tokens and next(iter(tokens.values())) <= now - self.policy.window:
                tokens.popitem(last=False)
        return seen


def _put(tokens: OrderedDict[int, int], token: int, now: int) -> None:
    tokens[token] = now
    tokens.move_to_end(token)
