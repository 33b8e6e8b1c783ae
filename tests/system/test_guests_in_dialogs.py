"""Phones that never enrolled and want to be woken within their dialogs (RFC 8599 section 6)."""

from __future__ import annotations

import pytest

from tests.system.calls_world import SECOND, World
from tests.system.dialogs import came, replied, talking
from tests.system.guests_world import RESOURCE, VOIP, arrived, reference, sponsored
from wakerobin.core.pushes import PushType, Rejected
from wakerobin.services.relay.deliveries import WOKEN_WITHIN_S
from wakerobin.testing.pbx_call import FakeCall
from wakerobin.testing.phone import FakePhone
from wakerobin.testing.phone_call import PhoneCall


async def in_a_call(world: World, shown: str | None = None) -> tuple[FakePhone, FakeCall, PhoneCall]:
    """Let a phone register, and take a call with a reference in its Contact: the one that it was given."""
    phone = await arrived(world)
    phone.contact_params = f";pn-purr={reference(phone.registers[-1]) if shown is None else shown}"
    call, at_phone = await talking(world, phone)
    return phone, call, at_phone


async def leaves(world: World, phone: FakePhone) -> None:
    """Take its flow away; its binding at the PBX stays."""
    world.us.cut_all()
    world.phones.left(world.phones.of_flow(world.arrived[-1].flow)[0].account_id)
    assert not world.phones.of_flow(world.arrived[-1].flow)
    world.move(phone, "203.0.113.250")


async def comes_back(world: World, phone: FakePhone) -> None:
    """Do what a push makes an app do."""
    phone.contact_params = RESOURCE
    assert (await world.do(phone.register())).status == 200


@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "INFO", "REFER", "NOTIFY", "BYE"])
async def test_a_request_within_a_dialog_wakes_the_phone_that_asked_for_it(method: str) -> None:
    world = sponsored()
    async with world.running():
        phone, call, at_phone = await in_a_call(world)
        await leaves(world, phone)
        call.send(method)
        await world.until(lambda: bool(world.pushes.sent), 1 * SECOND)
        (push,) = world.pushes.sent
        assert push.type is PushType.RENEW, "it does not ring"
        await world.run_for(15 * SECOND)
        assert not call.replies
        await comes_back(world, phone)
        await world.until(replied(call), 1 * SECOND)
        assert call.replies[0].status == 200
        assert came(at_phone, method)()


@pytest.mark.parametrize(("method", "status"), [("INVITE", 491), ("INFO", 500), ("BYE", 480)])
async def test_one_that_does_not_come_costs_the_transaction_only(method: str, status: int) -> None:
    world = sponsored()
    async with world.running():
        phone, call, _ = await in_a_call(world)
        await leaves(world, phone)
        began = world.seconds()
        call.send(method)
        await world.until(replied(call))
        assert call.replies[0].status == status
        assert WOKEN_WITHIN_S <= world.seconds() - began < WOKEN_WITHIN_S + 0.1


async def test_a_flow_that_only_looks_alive_costs_a_second() -> None:
    world = sponsored()
    async with world.running():
        phone, call, at_phone = await in_a_call(world)
        world.move(phone, "203.0.113.250")  # silent, and we do not know it
        call.send("INFO")
        await world.run_for(900)
        assert not world.pushes.sent
        await world.run_for(200)
        assert len(world.pushes.sent) == 1
        await comes_back(world, phone)
        await world.until(replied(call), 1 * SECOND)
        assert call.replies[0].status == 200
        assert came(at_phone, "INFO")()


async def test_one_that_answers_is_not_pushed() -> None:
    world = sponsored()
    async with world.running():
        _, call, _ = await in_a_call(world)
        call.send("INFO")
        await world.run_for(3 * SECOND)
        assert call.replies[0].status == 200
        assert not world.pushes.sent


async def test_a_push_that_nobody_takes_is_not_waited_for() -> None:
    world = sponsored()
    async with world.running():
        phone, call, _ = await in_a_call(world)
        await leaves(world, phone)
        world.pushes.outcome = lambda _message: Rejected("no")
        call.hang_up()
        await world.until(replied(call), 1 * SECOND)
        assert call.replies[0].status == 480
        world.pushes.outcome = lambda _message: None
        await comes_back(world, phone)
        await world.until(lambda: phone.calls[0].is_over, 1 * SECOND)


@pytest.mark.parametrize("shown", ["", "made-up", "AAAAAAAAAAAAAAAAAAAAAAAA"])
async def test_whoever_shows_another_reference_is_not_woken(shown: str) -> None:
    world = sponsored()
    async with world.running():
        phone, call, _ = await in_a_call(world, shown)
        await leaves(world, phone)
        call.hang_up()
        await world.until(replied(call), 1 * SECOND)
        assert call.replies[0].status == 480
        assert not world.pushes.sent


async def test_nor_is_it_by_that_of_another_phone() -> None:
    world = sponsored("alice", "ben")
    async with world.running():
        other = await arrived(world, user="ben", address="203.0.113.9")
        phone, call, _ = await in_a_call(world, reference(other.registers[-1]))
        await leaves(world, phone)
        call.hang_up()
        await world.until(replied(call), 1 * SECOND)
        assert not world.pushes.sent


async def test_a_reference_is_new_each_time_and_the_old_one_still_counts() -> None:
    world = sponsored()
    async with world.running():
        phone, call, at_phone = await in_a_call(world)
        before = reference(phone.registers[-1])
        await comes_back(world, phone)
        assert reference(phone.registers[-1]) not in ("", before)
        await leaves(world, phone)
        call.hang_up()
        await world.until(lambda: bool(world.pushes.sent), 1 * SECOND)
        await comes_back(world, phone)
        await world.until(lambda: at_phone.is_over, 1 * SECOND)


async def test_a_phone_that_no_silent_push_reaches_is_offered_none() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world, VOIP)
        assert reference(phone.registers[-1]) == ""
