"""What the fleet remembers over a restart, so that its rhythm goes on; written once a minute."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from wakerobin.ports.store import Store, Transaction
from wakerobin.services.fleet.registrars import Registrar

BEAT_S = 60.0

_NAME = "fleet-rhythm"


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When the server ran last, what was learnt of each registrar, and how NATs show us to them."""

    ran_until_s: float = float("-inf")
    """Wall clock, seconds."""
    granted_s: dict[str, int] = field(default_factory=dict)
    learnt: list[tuple[str, str, int, str, int]] = field(default_factory=list)
    recovery: dict[str, float] = field(default_factory=dict)
    """How fast each registrar takes back bindings that it has lost, as was found out."""
    by_stream: frozenset[str] = frozenset()
    """To which registrars bindings were made over connections: they ended with that run."""

    def __hash__(self) -> int:
        return hash(self.ran_until_s)


def read(store: Store) -> Rhythm:
    """Return what the last run left."""
    kept = store.read(lambda tx: tx.kept.get(_NAME))
    if kept is None:
        return Rhythm()
    value: dict[str, Any] = json.loads(kept)
    learnt = [(str(t), str(r), int(rp), str(h), int(p)) for t, r, rp, h, p in value["learnt"]]
    return Rhythm(
        float(value["ran_until_s"]),
        dict(value["granted_s"]),
        learnt,
        dict(value.get("recovery", {})),
        frozenset(value.get("by_stream", ())),
    )


def note(
    registrars: Iterable[Registrar], learnt: list[tuple[str, str, int, str, int]], wall_s: float
) -> Rhythm:
    """Return what is to be remembered now."""
    granted_s, recovery, by_stream = dict[str, int](), dict[str, float](), set[str]()
    for one in registrars:
        if one.is_by_stream:
            by_stream.add(key(one))
        if one.granted_s:
            granted_s[key(one)] = one.granted_s
        if one.queue.recovery.is_learnt:
            recovery[key(one)] = one.queue.recovery.rate
    return Rhythm(wall_s, granted_s, learnt, recovery, frozenset(by_stream))


async def write(store: Store, rhythm: Rhythm) -> None:
    """Keep it."""
    value = {
        "ran_until_s": rhythm.ran_until_s,
        "granted_s": rhythm.granted_s,
        "learnt": rhythm.learnt,
        "recovery": rhythm.recovery,
        "by_stream": sorted(rhythm.by_stream),
    }

    def work(tx: Transaction) -> None:
        tx.kept.put(_NAME, json.dumps(value).encode())

    await store.transact(work)


def key(registrar: Registrar) -> str:
    """Return the name under which a registrar is remembered."""
    return f"{registrar.hop.transport or 'any'}:{registrar.hop}"
