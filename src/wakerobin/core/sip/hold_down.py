"""Targets that failed lately are tried last for a while, and then by one request before by all."""

from __future__ import annotations

from wakerobin.core.sip.targets import Target

HOLD_DOWN_S = 30.0

_PROBE_S = 40.0
"""How long one try at a target that failed may take before the next one is let through: timer F, and some."""

_MOST = 4_096


class HoldDowns:
    """Driven by what became of requests. Times are monotonic seconds."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until: dict[tuple[str, str, int], float] = {}

    def failed(self, target: Target, now: float) -> None:
        """Note that a target answered 503, or not at all (RFC 3263, 4.3)."""
        key = _key(target)
        self._until.pop(key, None)  # the latest stand last
        while len(self._until) >= _MOST:
            del self._until[next(iter(self._until))]
        self._until[key] = now + HOLD_DOWN_S

    def answered(self, target: Target) -> None:
        """Note that a target serves (again)."""
        self._until.pop(_key(target), None)

    def is_failing(self, target: Target, now: float, *, will_try: bool = False) -> bool:
        """Whether others are to be tried before this one.

        `will_try`: the caller sends to what is not failing. Of those who come after the hold-down one is
        let through, and only its success opens the way for all: else each would wait for timer F.
        """
        until = self._until.get(_key(target))
        if until is None:
            return False
        if now < until:
            return True
        if will_try:
            self._until[_key(target)] = now + _PROBE_S
        return False


def _key(target: Target) -> tuple[str, str, int]:
    return target.transport, target.address, target.port
