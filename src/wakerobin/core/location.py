"""Where the phones of one account are: their live flows, made by REGISTER (RFC 3261 section 10, RFC 5626).

In memory only. An installation has one flow, its newest; a flow ends by `expires=0`, by time, or with its
connection. None of these ends a push registration. Times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from wakerobin.core.values import Flow, PhoneFlow


@dataclass(frozen=True, slots=True)
class Granted:
    """How long a phone may stay registered; `status` 200, or 423 with the shortest that is allowed."""

    status: int
    seconds: int


def grant(asked: int | None, shortest: int, longest: int) -> Granted:
    """Answer the expiry that a phone asks for, in seconds. None (it asked for nothing) gets the longest."""
    if asked is None:
        return Granted(200, longest)
    if 0 < asked < shortest:
        return Granted(423, shortest)
    return Granted(200, min(asked, longest))


class Location:
    """The phones of one account."""

    def __init__(self) -> None:
        self._phones: dict[str, PhoneFlow] = {}

    def registered(self, phone: PhoneFlow) -> PhoneFlow | None:
        """Take a phone's newest flow; returns the one that it replaces."""
        older = self._phones.get(phone.installation)
        self._phones[phone.installation] = phone
        return older

    def unregistered(self, installation: str) -> PhoneFlow | None:
        """The phone said `expires=0`; returns the flow that it had."""
        return self._phones.pop(installation, None)

    def closed(self, flow: Flow) -> list[PhoneFlow]:
        """The connection is gone; returns the phones that were on it."""
        gone = [phone for phone in self._phones.values() if phone.flow == flow]
        for phone in gone:
            del self._phones[phone.installation]
        return gone

    def heard(self, flow: Flow, now: float) -> None:
        """Something came over a flow: it lives."""
        for phone in list(self._phones.values()):
            if phone.flow == flow:
                self._phones[phone.installation] = replace(phone, heard_at=now)

    def expire(self, now: float) -> list[PhoneFlow]:
        """Drop and return what was not refreshed in time."""
        gone = [phone for phone in self._phones.values() if phone.expires_at <= now]
        for phone in gone:
            del self._phones[phone.installation]
        return gone

    def phones(self, now: float) -> list[PhoneFlow]:
        """Return the live ones, the most recently heard first."""
        live = [phone for phone in self._phones.values() if phone.expires_at > now]
        return sorted(live, key=lambda phone: -phone.heard_at)

    def __bool__(self) -> bool:
        return bool(self._phones)
