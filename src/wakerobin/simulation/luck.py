"""Luck that does not depend on who asks first: a number for each phone, purpose and hour.

Every policy meets the same phones with the same luck, because a draw is a function and not a sequence.
"""

from __future__ import annotations

import enum

from wakerobin.simulation.model import HOUR

_MASK = (1 << 64) - 1


class Purpose(enum.IntEnum):
    """What is drawn for."""

    RUNS = 1
    HELD = 2
    ACTS = 3
    DELAY = 4
    STAYS = 5
    FORCE_QUIT = 6
    CHARGES = 7
    DOZES = 8
    BUSY = 9
    RETRY = 10


class Luck:
    """The luck of one phone."""

    __slots__ = ("_seed",)

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def at(self, purpose: Purpose, moment: int) -> float:
        """Return a number from 0 to below 1, the same all through an hour (splitmix64)."""
        x = (self._seed + (moment // HOUR) * 0x9E3779B97F4A7C15 + purpose * 0xD1B54A32D192ED03) & _MASK
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
        return (x >> 11) / (1 << 53)
