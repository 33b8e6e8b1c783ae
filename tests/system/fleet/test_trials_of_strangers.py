"""Credentials that nobody has proven: they are counted by the PBX's address and tried at their own way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.system.fleet.world import MINUTE, PBX, World, new_account, world, write_enrolment
from wakerobin.core.values import (
    Account,
    Algorithm,
    Credentials,
    PushRegistration,
    RealmKey,
    Secret,
    Transport,
    Way,
)
from wakerobin.ports.store import Transaction
from wakerobin.services.fleet.budget import GuessingBudget, TooManyOfUser
from wakerobin.services.fleet.values import TrialVerdict
from wakerobin.services.lives import Proof


async def enrol_at(w: World, way: Way, password: str = "", user: str = "alice") -> PushRegistration:
    """Enrol with a way of its own."""
    credentials = Credentials(user, password=Secret(password or f"pw-{user}"))

    def work(tx: Transaction) -> PushRegistration:
        number = len(tx.registrations.page(0, 100))
        aor, now = f"sip:{user}@pbx.test", w.clock.now()
        registration = write_enrolment(tx, w.lives, aor, number, now, credentials)
        trial = tx.binding_work.trial(registration.id)
        assert trial is not None
        tx.binding_work.put_trial(replace(trial, way=way))
        return registration

    return await w.store.transact(work)


async def test_many_names_and_ports_of_one_pbx_bring_no_more_guesses() -> None:
    w = world("alice")
    w.names.zone |= {f"pbx{number}.test": [PBX[0]] for number in range(6)}
    async with w.running():
        for number in range(4):
            way = Way(registrar=f"pbx{number}.test:5060" if number % 2 else f"pbx{number}.test")
            registration = await enrol_at(w, way, "wrong", f"user{number}")
            assert (await w.tried(registration)).verdict is TrialVerdict.REFUSED
        late = await enrol_at(w, Way(registrar="pbx5.test"), "wrong", "user5")
        assert (await w.tried(late)).verdict is TrialVerdict.BUSY
        assert w.statuses("user5") == []


async def test_names_that_lead_to_a_pbx_by_way_of_others_bring_no_more_guesses() -> None:
    w = world("alice")
    w.names.zone |= {f"pbx{number}.test": [f"10.0.0.1{number}", PBX[0]] for number in range(6)}
    async with w.running():
        for number in range(4):
            way = Way(registrar=f"pbx{number}.test", transport=Transport.TCP)
            registration = await enrol_at(w, way, "wrong", f"user{number}")
            assert (await w.tried(registration)).verdict is TrialVerdict.REFUSED
        late = await enrol_at(w, Way(registrar="pbx5.test", transport=Transport.TCP), "wrong", "user5")
        assert (await w.tried(late)).verdict is TrialVerdict.BUSY
        assert w.statuses("user5") == []
        # Who did not refuse is not blamed for it.
        elsewhere = await enrol_at(w, Way(registrar="10.0.0.11", transport=Transport.TCP), "wrong", "user6")
        assert (await w.tried(elsewhere)).verdict is TrialVerdict.UNREACHABLE


async def test_a_refusal_is_foreseen_only_for_what_would_not_be_asked() -> None:
    w = world("alice", unproven_refusals=100)
    account = new_account("sip:alice@pbx.test", 0)
    async with w.running():
        assert w.fleet.foresee(account, "alice") is None
        for _ in range(3):
            assert (await w.tried(await w.enrol(password="wrong"))).verdict is TrialVerdict.REFUSED
        foreseen = w.fleet.foresee(account, "Alice")
        assert foreseen is not None
        assert foreseen.verdict is TrialVerdict.TOO_MANY_REFUSED
        assert 0 < foreseen.retry_after_s <= 3600
        assert w.fleet.foresee(account, "bob") is None
        elsewhere = replace(account, registrar="other.test")
        assert w.fleet.foresee(elsewhere, "alice") is None


async def test_credentials_are_tried_where_their_enrolment_says_and_the_account_goes_there() -> None:
    w = world("alice")
    async with w.running():
        squatter = await enrol_at(w, Way(registrar="nowhere.test", transport=Transport.TCP), "wrong")
        assert (await w.tried(squatter)).verdict is TrialVerdict.UNREACHABLE
        mine = await enrol_at(w, Way(registrar="pbx.test"))
        assert (await w.tried(mine)).verdict is TrialVerdict.PROVEN
        account: Account = w.account("alice")
        assert (account.registrar, account.transport) == ("pbx.test", None)
        assert len(w.pbx.contacts("alice")) == 1


async def test_what_is_proven_elsewhere_meanwhile_is_tried_again_where_the_account_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two enrolments name different PBXs, both of which accept them: the first proof has the account."""
    w = world("alice")
    w.names.zone["pbx2.test"] = [PBX[0]]
    prove, way = w.lives.proven, Way(registrar="pbx.test")
    answers: list[bool] = []
    async with w.running():
        first = await enrol_at(w, way, "wrong")

        async def overtaken(registration_id: int, proof: Proof) -> bool:
            if not answers:
                keys = (RealmKey("pbx.test", Algorithm.MD5, Secret("ab" * 16)),)
                answers.append(await prove(first.id, Proof(keys, "pbx.test", Algorithm.MD5, 600, way)))
            answers.append(await prove(registration_id, proof))
            return answers[-1]

        monkeypatch.setattr(w.lives, "proven", overtaken)
        late = await enrol_at(w, Way(registrar="pbx2.test"))
        assert (await w.tried(late)).verdict is TrialVerdict.GONE
        await w.run_for(5 * MINUTE)
        assert answers == [True, False, True], "its turn came where the account is"
        assert w.account().registrar == "pbx.test"
        assert w.store.read(lambda tx: tx.binding_work.trials()) == []


def test_a_budget_is_forgotten_when_nothing_counts_any_more() -> None:
    budget = GuessingBudget(10.0, 4, 0.0)
    assert budget.is_quiet(0.0)
    for second in range(3):
        budget.ask("anna", second)
        assert not budget.is_quiet(second), "its answer is open"
        budget.settle("ANNA", second, is_refused=True)
    assert isinstance(budget.ask("Anna", 3.0), TooManyOfUser)
    assert not budget.is_quiet(3599.0)
    assert budget.is_quiet(3602.0)
