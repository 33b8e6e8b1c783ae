"""A phone that speaks only SIP comes back after its life has expired: its REGISTER resumes it."""

from __future__ import annotations

from dataclasses import replace

from tests.system.outages_world import DAY, HOUR, WEEK, OutageWorld
from tests.system.survival.cutting import APP, MINUTE
from wakerobin.core.values import BindingState, Ended
from wakerobin.ports.options import LifetimeOptions


async def test_a_register_resumes_a_dormant_life_and_the_account_is_bound_again() -> None:
    world = OutageWorld()
    app = replace(world.options.apps[APP], lifetime=LifetimeOptions(at_end="dormant"))
    world.options = replace(world.options, apps={APP: app})
    await world.start()
    phone = await world.enrol()
    await world.run_until(phone.end + HOUR)
    assert world.life(phone).ended is Ended.DORMANT
    await world.until(lambda: not world.pbx.contacts("alice"))
    back = world.phone()
    assert await world.registered(back) == 200
    await world.until(lambda: len(world.pbx.contacts("alice")) == 1)
    life = world.life(phone)
    assert life.ended is None
    assert abs(life.expires_at - world.clock.now() - WEEK) < MINUTE
    [account] = world.read(lambda tx: tx.accounts.page(0, 9))
    assert (account.proven, account.state) == (True, BindingState.REGISTERED)
    await world.run_until(world.clock.now() + DAY)
    assert len(world.pbx.contacts("alice")) == 1, "the late un-REGISTER of before has not removed it"
    world.audit()
    await world.stop()


async def test_a_wrong_password_resumes_nothing() -> None:
    world = OutageWorld()
    app = replace(world.options.apps[APP], lifetime=LifetimeOptions(at_end="dormant"))
    world.options = replace(world.options, apps={APP: app})
    await world.start()
    phone = await world.enrol()
    await world.run_until(phone.end + HOUR)
    thief = world.phone()
    thief.password = "guessed"
    assert await world.registered(thief) == 403
    assert world.life(phone).ended is Ended.DORMANT
    await world.stop()
