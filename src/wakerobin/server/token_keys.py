"""The keys that sign tokens: a new one each month, and the one before it is understood for another week."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import asdict, dataclass, field

from wakerobin import log
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.ids import Entropy
from wakerobin.core.tokens import TokenKeys
from wakerobin.ports.clock import Clock, Timers
from wakerobin.ports.store import Store

KEPT = "token-keys"
"""The name under which the store keeps them, sealed by the vault."""

DAY_MS = 24 * 3600 * 1000
SIGNS_MS = 30 * DAY_MS
VERIFIES_MS = 7 * DAY_MS
"""How long a key is understood after another has taken its place: longer than any call."""

LOOK_EVERY_S = 3600.0
KEY_OCTETS = 32

_log = log.get("server")


@dataclass(frozen=True, slots=True)
class TokenKey:
    """One key, and since when it signs, in epoch milliseconds."""

    key: str = field(repr=False)
    since: int


def turned(ring: tuple[TokenKey, ...], now: int, entropy: Entropy) -> tuple[TokenKey, ...]:
    """Return the keys of today, first the one that signs: a new one where it is time, none too old."""
    if not ring or now - ring[0].since >= SIGNS_MS:
        ring = (TokenKey(entropy(KEY_OCTETS).hex(), now), *ring)
    understood = [older for newer, older in itertools.pairwise(ring) if now - newer.since < VERIFIES_MS]
    return (ring[0], *understood)


class TokenKeyring:
    """Keeps `keys`, which the services sign by. `open` it before anything is signed, then let it `run`."""

    def __init__(self, store: Store, clock: Clock, timers: Timers, entropy: Entropy) -> None:
        self._store = store
        self._clock = clock
        self._timers = timers
        self._entropy = entropy
        self._ring: tuple[TokenKey, ...] = ()
        self._keys: TokenKeys | None = None

    async def open(self, lasting: bytes) -> TokenKeys:
        """Return the keys; `lasting` is what ids are derived from. They are renewed while this runs."""
        self._ring = _read(self._store.read(lambda tx: tx.kept.get(KEPT)))
        await self._turn()
        current, *previous = (bytes.fromhex(one.key) for one in self._ring)
        self._keys = TokenKeys(current, tuple(previous), lasting)
        return self._keys

    async def run(self) -> None:
        """Look each hour whether it is time. Where the store cannot be written, the old keys do."""
        assert self._keys is not None, "the ring was not opened"
        while True:
            await self._rest()
            try:
                if await self._turn():
                    current, *previous = (bytes.fromhex(one.key) for one in self._ring)
                    self._keys.renew(current, tuple(previous))
                    _log.info("token_keys_renewed", understood=len(self._ring))
            except StoreUnavailableError as error:
                _log.warning("token_keys_not_stored", reason=str(error))

    async def _turn(self) -> bool:
        """Store the keys of today before they are used: what they signed must be known after a restart."""
        ring = turned(self._ring, self._clock.now(), self._entropy)
        if ring == self._ring:
            return False
        text = json.dumps([asdict(one) for one in ring]).encode()
        await self._store.transact(lambda tx: tx.kept.put(KEPT, text))
        self._ring = ring
        return True

    async def _rest(self) -> None:
        rested = asyncio.Event()
        timer = self._timers.call_at(self._clock.monotonic() + LOOK_EVERY_S, rested.set)
        try:
            await rested.wait()
        finally:
            timer.cancel()


def _read(kept: bytes | None) -> tuple[TokenKey, ...]:
    return tuple(TokenKey(**one) for one in json.loads(kept)) if kept is not None else ()
