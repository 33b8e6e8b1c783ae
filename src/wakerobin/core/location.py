"""Where the phones are: their live flows, made by REGISTER (RFC 3261 section 10, RFC 5626).

In memory only. An installation has one flow, its newest; a flow ends by `expires=0`, by time, or with its
connection. None of these ends a push registration. Times are monotonic seconds.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.uri import equivalent
from wakerobin.core.values import Flow, PhoneFlow

HEARD_EVERY_S = 0.2
"""How exactly it is known when a phone was last heard: a call brings a dozen messages at once."""

MOST_PHONES = 20
"""Of one account. Beyond it the one that was not heard for longest has to go."""


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


class Locations:
    """The flows of all phones of all accounts. `expire` is to be called at `deadline`, or later."""

    def __init__(self) -> None:
        self._by_account: dict[int, dict[str, PhoneFlow]] = {}
        self._on: dict[Flow, set[tuple[int, str]]] = {}
        self._ends: list[tuple[float, int, str]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def deadline(self) -> float | None:
        """When the next flow may have expired; None while there is none."""
        return self._ends[0][0] if self._ends else None

    def registered(self, phone: PhoneFlow) -> None:
        """Take a phone's newest flow in the place of the one that it had."""
        for older in self._of(phone.account_id):
            if _is_same_phone(older, phone):
                self._drop(older)
        phones = self._of(phone.account_id)
        if len(phones) >= MOST_PHONES:
            self._drop(min(phones, key=lambda one: one.heard_at))
        self._by_account.setdefault(phone.account_id, {})[phone.installation] = phone
        self._on.setdefault(phone.flow, set()).add((phone.account_id, phone.installation))
        heapq.heappush(self._ends, (phone.expires_at, phone.account_id, phone.installation))
        self._count += 1

    def unregistered(self, account_id: int, contact_uri: str) -> None:
        """A phone took this Contact back (`expires=0`). One that it gave later stays."""
        for phone in self._of(account_id):
            if _is_same(phone.contact_uri, contact_uri):
                self._drop(phone)

    def cleared(self, account_id: int) -> None:
        """A phone took back all Contacts of its account (`Contact: *`, RFC 3261 10.2.2)."""
        for phone in self._of(account_id):
            self._drop(phone)

    def closed(self, flow: Flow) -> None:
        """The connection is gone, and with it the phones that were on it."""
        for account_id, installation in list(self._on.get(flow, ())):
            self._drop(self._by_account[account_id][installation])

    def heard(self, flow: Flow, now: float) -> None:
        """Something came over a flow: it lives."""
        for account_id, installation in self._on.get(flow, ()):
            phones = self._by_account[account_id]
            if now - phones[installation].heard_at >= HEARD_EVERY_S:
                phones[installation] = replace(phones[installation], heard_at=now)

    def expire(self, now: float) -> list[PhoneFlow]:
        """Drop and return what was not refreshed in time."""
        gone = []
        while self._ends and self._ends[0][0] <= now:
            _, account_id, installation = heapq.heappop(self._ends)
            phone = self._by_account.get(account_id, {}).get(installation)
            if phone is not None and phone.expires_at <= now:
                self._drop(phone)
                gone.append(phone)
        return gone

    def phones(self, account_id: int, now: float) -> list[PhoneFlow]:
        """Return the live ones of an account, the most recently heard first."""
        live = [phone for phone in self._of(account_id) if phone.expires_at > now]
        return sorted(live, key=lambda phone: -phone.heard_at)

    def on_flow(self, flow: Flow, now: float) -> list[PhoneFlow]:
        """Return the live phones that registered over this flow: one for each account of an app."""
        phones = [self._by_account[account_id][name] for account_id, name in self._on.get(flow, ())]
        return [phone for phone in phones if phone.expires_at > now]

    def _of(self, account_id: int) -> list[PhoneFlow]:
        phones = self._by_account.get(account_id)
        return list(phones.values()) if phones else []

    def _drop(self, phone: PhoneFlow) -> None:
        phones = self._by_account[phone.account_id]
        del phones[phone.installation]
        if not phones:
            del self._by_account[phone.account_id]
        on_flow = self._on[phone.flow]
        on_flow.discard((phone.account_id, phone.installation))
        if not on_flow:
            del self._on[phone.flow]
        self._count -= 1


def _is_same_phone(older: PhoneFlow, newer: PhoneFlow) -> bool:
    """Whether the newer flow replaces the older one.

    An installation that was enrolled anew has another name; its instance, or its Contact, tells.
    """
    if older.installation == newer.installation:
        return True
    if older.instance and newer.instance:
        return older.instance == newer.instance
    return _is_same(older.contact_uri, newer.contact_uri)


def _is_same(contact_uri: str, other: str) -> bool:
    """Compare Contacts as URIs (10.3 step 7)."""
    if contact_uri == other:
        return True
    try:
        return equivalent(contact_uri, other)
    except SipSyntaxError:
        return False
