"""A PBX with room for one device per extension: recognised, told in words, and not fought."""

from __future__ import annotations

import itertools

import pytest

from tests.system.fleet.world import DAY, HOUR, MINUTE, SECOND, World, world
from wakerobin.core.values import BindingState, Flow, Transport

DESK = "sip:alice@10.0.0.7:5060"
NAME = "one-contact:pbx.test"


def desk_registers(w: World, expires: float = 3600.0) -> None:
    flow = Flow(Transport.UDP, ("10.0.0.9", 5060), ("10.0.0.7", 5060))
    w.pbx.registrar.add_desk_phone("alice", DESK, flow, expires)


async def war(w: World, minutes: int) -> None:
    """Let the desk phone register each five minutes."""
    for _ in range(minutes // 5):
        await w.run_for(5 * MINUTE)
        desk_registers(w)


def alarms(w: World) -> dict[str, str]:
    return {one.name: one.words for one in w.store.read(lambda tx: tx.alarms.all())}


def events(w: World) -> list[str]:
    return [row.event for row in w.store.read(lambda tx: tx.stories.of("registration:1"))]


def freepbx() -> World:
    w = world()
    w.pbx.rules.most_contacts, w.pbx.rules.replaces_contacts = 1, True
    return w


async def test_a_pbx_that_forgets_one_for_the_other_is_told_of_everywhere_until_it_is_mended() -> None:
    w = freepbx()
    async with w.running():
        await w.prove()
        await war(w, 200)
        assert "Max Contacts" in w.fleet.status(w.account().id).reason
        assert events(w)[-1] == "one-contact"
        assert "an account" in alarms(w)[NAME]
        assert "Max Contacts" in alarms(w)[NAME]
        assert "alice" not in alarms(w)[NAME]
    w.restart()
    async with w.running():
        assert NAME in alarms(w), "a restart mends nothing"
        w.pbx.rules.most_contacts = 5
        desk_registers(w, expires=DAY)
        await w.run_for(3 * HOUR)
        assert alarms(w) == {}
        assert w.account().reason_code == ""
        assert events(w)[-1] == "several-contacts"


async def test_neither_phone_is_driven_out_more_often_than_each_refresh_must() -> None:
    w = freepbx()
    async with w.running():
        await w.prove()
        await war(w, 300)
        w.forget_seen()
        await war(w, 600)
        bound = [seen.at for seen in w.pbx.registrar.seen if seen.contacts]
        # The rhythm of refreshes: 50 to 90 % of ten minutes, and nothing out of turn.
        assert all(later - earlier >= 290 for earlier, later in itertools.pairwise(bound))


async def test_an_account_that_ends_takes_its_alarm_along() -> None:
    w = freepbx()
    async with w.running():
        await w.prove()
        await war(w, 200)
        assert NAME in alarms(w)
        await w.end(1)
        await w.run_for(MINUTE)
        assert alarms(w) == {}


@pytest.mark.parametrize("full", [403, 503])
async def test_a_pbx_that_refuses_one_too_many_is_asked_seldom_and_the_hashes_are_kept(full: int) -> None:
    w = world()
    w.pbx.rules.most_contacts, w.pbx.rules.full = 1, full
    async with w.running():
        account = await w.prove()
        kept = w.credentials()
        w.pbx.restart()
        desk_registers(w, expires=30 * DAY)
        w.forget_seen()
        w.fleet.refresh_now(account.id)
        await w.run_for(DAY)
        attempts = [seen.at for seen in w.pbx.registrar.seen if seen.status == full]
        waits = [later - earlier for earlier, later in itertools.pairwise(attempts)]
        assert 600 <= waits[0] <= 661
        assert 3600 <= waits[1] <= 3961
        assert all(21_600 <= wait <= 23_761 for wait in waits[2:])
        assert w.credentials() == kept
        assert w.account().state is BindingState.REFUSED
        assert "no more devices" in w.fleet.status(account.id).reason
        assert "binding-lost" in events(w)
        assert (NAME in alarms(w)) is (full == 503), "of a 403 nobody knows what it means"
        w.pbx.rules.most_contacts = 5
        await w.run_for(7 * HOUR)
        assert w.account().state is BindingState.REGISTERED
        assert len(w.contacts()) == 2
        assert alarms(w) == {}


async def test_who_enrols_where_there_is_no_room_is_not_told_that_the_password_is_wrong() -> None:
    w = world()
    w.pbx.rules.most_contacts, w.pbx.rules.full = 1, 503
    desk_registers(w, expires=20 * 60)
    async with w.running():
        registration = await w.enrol()
        result = await w.tried(registration)
        assert (result.verdict, result.code) == ("unreachable", "registrar-full")
        shown = w.fleet.trial_status(registration.id)
        assert shown is not None
        assert "no more devices" in shown.reason
        for _ in range(10):
            # None of them counts as a wrong password, which this PBX might ban us for.
            assert w.fleet.foresee(w.account(), "alice") is None
            await w.run_for(SECOND)
        w.pbx.rules.most_contacts = 5
        await w.run_for(20 * MINUTE)
        assert w.account().proven


async def test_who_says_so_before_it_has_seen_credentials_says_nothing_of_the_account() -> None:
    w = world()
    w.pbx.rules.answers["alice"] = (503, (("P-Registrar-Error", "Too many registered contacts"),))
    async with w.running():
        result = await w.tried(await w.enrol())
        assert (result.verdict, result.code) == ("unreachable", "registrar-busy")
