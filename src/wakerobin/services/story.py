"""Telling stories: what happened to a call or a push registration, written in the transaction that did it."""

from __future__ import annotations

from typing import Any

from wakerobin.ports.store import StoryRow, Transaction


def of_registration(registration_id: int) -> str:
    """Return the subject of a push registration's story."""
    return f"registration:{registration_id}"


def of_call(call_id: str) -> str:
    """Return the subject of a call's story."""
    return f"call:{call_id}"


def of_guest(number: int) -> str:
    """Return the subject of the story of a phone that nobody enrolled."""
    return f"guest:{number}"


def tell(tx: Transaction, subject: str, at: int, event: str, **details: Any) -> None:
    """Add one event; `core.story` has a sentence for each. Details are plain values, never secrets."""
    tx.stories.add(StoryRow(subject=subject, at=at, event=event, details=details))
