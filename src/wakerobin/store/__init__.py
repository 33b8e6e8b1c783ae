"""Durable state: SQLite behind the port, with secrets sealed by a vault."""

from __future__ import annotations

from wakerobin.store.opening import open_store
from wakerobin.store.sqlite import SqliteStore
from wakerobin.store.vault import SealBrokenError

__all__ = ["SealBrokenError", "SqliteStore", "open_store"]
