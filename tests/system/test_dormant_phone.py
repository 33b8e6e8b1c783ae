"""A phone that speaks only SIP comes back after its life has expired: its REGISTER resumes it."""

from __future__ import annotations

from dataclasses import replace

from tests.system.outages_world import DAY, HOUR, WEEK, OutageWorld
from tests.system.survival.cutting import APP, DOMAIN, MINUTE
from wakerobin.core.values import BindingState, Ended, Provider, Purpose, Secret
from wakerobin.ports.options import LifetimeOptions
from wakerobin.services.enrolment import EnrolRequest, TargetRequest


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


async def test_a_stranger_s_enrolment_leaves_a_dormant_account_where_its_pbx_is() -> None:
    world = OutageWorld()
    lifetime = LifetimeOptions(at_end="dormant")
    app = replace(world.options.apps[APP], lifetime=lifetime, registrars=(DOMAIN, "elsewhere.test"))
    world.options = replace(world.options, apps={APP: app})
    await world.start()
    phone = await world.enrol()
    await world.run_until(phone.end + HOUR)
    [before] = world.read(lambda tx: tx.accounts.page(0, 9))
    stranger = EnrolRequest(
        app=APP,
        aor=before.aor,
        password=Secret("guessed"),
        registrar="elsewhere.test",
        targets=(
            TargetRequest(provider=Provider.APNS, purposes=frozenset(Purpose), token=Secret("ee" * 32)),
        ),
        installation_id="installation-of-a-stranger",
    )
    await world.ask(lambda rooms: rooms.enrolment.enrol(app, stranger, 5.0))
    [after] = world.read(lambda tx: tx.accounts.page(0, 9))
    assert (after.registrar, after.auth_user) == (before.registrar, before.auth_user)
    assert not after.proven
    await world.use(phone)
    await world.until(lambda: len(world.pbx.contacts("alice")) == 1)
    await world.stop()
