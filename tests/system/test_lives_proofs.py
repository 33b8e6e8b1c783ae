"""What the PBX says of credentials and bindings, as the lives take it in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.stores import ENGINES, Engine, opened
from tests.system.lives_world import (
    DAY,
    END,
    HA1,
    KEYS,
    MINUTE,
    World,
    put_trial,
)
from wakerobin.core.pushes import PushType
from wakerobin.core.values import (
    Algorithm,
    BindingState,
    Ended,
    PushRegistration,
    Way,
)
from wakerobin.ports.store import Transaction
from wakerobin.services.lives import Proof, way_of
from wakerobin.testing.clock import START

PROOF = Proof(keys=KEYS, realm="pbx", algorithm=Algorithm.MD5, granted_s=600)


@pytest.fixture(params=ENGINES)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    engine: Engine = request.param(tmp_path)
    async with opened(engine) as store:
        yield World(store)


async def test_a_proof_replaces_the_password_by_ha1s_and_lets_pushes_go(world: World) -> None:
    phone = await world.enrol(proven=False)
    await put_trial(world, phone)
    assert await world.lives.proven(phone.id, PROOF)
    credentials = world.credentials(phone)
    assert credentials is not None
    assert credentials.password is None
    assert (credentials.username, credentials.keys[0].ha1) == ("alice", HA1)
    account = world.account(phone)
    assert (account.proven, account.realm, account.state) == (True, "pbx", BindingState.REGISTERED)
    assert world.store.read(lambda tx: tx.binding_work.trials()) == []
    await world.run_until(END - DAY)
    assert [sent.kind for sent in world.sent] == [PushType.RENEW]
    assert world.story(phone)[0] == "proven"


async def test_an_unproven_phone_gets_no_push(world: World) -> None:
    phone = await world.enrol(proven=False)
    await put_trial(world, phone)
    await world.run_until(END + DAY)
    assert world.sent == []
    assert world.life(phone).ended is None


async def test_an_installation_that_proves_itself_again_replaces_its_older_registration(world: World) -> None:
    old = await world.enrol()
    account = world.account(old)
    new = await world.enrol("new", account=account, proven=False)
    same = replace(new, installation=old.installation)
    await world.store.transact(lambda tx: tx.registrations.update(same))
    await put_trial(world, same)
    assert await world.lives.proven(new.id, PROOF)
    assert world.life(old).ended is Ended.DELETED
    assert world.life(new).ended is None
    assert world.unregisters() == [], "the binding goes on for the new one"
    assert world.credentials(new) is not None


@pytest.mark.parametrize("proven", [True, False])
async def test_an_installation_that_is_back_is_not_told_that_it_ended(world: World, proven: bool) -> None:
    old = await world.enrol()
    account = world.account(old)
    world.answer = lambda row, target: None  # the push service is out of reach for days
    await world.run_until(END + 3 * DAY)
    assert world.life(old).ended is Ended.EXPIRED
    await world.store.transact(lambda tx: tx.accounts.update(account))
    anew = replace(old, id=0, public_id="pr_anew", proven=proven)

    def enrol_again(tx: Transaction) -> PushRegistration:
        registration = tx.registrations.add(anew)
        world.lives.begin_in(tx, registration, world.clock.now())
        return registration

    new = await world.store.transact(enrol_again)
    if not proven:
        await put_trial(world, new)
        assert await world.lives.proven(new.id, PROOF)
    world.answer = type(world).answer
    await world.run_until(END + 4 * DAY)
    assert [sent.kind for sent in world.sent if sent.kind is PushType.EXPIRED] == []
    assert world.targets(old.id) == []


async def test_refused_credentials_are_dropped_and_change_nothing_that_is_proven(world: World) -> None:
    phone = await world.enrol()
    await put_trial(world, phone, "wrong")
    before = world.credentials(phone), world.account(phone)
    await world.lives.refused(phone.id, "credentials-refused", "403 Forbidden")
    assert (world.credentials(phone), world.account(phone)) == before
    assert world.store.read(lambda tx: tx.binding_work.trials()) == []


async def test_a_refused_first_enrolment_says_so(world: World) -> None:
    phone = await world.enrol(proven=False)
    await put_trial(world, phone, "wrong")
    await world.lives.refused(phone.id, "credentials-refused", "403 Forbidden")
    account = world.account(phone)
    assert (account.state, account.reason_code) == (BindingState.REFUSED, "credentials-refused")


async def test_a_proof_for_a_registration_that_is_gone_is_of_no_use(world: World) -> None:
    phone = await world.enrol(proven=False)
    await world.lives.forget(phone.id)
    assert not await world.lives.proven(phone.id, PROOF)
    assert world.store.read(lambda tx: tx.accounts.get(phone.account_id)) is None


async def test_what_another_pbx_accepts_does_not_replace_what_the_accounts_own_accepted(world: World) -> None:
    phone = await world.enrol()
    await put_trial(world, phone, "right elsewhere")
    before = world.credentials(phone), world.account(phone)
    assert not await world.lives.proven(phone.id, replace(PROOF, way=Way(registrar="elsewhere.test")))
    assert (world.credentials(phone), world.account(phone)) == before
    assert await world.lives.proven(phone.id, replace(PROOF, way=way_of(before[1])))
    assert world.credentials(phone) != before[0]


async def test_a_proof_drops_what_would_remove_its_own_contact(world: World) -> None:
    phone = await world.enrol()
    account = world.account(phone)
    waiting = await world.enrol("waiting", account=account, proven=False)
    await world.lives.end(phone.id, Ended.DELETED)
    assert [work.account.contact_user for work in world.unregisters()] == [account.contact_user]
    await put_trial(world, waiting)
    assert await world.lives.proven(waiting.id, PROOF)
    assert world.account(waiting).contact_user == account.contact_user
    assert world.unregisters() == []


async def test_changes_of_the_binding_are_told_once(world: World) -> None:
    phone = await world.enrol()
    for _ in range(3):
        await world.lives.binding_state(phone.account_id, BindingState.UNREACHABLE, "timeout", "no answer")
    await world.lives.binding_state(phone.account_id, BindingState.REGISTERED, "", "")
    assert world.story(phone) == ["binding-lost", "binding-back"]


async def test_new_credentials_are_asked_for_by_a_push(world: World) -> None:
    phone = await world.enrol()
    await world.lives.binding_state(phone.account_id, BindingState.CREDENTIALS_NEEDED, "realm", "new realm")
    await world.run_until(START + MINUTE)
    assert [sent.kind for sent in world.sent] == [PushType.CREDENTIALS_NEEDED]
    assert world.story(phone) == ["credentials-needed", "credentials-needed-sent"]


async def test_a_phone_that_shows_nothing_is_not_asked_for_its_password(world: World) -> None:
    phone = await world.enrol(capabilities={"notifications": False})
    await world.lives.binding_state(phone.account_id, BindingState.CREDENTIALS_NEEDED, "realm", "new realm")
    await world.run_until(START + DAY)
    assert world.sent == []
    assert "credentials-needed" in world.story(phone)
