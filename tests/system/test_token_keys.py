"""The keys of tokens: renewed each month, and no call, no app and no phone notices."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.system.asking import at_pbx
from tests.system.calls_world import World, entropy
from tests.system.dialogs import came, in_dialog, replied, talking
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.tokens import RouteToken, Side, TokenKeys, read, sign
from wakerobin.server.token_keys import (
    DAY_MS,
    LOOK_EVERY_S,
    SIGNS_MS,
    VERIFIES_MS,
    TokenKey,
    TokenKeyring,
    turned,
)
from wakerobin.testing.clock import ManualClock
from wakerobin.testing.memory import MemoryStore

ROUTE = RouteToken(Side.PHONE, 1, installation=2)
SECRET = b"a secret that never changes"


@contextlib.asynccontextmanager
async def kept(store: MemoryStore, clock: ManualClock, seed: str = "keys") -> AsyncIterator[TokenKeys]:
    """Open the ring of a server, and let it be kept."""
    ring = TokenKeyring(store, clock, clock, entropy(seed))
    keys = await ring.open(SECRET)
    task = asyncio.create_task(ring.run())
    await clock.settle()
    try:
        yield keys
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def days(clock: ManualClock, count: float) -> None:
    await clock.run_until(clock.now() + round(count * DAY_MS))


async def test_a_new_key_signs_each_month_and_the_one_before_is_understood_for_a_week() -> None:
    store, clock = MemoryStore(), ManualClock()
    async with kept(store, clock) as keys:
        token = sign(ROUTE, keys)
        await days(clock, 29.9)
        assert sign(ROUTE, keys) == token
        await days(clock, 0.2)
        assert sign(ROUTE, keys) != token
        assert read(token, keys) == ROUTE
        await days(clock, 6.8)
        assert read(token, keys) == ROUTE
        await days(clock, 0.2)
        assert read(token, keys) is None
        assert keys.lasting == SECRET


async def test_a_restart_knows_the_keys_and_one_after_a_month_renews_them_first() -> None:
    store, clock = MemoryStore(), ManualClock()
    async with kept(store, clock) as keys:
        token = sign(ROUTE, keys)
    await days(clock, 3)
    async with kept(store, clock, "another run") as keys:
        assert sign(ROUTE, keys) == token
    await days(clock, 28)
    async with kept(store, clock, "a third run") as keys:
        assert sign(ROUTE, keys) != token
        assert read(token, keys) == ROUTE


async def test_no_key_signs_before_it_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    store, clock = MemoryStore(), ManualClock()
    async with kept(store, clock) as keys:
        token = sign(ROUTE, keys)

        async def full(_work: object) -> None:
            raise StoreUnavailableError("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(store, "transact", full)
            await days(clock, 31)
            assert sign(ROUTE, keys) == token
        await days(clock, 2 * LOOK_EVERY_S * 1000 / DAY_MS)
        assert sign(ROUTE, keys) != token


def test_a_clock_that_was_wrong_costs_no_key_that_is_in_use() -> None:
    give = entropy("ring")
    now = 1_000 * DAY_MS
    ring = turned((), now, give)
    ahead = turned(ring, now + 400 * DAY_MS, give)  # for an hour the clock is wrong by a year
    assert ahead[1:] == ring
    assert turned(ahead, now + DAY_MS, give) == ahead, "the clock is right again"


def test_two_renewals_in_a_row_keep_what_was_replaced_last() -> None:
    give = entropy("ring")
    first = TokenKey("01" * 32, 0)
    second = turned((first,), SIGNS_MS, give)
    third = turned(second, 2 * SIGNS_MS, give)
    assert third[1:] == second[:1]
    assert turned(third, 2 * SIGNS_MS + VERIFIES_MS, give) == third[:1]


async def test_a_call_is_up_while_the_keys_are_renewed_and_ends_as_usual() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        phone = await world.registered()
        call, at_phone = await talking(world, phone)
        (registration,) = world.registrations(account)
        (record,) = world.store.read(lambda tx: tx.calls.of_account(account.id, 10))
        known_as = world.switchboard.call_id_for(registration, record)
        keys = world.routes._keys
        keys.renew(b"the key of the next month", (keys.current,))
        call.send("INFO")
        await world.until(replied(call))
        assert call.replies[0].status == 200
        assert world.switchboard.call_id_for(registration, record) == known_as
        # A week later nobody can route by the old one any more, remembered as it was.
        keys.renew(b"the key of the next month", ())
        assert (await at_pbx(world).ask(in_dialog(call, "BYE"))).status == 481
        assert not came(at_phone, "BYE")()


async def test_a_phone_without_push_registration_keeps_its_number() -> None:
    world = World()
    async with world.running():
        await world.enrol(registrations=2)
        phone = await world.registered(instance="urn:uuid:none-of-the-two")
        assert world.phones.flows(1)[0].registration_id == 0
        call, at_phone = await talking(world, phone)
        keys = world.routes._keys
        keys.renew(b"the key of the next month", (keys.current,))
        world.move(phone, "203.0.113.84")
        await world.do(phone.register())
        call.hang_up()
        await world.until(replied(call))
        assert (call.replies[0].status, at_phone.is_over) == (200, True)
