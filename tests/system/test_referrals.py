"""Click to dial: a REFER of the PBX for a phone that sleeps, where its app wants to be woken for it."""

from __future__ import annotations

from functools import partial

from tests.system.asking import Asker, at_pbx, request
from tests.system.calls_world import SECOND, US, World
from tests.system.test_relay_left_behind import add_target, overs
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Account, Provider
from wakerobin.ports.store import Transaction
from wakerobin.services.relay.referrals import MOST_OF_AN_ACCOUNT, WAITS_S


def refer(world: World, account: Account, method: str = "REFER") -> Asker:
    """Let the PBX ask a phone to call somebody."""
    asker = at_pbx(world)
    uri = f"sip:{account.contact_user}@{US[0]}"
    asker.send(request(method, uri, ("Refer-To", "<sip:carol@pbx.test>"), ("Event", "talk")))
    return asker


async def test_a_phone_that_sleeps_is_pushed_and_gets_the_refer_when_it_comes() -> None:
    world = World()
    world.wakes_for_refer = True
    async with world.running():
        account = await world.enrol()
        asker = refer(world, account)
        await world.until(lambda: bool(world.pushes.sent))
        (push,) = world.pushes.sent
        assert push.type is PushType.CALL
        assert push.payload["caller"]["uri"] == "sip:bob@pbx.test"
        assert push.expires_at <= world.clock.now() + WAITS_S * SECOND
        await world.run_for(5 * SECOND)
        phone = await world.registered()
        await world.until(lambda: bool(asker.responses))
        assert [one.status for one in asker.responses] == [200]
        (came,) = phone.others
        assert came.get("refer-to") == "<sip:carol@pbx.test>"
        assert len(came.values("record-route")) == 2, "its NOTIFYs come back through us"
        await world.run_for(30 * SECOND)
        assert not overs(world)


async def test_nobody_waits_longer_than_the_pbx_and_the_phones_are_told_so() -> None:
    world = World()
    world.wakes_for_refer = True
    async with world.running():
        account = await world.enrol()
        await add_target(world, world.registrations(account)[0], Provider.FCM)
        began, asker = world.seconds(), refer(world, account)
        await world.until(lambda: bool(asker.responses))
        assert [one.status for one in asker.responses] == [480]
        assert WAITS_S <= world.seconds() - began < WAITS_S + 0.1
        assert [one.target.provider for one in overs(world)] == [Provider.FCM]
        phone = await world.registered()
        await world.run_for(1 * SECOND)
        assert not phone.others


async def test_a_phone_that_is_there_gets_it_without_a_push() -> None:
    world = World()
    world.wakes_for_refer = True
    async with world.running():
        account = await world.enrol()
        phone = await world.registered()
        asker = refer(world, account)
        await world.until(lambda: bool(asker.responses))
        assert len(phone.others) == 1
        assert not world.pushes.sent


async def test_no_other_request_wakes_a_phone_and_no_app_that_did_not_ask_for_it() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        for method, is_wanted in (("REFER", False), ("NOTIFY", True), ("INFO", True)):
            world.wakes_for_refer = is_wanted
            asker = refer(world, account, method)
            await world.until(partial(bool, asker.responses), 1 * SECOND)
            assert asker.responses[0].status == 480
        assert not world.pushes.sent


async def test_a_flood_of_them_is_no_flood_of_pushes() -> None:
    world = World()
    world.wakes_for_refer = True
    async with world.running():
        account = await world.enrol()
        askers = [refer(world, account) for _ in range(MOST_OF_AN_ACCOUNT + 3)]
        await world.run_for(1 * SECOND)
        assert len(world.pushes.sent) == MOST_OF_AN_ACCOUNT
        assert [one.status for one in askers[-1].responses] == [480]
        phone = await world.registered()
        await world.until(lambda: len(phone.others) == MOST_OF_AN_ACCOUNT)


async def test_an_account_without_anybody_to_push_gets_its_480_at_once() -> None:
    world = World()
    world.wakes_for_refer = True
    async with world.running():
        account = await world.enrol()
        (registration,) = world.registrations(account)

        def forget_targets(tx: Transaction) -> None:
            for target in tx.targets.of_registration(registration.id):
                tx.targets.remove(target.id)

        await world.store.transact(forget_targets)
        asker = refer(world, account)
        await world.until(lambda: bool(asker.responses), 1 * SECOND)
        assert asker.responses[0].status == 480
