"""What every store says to a peer's octets that are no UTF-8: nothing is found by them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.contract.stores import ENGINES, enrol, opened
from wakerobin.ports.store import Store, Transaction

BROKEN = "x\udcff\ud800y"


@pytest.fixture(params=ENGINES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(request.param(tmp_path)) as store:
        yield store


@pytest.mark.parametrize(
    "look",
    [
        lambda tx: tx.accounts.by_contact_user(BROKEN),
        lambda tx: tx.accounts.by_aor(BROKEN),
        lambda tx: tx.registrations.by_public_id(BROKEN),
        lambda tx: tx.registrations.by_installation(1, BROKEN),
        lambda tx: tx.registrations.by_sip_instance(1, BROKEN),
        lambda tx: tx.stories.of(BROKEN),
        lambda tx: tx.calls.get(BROKEN),
        lambda tx: tx.kept.get(BROKEN),
    ],
)
async def test_nothing_is_found_by_octets_that_are_no_text(
    store: Store, look: Callable[[Transaction], Any]
) -> None:
    await store.transact(enrol)
    assert not store.read(look)
