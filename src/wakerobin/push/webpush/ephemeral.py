"""Key pairs that are each used for one message (RFC 8291 3.1), made before they are needed.

Making one costs a quarter of an encryption, and a call should not pay for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from wakerobin.ports.clock import Clock, Timer, Timers

CURVE: Final = ec.SECP256R1()

_PAUSE_S: Final = 0.02
_AT_ONCE: Final = 8
"""So many are made between two turns of the loop: a fifth of a millisecond."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A private key and its public point, 65 octets."""

    private: ec.EllipticCurvePrivateKey
    point: bytes

    @classmethod
    def of(cls, private: ec.EllipticCurvePrivateKey) -> KeyPair:
        """Return the pair of a private key."""
        return cls(private, private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))


def make_key_pair() -> KeyPair:
    """Make a key pair from the randomness of the system."""
    return KeyPair.of(ec.generate_private_key(CURVE))


class KeyPool:
    """Gives each key pair out once. `fill` before use; it fills itself up again behind the pushes."""

    def __init__(
        self, clock: Clock, timers: Timers, size: int = 64, make: Callable[[], KeyPair] = make_key_pair
    ) -> None:
        self._clock = clock
        self._timers = timers
        self._size = size
        self._make = make
        self._pairs: deque[KeyPair] = deque()
        self._timer: Timer | None = None
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._pairs)

    def take(self) -> KeyPair:
        """Return a key pair that nobody else gets; an empty pool makes it now."""
        pair = self._pairs.popleft() if self._pairs else self._make()
        self._plan()
        return pair

    def fill(self) -> None:
        """Begin to make as many as the pool holds, a few at a time."""
        self._is_closed = False
        self._plan()

    def close(self) -> None:
        """Make no more."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _plan(self) -> None:
        if self._timer is None and not self._is_closed and len(self._pairs) < self._size:
            self._timer = self._timers.call_at(self._clock.monotonic() + _PAUSE_S, self._refill)

    def _refill(self) -> None:
        self._timer = None
        for _ in range(min(_AT_ONCE, self._size - len(self._pairs))):
            self._pairs.append(self._make())
        self._plan()
