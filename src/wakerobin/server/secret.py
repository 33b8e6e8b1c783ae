"""The server's secret: tokens, hashes and ids are derived from it."""

from __future__ import annotations

from wakerobin.core.ids import Entropy
from wakerobin.ports.store import Store

SECRET = "server-secret"  # noqa: S105 - the name under which the store keeps it
SECRET_OCTETS = 32


async def server_secret(store: Store, entropy: Entropy) -> bytes:
    """Return it; made once, sealed by the vault."""
    known = store.read(lambda tx: tx.kept.get(SECRET))
    if known is not None:
        return known
    made = entropy(SECRET_OCTETS)
    await store.transact(lambda tx: tx.kept.put(SECRET, made))
    return made
