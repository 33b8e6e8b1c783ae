"""What operators count of lives, by app, platform and day: kept in the transaction in which it happened."""

from __future__ import annotations

import enum
from collections import Counter

from wakerobin import metrics
from wakerobin.core.values import Ended, PushRegistration
from wakerobin.ports.store import Transaction

DAY = 24 * 3600_000


class Tally(enum.StrEnum):
    """What is counted; the words of the operator's statistics."""

    SAVED_SILENTLY = "saved-silently"
    """A renewal push was answered: nobody noticed."""
    SAVED_BY_WARNING = "saved-by-warning"
    """The user came after a warning."""
    ENDED_BY_NEGLECT = "ended-by-neglect"
    ENDED_BY_UNINSTALL = "ended-by-uninstall"
    ENDED_BY_TROUBLE = "ended-by-trouble"
    ENDED_DELETED = "ended-deleted"
    WARNED = "warnings"
    """Visible warnings that a push service accepted."""
    RENEWAL_PUSHES = "renewal-pushes"
    """Renewal pushes that a push service accepted."""


ENDS = {
    Ended.EXPIRED: Tally.ENDED_BY_NEGLECT,
    Ended.DORMANT: Tally.ENDED_BY_NEGLECT,
    Ended.TARGETS_GONE: Tally.ENDED_BY_UNINSTALL,
    Ended.REFUSED: Tally.ENDED_BY_TROUBLE,
    Ended.DELETED: Tally.ENDED_DELETED,
}


_SHOWN_DAYS = 30


def tally(tx: Transaction, registration: PushRegistration, name: Tally, now: int, count: int = 1) -> None:
    """Count something that happened to a push registration."""
    tx.tallies.add(registration.app, registration.platform.value, now // DAY, name.value, count)


def first_day(now: int, days: int) -> int:
    """Return the first of the last days, today among them, as days since 1970-01-01."""
    return now // DAY - days + 1


def last_days(tx: Transaction, now: int, days: int = _SHOWN_DAYS) -> dict[tuple[str, str, str], int]:
    """Return the counts of the last days by app, platform and name."""
    found: Counter[tuple[str, str, str]] = Counter()
    for row in tx.tallies.since(first_day(now, days)):
        found[row.app, row.platform, row.name] += row.count
    return dict(found)


def show(counts: dict[tuple[str, str, str], int]) -> None:
    """Show counts as metrics."""
    metrics.LIVES_TALLIED.clear()
    for labels, count in counts.items():
        metrics.LIVES_TALLIED.labels(*labels).set(count)
