"""Apps that register at the PBX themselves for a while: our binding goes, and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any

import pytest

from tests.system.fleet.world import HOUR, MINUTE, SECOND, World, world
from wakerobin.core.values import BindingState, Duration, Ended, Flow, PushRegistration, Transport
from wakerobin.ports.options import AppOptions

ALTERNATE = AppOptions(handover="alternate")
DESK = "sip:alice@10.0.0.7:5060"
OWN = "sip:alice@10.0.0.66:5060"
"""The app's own Contact."""


async def done(w: World, work: Coroutine[Any, Any, Any]) -> Any:
    """Let the fake network carry something out."""
    task = asyncio.ensure_future(work)
    await w.clock.run_until_true(task.done, within=MINUTE)
    await w.clock.settle()
    return task.result()


async def enrolled(w: World, **fields: Any) -> PushRegistration:
    registration = await w.enrol(**fields)
    assert (await w.tried(registration)).verdict == "proven"
    found = w.store.read(lambda tx: tx.registrations.get(registration.id))
    assert found is not None
    return found


def aside(w: World, phone: PushRegistration) -> Coroutine[Any, Any, bool]:
    return w.handover.step_aside(phone, 5.0)


def back(w: World, phone: PushRegistration) -> Coroutine[Any, Any, None]:
    return w.handover.come_back(phone, 5.0, "background")


def desk_flow() -> Flow:
    return Flow(Transport.UDP, ("10.0.0.9", 5060), ("10.0.0.7", 5060))


def events(w: World, phone: PushRegistration) -> list[str]:
    told = w.store.read(lambda tx: tx.stories.of(f"registration:{phone.id}"))
    return [row.event for row in told if row.event not in ("renewed",)]


async def test_our_binding_and_ours_alone_goes_at_once_and_returns_at_once() -> None:
    w = world(app=ALTERNATE)
    async with w.running():
        phone = await enrolled(w)
        ours = w.contacts()
        w.pbx.registrar.add_desk_phone("alice", DESK, desk_flow())
        start = w.clock.monotonic()
        assert await done(w, aside(w, phone))
        assert w.clock.monotonic() - start < 1
        assert w.contacts() == [DESK]
        status = w.fleet.status(w.account().id)
        assert (status.state, status.expires_at) == (BindingState.STEPPED_ASIDE, 0)
        await done(w, back(w, phone))
        assert w.contacts() == [DESK, *ours]
        assert w.fleet.status(w.account().id).state is BindingState.REGISTERED
        await w.run_for(SECOND)
        assert w.account().state is BindingState.REGISTERED
        assert events(w, phone) == ["proven", "stepped-aside", "returned"]


async def test_nothing_is_asked_of_the_pbx_while_an_app_is_registered_there_itself() -> None:
    w = world(app=AppOptions(handover="alternate", handover_limit=Duration(HOUR)))
    async with w.running():
        phone = await enrolled(w)
        await done(w, aside(w, phone))
        w.forget_seen()
        await w.run_for(50 * MINUTE)
        assert w.statuses() == []
        assert w.contacts() == []


async def test_an_app_that_says_nothing_for_a_quarter_of_an_hour_is_called_through_us_again() -> None:
    w = world(app=ALTERNATE)
    async with w.running():
        phone = await enrolled(w)
        await done(w, aside(w, phone))
        await w.run_for(14 * MINUTE)
        assert w.contacts() == []
        await w.until(lambda: len(w.contacts()) == 1, within=2 * MINUTE)
        await w.run_for(SECOND)
        told = w.store.read(lambda tx: tx.stories.of(f"registration:{phone.id}"))[-1]
        assert (told.event, told.details["by"]) == ("returned", "time")
        assert w.fleet.status(w.account().id).state is BindingState.REGISTERED


async def test_every_use_puts_the_return_off() -> None:
    w = world(app=ALTERNATE)
    async with w.running():
        phone = await enrolled(w)
        await done(w, aside(w, phone))
        for _ in range(6):
            await w.run_for(10 * MINUTE)
            assert w.contacts() == []
            await w.lives.use(phone.id, "register")
        await w.run_for(14 * MINUTE)
        assert w.contacts() == []
        await w.run_for(2 * MINUTE)
        assert len(w.contacts()) == 1


async def test_an_app_that_says_it_a_thousand_times_is_remembered_once() -> None:
    w = world(app=ALTERNATE)
    async with w.running():
        phone = await enrolled(w)
        for _ in range(1_000):
            assert await done(w, w.handover.step_aside(phone, 0.0))
        assert len(w.handover._due) == 1
        await w.run_for(14 * MINUTE)
        assert await done(w, aside(w, phone))
        await w.run_for(14 * MINUTE)
        assert w.account().state is BindingState.STEPPED_ASIDE
        await w.run_for(2 * MINUTE)
        assert w.account().state is BindingState.REGISTERED


async def test_a_restart_keeps_an_app_aside_and_goes_on_with_its_time() -> None:
    w = world(app=ALTERNATE)
    async with w.running():
        phone = await enrolled(w)
        await done(w, aside(w, phone))
        await w.run_for(5 * MINUTE)
    w.restart()
    async with w.running():
        await w.run_for(9 * MINUTE)
        assert w.contacts() == []
        assert w.fleet.status(w.account().id).state is BindingState.STEPPED_ASIDE
        await w.run_for(2 * MINUTE)
        assert len(w.contacts()) == 1
    w.restart()
    async with w.running():
        await w.run_for(HOUR)
        assert len(w.contacts()) == 1
        assert events(w, phone).count("returned") == 1


async def test_what_was_promised_and_not_done_before_a_crash_is_done_after_it() -> None:
    w = world(app=ALTERNATE)
    async with w.running():
        phone = await enrolled(w)
        w.wire.drops = lambda _flow, data: data.startswith(b"REGISTER")
        assert await done(w, aside(w, phone))
        assert len(w.contacts()) == 1
    w.wire.drops = lambda _flow, _data: False
    w.restart()
    async with w.running():
        await w.run_for(10 * SECOND)
        assert w.contacts() == []


async def test_a_time_that_was_over_while_the_server_was_down_brings_the_binding_back_at_once() -> None:
    w = world(app=ALTERNATE)
    async with w.running():
        await done(w, aside(w, await enrolled(w)))
    w.clock.advance(20 * MINUTE)
    w.restart()
    async with w.running():
        await w.run_for(5 * SECOND)
        assert len(w.contacts()) == 1


async def test_an_operator_who_forbids_it_again_has_every_binding_back_at_the_next_start() -> None:
    w = world(app=ALTERNATE)
    async with w.running():
        phone = await enrolled(w)
        await done(w, aside(w, phone))
    w.options = world().options
    w.restart()
    async with w.running():
        await w.run_for(5 * SECOND)
        assert len(w.contacts()) == 1
        assert not await done(w, aside(w, phone))
        assert len(w.contacts()) == 1


async def test_a_pbx_that_does_not_answer_the_removal_is_asked_until_it_has_forgotten_us_anyway() -> None:
    w = world(app=AppOptions(handover="alternate", handover_limit=Duration(2 * HOUR)))
    async with w.running():
        phone = await enrolled(w)
        w.pbx.rules.is_silent = True
        task = asyncio.ensure_future(aside(w, phone))
        await w.run_for(50 * SECOND)
        assert task.done()
        status = w.fleet.status(w.account().id)
        assert status.state is BindingState.STEPPED_ASIDE
        assert status.expires_at > w.clock.now(), "the PBX still has our Contact, and the app is told so"
        w.pbx.rules.is_silent = False
        await w.run_for(MINUTE)
        assert w.contacts() == []
        assert w.fleet.status(w.account().id).expires_at == 0
        await done(w, back(w, phone))
        w.pbx.rules.is_silent = True
        task = asyncio.ensure_future(aside(w, phone))
        await w.run_for(20 * MINUTE)
        w.forget_seen()
        await w.run_for(20 * MINUTE)
        assert w.pbx.registrar.seen == [], "our binding has run out: there is nothing left to remove"


async def test_a_refresh_that_is_under_way_does_not_bring_the_binding_back() -> None:
    w = world(app=ALTERNATE)
    async with w.running():
        phone = await enrolled(w)
        w.pbx.restart()  # so that the refresh is challenged first
        w.fleet.refresh_now(w.account().id)
        assert await done(w, aside(w, phone))
        assert w.contacts() == []
        await w.run_for(10 * MINUTE)
        assert w.contacts() == []
        assert w.account().state is BindingState.STEPPED_ASIDE


async def test_a_return_during_the_removal_ends_bound() -> None:
    w = world(app=ALTERNATE)
    async with w.running():
        phone = await enrolled(w)
        both = asyncio.gather(aside(w, phone), back(w, phone))
        await w.clock.run_until_true(both.done, within=MINUTE)
        await w.run_for(SECOND)
        assert len(w.contacts()) == 1
        assert w.fleet.status(w.account().id).state is BindingState.REGISTERED


async def test_the_binding_stays_while_another_phone_of_the_account_needs_it() -> None:
    w = world(app=ALTERNATE)
    async with w.running():
        first, second = await enrolled(w), await enrolled(w)
        assert await done(w, aside(w, first))
        assert len(w.contacts()) == 1
        assert w.fleet.status(w.account().id).state is BindingState.REGISTERED
        assert await done(w, aside(w, second))
        assert w.contacts() == []
        await done(w, back(w, first))
        assert len(w.contacts()) == 1
        assert w.handover.is_aside(second)
        await done(w, back(w, second))
        assert len(w.contacts()) == 1


async def test_credentials_that_are_proven_anew_bring_the_binding_back() -> None:
    w = world(app=ALTERNATE)
    async with w.running():
        phone = await enrolled(w)
        await done(w, aside(w, phone))
        await enrolled(w)
        await w.run_for(SECOND)
        assert len(w.contacts()) == 1
        assert w.fleet.status(w.account().id).state is BindingState.REGISTERED
        await w.run_for(HOUR)
        assert len(w.contacts()) == 1


async def test_an_account_that_its_pbx_refuses_is_not_asked_about_each_time_an_app_is_opened() -> None:
    w = world(app=ALTERNATE)
    async with w.running():
        phone = await enrolled(w)
        w.pbx.set_password("alice", "changed")
        w.fleet.refresh_now(w.account().id)
        await w.run_for(MINUTE)
        assert w.account().state is BindingState.REFUSED
        w.forget_seen()
        for _ in range(5):
            await done(w, aside(w, phone))
            await w.run_for(10 * SECOND)
            await done(w, back(w, phone))
            await w.run_for(10 * SECOND)
        assert w.statuses() == []
        assert w.account().state is BindingState.REFUSED


async def test_the_life_goes_on_and_its_end_leaves_nothing_at_the_pbx() -> None:
    w = world(app=AppOptions(handover="alternate", handover_limit=Duration(HOUR)))
    async with w.running():
        phone = await enrolled(w)
        before = w.store.read(lambda tx: tx.lives.get(phone.id))
        await w.run_for(MINUTE)
        await done(w, aside(w, phone))
        after = w.store.read(lambda tx: tx.lives.get(phone.id))
        assert before is not None
        assert after is not None
        assert after.expires_at == before.expires_at + w.clock.now() - phone.created_at
        await w.lives.end(phone.id, Ended.DELETED)
        await w.run_for(2 * HOUR)
        assert w.contacts() == []
        assert not w.account().proven
        assert len(w.fleet) == 0


async def test_who_is_not_proven_has_nothing_to_step_aside_from() -> None:
    w = world(app=ALTERNATE)
    async with w.running():
        registration = await w.enrol(password="wrong")
        assert not await done(w, aside(w, registration))


async def test_a_pbx_with_room_for_one_contact_takes_the_apps_own_as_soon_as_ours_is_gone() -> None:
    w = world(app=ALTERNATE)
    w.pbx.rules.most_contacts = 1
    async with w.running():
        phone = await enrolled(w)
        await done(w, aside(w, phone))
        w.pbx.registrar.add_desk_phone("alice", OWN, desk_flow())
        await w.run_for(10 * MINUTE)
        assert w.contacts() == [OWN]
        w.pbx.restart()
        await done(w, back(w, phone))
        assert len(w.contacts()) == 1
        assert w.contacts() != [OWN]


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_apps_say_in_whatever_order_we_are_bound_exactly_while_somebody_needs_it(
    seed: int,
) -> None:
    chance = Random(seed)
    w = world(app=ALTERNATE)
    phones: list[PushRegistration] = []
    is_aside: dict[int, bool] = {}
    last_word: dict[int, int] = {}
    for _ in range(6):
        async with w.running():
            if not phones:
                phones += [await enrolled(w), await enrolled(w)]
                is_aside = dict.fromkeys((phone.id for phone in phones), False)
            for _ in range(chance.randint(1, 6)):
                phone = chance.choice(phones)
                last_word[phone.id] = w.clock.now()
                match chance.choice(("aside", "back", "use", "both", "refresh")):
                    case "aside":
                        is_aside[phone.id] = await done(w, aside(w, phone))
                    case "back":
                        await done(w, back(w, phone))
                        is_aside[phone.id] = False
                    case "use":
                        await w.lives.use(phone.id, "foreground")
                    case "both":
                        # The last word counts, although the first is still being carried out.
                        both = asyncio.gather(back(w, phone), aside(w, phone), back(w, phone))
                        await w.clock.run_until_true(both.done, within=MINUTE)
                        is_aside[phone.id] = False
                    case _:
                        w.fleet.refresh_now(w.account().id)
                await w.run_for(chance.choice((0, 10, SECOND, 5 * MINUTE)))
                is_aside = {
                    id_: one and w.clock.now() - last_word[id_] < 15 * MINUTE for id_, one in is_aside.items()
                }
                await w.run_for(2 * SECOND)
                assert bool(w.contacts()) is not all(is_aside.values()), (is_aside, w.account().state)
                assert len(w.contacts()) <= 1
        w.restart()
    told = events(w, phones[0])
    assert abs(told.count("stepped-aside") - told.count("returned")) <= 1
