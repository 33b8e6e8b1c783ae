"""At the end our Contact goes from the PBX: ours alone, and until the PBX says so."""

from __future__ import annotations

import pytest

from tests.system.fleet.world import HOUR, MINUTE, SECOND, World, world
from wakerobin.core.values import Ended, Flow, Transport
from wakerobin.ports.store import Unregister
from wakerobin.testing.memory import Fault

DESK = "sip:alice@10.0.0.7:5060"


def work(w: World) -> list[Unregister]:
    return w.store.read(lambda tx: tx.binding_work.unregisters())


def desk_phone(w: World) -> None:
    flow = Flow(Transport.UDP, ("10.0.0.9", 5060), ("10.0.0.7", 5060))
    w.pbx.registrar.add_desk_phone("alice", DESK, flow, expires=100_000)


async def bound(w: World) -> int:
    registration = await w.enrol()
    await w.tried(registration)
    return registration.id


async def test_the_end_removes_our_contact_and_leaves_the_desk_phone() -> None:
    w = world()
    desk_phone(w)
    async with w.running():
        registration_id = await bound(w)
        assert len(w.contacts()) == 2
        await w.end(registration_id)
        await w.run_for(SECOND)
        assert w.contacts() == [DESK]
        assert work(w) == []
        assert w.credentials() is None


async def test_the_timeline_says_what_became_of_the_binding() -> None:
    w = world()
    async with w.running():
        registration_id = await bound(w)
        await w.end(registration_id)
        await w.run_for(SECOND)
        told = w.store.read(lambda tx: tx.stories.of(f"registration:{registration_id}"))
        assert told[-1].event == "unregistered"


async def test_nothing_is_registered_after_the_end() -> None:
    w = world()
    async with w.running():
        await w.end(await bound(w))
        await w.run_for(SECOND)
        w.forget_seen()
        await w.run_for(3 * HOUR)
        assert w.pbx.registrar.seen == []
        assert len(w.fleet) == 0


async def test_an_un_register_waits_for_a_refresh_under_way() -> None:
    w = world()
    lost: list[bytes] = []

    def drops_the_first_refresh(_flow: Flow, data: bytes) -> bool:
        is_first = data.startswith(b"REGISTER") and b"Expires: 600" in data and not lost
        lost.extend([data] if is_first else [])
        return is_first

    async with w.running():
        registration_id = await bound(w)
        w.wire.drops = drops_the_first_refresh
        w.fleet.refresh_now(w.account().id)
        await w.end(registration_id)
        # The refresh arrives by its retransmission: were the un-REGISTER there before it, it would win.
        await w.run_for(MINUTE)
        assert lost
        assert w.contacts() == []
        assert work(w) == []


@pytest.mark.parametrize("trouble", ["silence", "503"])
async def test_an_un_register_is_tried_until_the_pbx_answers(trouble: str) -> None:
    w = world()
    async with w.running():
        registration_id = await bound(w)
        if trouble == "silence":
            w.pbx.rules.is_silent = True
        else:
            w.pbx.rules.answers["alice"] = (503, ())
        await w.end(registration_id)
        await w.run_for(2 * MINUTE)
        assert len(work(w)) == 1
        w.pbx.rules.is_silent = False
        w.pbx.rules.answers.clear()
        await w.run_for(3 * MINUTE)
        assert work(w) == []
        assert w.contacts() == []


async def test_an_un_register_goes_on_after_a_restart() -> None:
    w = world()
    async with w.running():
        registration_id = await bound(w)
        w.pbx.rules.is_silent = True
        await w.end(registration_id)
        await w.run_for(SECOND)
    w.restart()
    w.pbx.rules.is_silent = False
    async with w.running():
        await w.run_for(SECOND)
        assert work(w) == []
        assert w.contacts() == []


async def test_an_un_register_is_given_up_when_the_pbx_has_forgotten_us_anyway() -> None:
    w = world()
    async with w.running():
        registration_id = await bound(w)
        w.there.is_down = True
        await w.end(registration_id)
        await w.run_for(2 * HOUR)
        assert work(w) == []


@pytest.mark.parametrize("status", [403, 404, 400])
async def test_a_final_refusal_ends_an_un_register(status: int) -> None:
    w = world()
    async with w.running():
        registration_id = await bound(w)
        w.pbx.rules.answers["alice"] = (status, ())
        await w.end(registration_id)
        await w.run_for(SECOND)
        assert work(w) == []


async def test_enrolling_again_makes_a_new_binding_that_a_late_un_register_cannot_harm() -> None:
    w = world()
    async with w.running():
        registration_id = await bound(w)
        old = w.account().contact_user
        w.pbx.rules.is_silent = True
        await w.end(registration_id)
        await w.run_for(SECOND)
        registration = await w.enrol()
        w.pbx.rules.is_silent = False
        await w.tried(registration)
        await w.run_for(HOUR)
        assert w.account().contact_user != old
        assert w.contacts() == [f"sip:{w.account().contact_user}@10.0.0.1:5060;transport=udp"]


async def test_a_store_that_fails_when_the_work_is_done_has_it_done_again() -> None:
    w = world()
    async with w.running():
        registration_id = await bound(w)
        await w.lives.end(registration_id, Ended.DELETED)
        w.store.break_next(Fault.BEFORE_COMMIT)
        await w.clock.settle()
        assert len(work(w)) == 1
        await w.run_for(MINUTE)
        assert work(w) == []
        assert w.contacts() == []


async def test_another_living_registration_keeps_the_binding() -> None:
    w = world()
    async with w.running():
        first = await bound(w)
        await w.tried(await w.enrol())
        await w.end(first)
        await w.run_for(HOUR)
        assert len(w.contacts()) == 1
