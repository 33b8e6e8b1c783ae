"""When a binding is refreshed and looked at: on a grid of its own, which a restart does not disturb.

Each account has a phase. Its refreshes lie on the grid of times at which the wall clock, modulo 40 % of
the granted expiry, equals that phase: exactly one of them falls between 50 and 90 % of every granted
expiry, and a server that starts again finds it without having stored anything.
"""

from __future__ import annotations

_EARLIEST = 0.5
_LATEST = 0.9
_PERIOD = _LATEST - _EARLIEST
_JITTER = 0.02
_SHORTEST_S = 1.0
LOOK_EVERY_S = 3_600.0
"""How often a binding is looked at between its refreshes, to notice that the PBX has dropped it."""
_WARY_S = 900.0
_TOO_SOON_S = 5.0

_GOLDEN = 0x9E3779B97F4A7C15
_WORD = 2**64


def phase(account_id: int) -> float:
    """Return an account's place in every interval, 0 to 1: spread evenly, neighbours far apart."""
    return (account_id * _GOLDEN % _WORD) / _WORD


def refresh_in_s(granted_s: float, account_id: int, wall_s: float, jitter: float) -> float:
    """Return after how many seconds a binding granted now is refreshed: 50 to 90 % of its life.

    `wall_s` is the wall clock in seconds, `jitter` a random number from 0 to 1.
    """
    grid = granted_s * _PERIOD
    earliest = granted_s * _EARLIEST
    wait = earliest + (phase(account_id) * grid - (wall_s + earliest)) % grid
    wait += (jitter - 0.5) * _JITTER * granted_s
    return max(_SHORTEST_S, min(max(wait, earliest), granted_s * _LATEST))


def resumed_in_s(granted_s: float, account_id: int, wall_s: float, down_since_s: float) -> float:
    """Return in how many seconds the rhythm of before a restart goes on; 0 if a refresh was missed.

    `down_since_s` is the last moment (wall clock) at which the server is known to have run.
    """
    grid = granted_s * _PERIOD
    next_in = (phase(account_id) * grid - wall_s) % grid
    missed = grid - next_in <= wall_s - down_since_s + _JITTER * granted_s
    return 0.0 if missed or wall_s < down_since_s else next_in


def look_in_s(until_refresh_s: float, account_id: int, wall_s: float, *, is_wary: bool) -> float | None:
    """Return in how many seconds to look at the binding before its refresh; None for not before it.

    Once an hour for each account, and every quarter of an hour at least while `is_wary`.
    """
    if is_wary:
        return min(until_refresh_s / 2, _WARY_S)
    until_hour = (phase(account_id) * LOOK_EVERY_S - wall_s) % LOOK_EVERY_S
    if until_hour < _TOO_SOON_S:
        until_hour += LOOK_EVERY_S
    return until_hour if until_hour < until_refresh_s else None
