"""Credentials are tried by a REGISTER of their own, and what the PBX says decides."""

from __future__ import annotations

import pytest

from tests.system.fleet.world import HOUR, MINUTE, SECOND, world
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.sip import digest
from wakerobin.core.sip.digest import Algorithm as Hash
from wakerobin.core.values import Algorithm, BindingState, Credentials, RealmKey, Secret
from wakerobin.ports.options import AppOptions
from wakerobin.services.fleet import TrialVerdict
from wakerobin.testing.memory import Fault


async def test_the_right_password_is_proven_and_forgotten_for_its_hashes() -> None:
    w = world()
    async with w.running():
        registration = await w.enrol()
        result = await w.tried(registration)
    assert result.verdict is TrialVerdict.PROVEN
    account, credentials = w.account(), w.credentials()
    assert (account.proven, account.realm, account.algorithm) == (True, "pbx.test", Algorithm.MD5)
    assert account.state is BindingState.REGISTERED
    assert credentials is not None
    assert credentials.password is None
    kept = {(key.realm, key.algorithm): key.ha1.reveal() for key in credentials.keys}
    assert kept == {
        ("pbx.test", Algorithm.MD5): digest.ha1(Hash.MD5, "alice", "pbx.test", "pw-alice"),
        ("pbx.test", Algorithm.SHA_256): digest.ha1(Hash.SHA_256, "alice", "pbx.test", "pw-alice"),
    }


async def test_the_trial_itself_makes_the_binding_that_calls_come_by() -> None:
    w = world()
    async with w.running():
        account = await w.prove()
        assert w.contacts() == [f"sip:{account.contact_user}@10.0.0.1:5060;transport=udp"]
        assert w.statuses() == [401, 200]
        assert w.fleet.status(account.id).state is BindingState.REGISTERED


async def test_a_trial_in_the_store_is_tried_without_being_asked_for() -> None:
    w = world()
    async with w.running():
        await w.enrol()
        await w.run_for(SECOND)
        assert w.account().proven


async def test_a_trial_that_the_store_kept_without_telling_is_found_within_a_minute() -> None:
    w = world()
    async with w.running():
        w.store.break_next(Fault.AFTER_COMMIT)
        with pytest.raises(StoreUnavailableError):
            await w.enrol()
        await w.run_for(61 * SECOND)
        assert w.account().proven


async def test_a_trial_of_before_a_restart_is_tried_after_it() -> None:
    w = world()
    await w.enrol()
    w.restart()
    async with w.running():
        await w.run_for(SECOND)
        assert w.account().proven


async def test_credentials_may_be_asked_for_before_the_fleet_runs() -> None:
    w = world()
    registration = await w.enrol()
    answer = w.fleet.try_credentials(registration.id)
    async with w.running():
        await w.until(answer.done, within=MINUTE)
        assert answer.result().verdict is TrialVerdict.PROVEN


@pytest.mark.parametrize("status", [401, 403])
async def test_a_wrong_password_is_tried_once_and_refused(status: int) -> None:
    w = world()
    w.pbx.rules.wrong_password = status
    async with w.running():
        result = await w.tried(await w.enrol(password="wrong"))
        assert (result.verdict, result.code) == (TrialVerdict.REFUSED, "credentials-refused")
        await w.run_for(HOUR)
        assert w.statuses() == [401, status]
    assert not w.account().proven
    assert w.store.read(lambda tx: tx.binding_work.trials()) == []


async def test_an_unknown_user_gets_the_same_answer_as_a_wrong_password() -> None:
    w = world()
    async with w.running():
        result = await w.tried(await w.enrol("nobody"))
        wrong = await w.tried(await w.enrol(password="wrong"))
        assert result == wrong
        assert result.code == "credentials-refused"


async def test_a_forbidden_user_gets_the_same_answer_too() -> None:
    w = world()
    w.pbx.rules.answers["alice"] = (403, ())
    async with w.running():
        assert (await w.tried(await w.enrol())).code == "credentials-refused"


async def test_sha_256_is_preferred_where_the_pbx_offers_both() -> None:
    w = world()
    w.pbx.rules.algorithms = (Hash.MD5, Hash.SHA_256)
    async with w.running():
        account = await w.prove()
        assert account.algorithm is Algorithm.SHA_256


async def test_keys_are_kept_for_every_realm_that_was_asked_on_the_way() -> None:
    w = world()
    w.pbx.rules.proxy_realm = "edge.test"
    async with w.running():
        account = await w.prove()
        credentials = w.credentials()
        assert credentials is not None
        assert {key.realm for key in credentials.keys} == {"edge.test", "pbx.test"}
        assert account.realm == "pbx.test"
        assert w.statuses() == [407, 401, 200]


async def test_a_pbx_that_asks_for_no_password_proves_nothing_and_keeps_nothing() -> None:
    w = world()
    w.pbx.rules.asks = False
    async with w.running():
        result = await w.tried(await w.enrol())
        assert (result.verdict, result.code) == (TrialVerdict.UNCHALLENGED, "registrar-does-not-challenge")
        await w.run_for(SECOND)
        assert not w.account().proven
        assert w.contacts() == []


async def test_an_app_may_trust_a_pbx_that_asks_for_no_password() -> None:
    w = world(app=AppOptions(trust_unchallenged=True))
    w.pbx.rules.asks = False
    async with w.running():
        account = await w.prove()
        credentials = w.credentials()
        assert credentials is not None
        # What phones will be challenged with: the domain, as there is no realm.
        assert (account.realm, credentials.keys[0].realm) == ("pbx.test", "pbx.test")
        w.forget_seen()
        await w.run_for(HOUR)
        assert len(w.contacts()) == 1
        assert set(w.statuses()) == {200}


async def test_a_silent_pbx_is_unreachable_and_is_tried_again_until_it_answers() -> None:
    w = world()
    w.pbx.rules.is_silent = True
    async with w.running():
        registration = await w.enrol()
        result = await w.tried(registration)
        assert (result.verdict, result.code) == (TrialVerdict.UNREACHABLE, "registrar-unreachable")
        w.pbx.rules.is_silent = False
        await w.until(lambda: w.account().proven, within=5 * MINUTE)


@pytest.mark.parametrize("fault", list(Fault))
async def test_a_store_that_fails_at_the_proof_has_it_proven_later(fault: Fault) -> None:
    w = world()
    async with w.running():
        registration = await w.enrol()
        w.pbx.rules.is_silent = True  # so that nothing is written before the fault waits for it
        answer = w.fleet.try_credentials(registration.id)
        await w.clock.settle()
        w.store.break_next(fault)
        w.pbx.rules.is_silent = False
        await w.until(answer.done, within=2 * MINUTE)
        await w.run_for(MINUTE)
        assert w.account().proven
        assert len(w.contacts()) == 1
        w.forget_seen()
        await w.run_for(HOUR)
        assert 200 in w.statuses()


async def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    w = world()
    w.names.zone.clear()
    async with w.running():
        result = await w.tried(await w.enrol())
        assert result.verdict is TrialVerdict.UNREACHABLE
        assert "resolve" in result.reason


@pytest.mark.parametrize("status", [301, 400, 405, 420, 501, 606])
async def test_a_nonsense_answer_says_that_the_registrar_is_unusable(status: int) -> None:
    w = world()
    w.pbx.rules.answers["alice"] = (status, (("Contact", "<sip:elsewhere@10.0.0.66>"),))
    async with w.running():
        result = await w.tried(await w.enrol())
        assert (result.verdict, result.code) == (TrialVerdict.UNREACHABLE, "registrar-unusable")
        assert not [flow for flow, _ in w.wire.messages if flow.remote[0] == "10.0.0.66"]


async def test_a_pbx_that_asks_for_patience_gets_it() -> None:
    w = world()
    w.pbx.rules.answers["alice"] = (503, (("Retry-After", "40"),))
    async with w.running():
        result = await w.tried(await w.enrol())
        assert (result.verdict, result.code) == (TrialVerdict.UNREACHABLE, "registrar-busy")
        assert result.retry_after_s >= 40
        w.pbx.rules.answers.clear()
        await w.run_for(39 * SECOND)
        assert w.statuses() == [503]
        await w.run_for(10 * SECOND)
        assert w.account().proven


async def test_a_registration_that_ended_during_its_trial_leaves_nothing_at_the_pbx() -> None:
    w = world()
    async with w.running():
        registration = await w.enrol()
        answer = w.fleet.try_credentials(registration.id)
        await w.store.transact(lambda tx: tx.registrations.remove(registration.id))
        await w.until(answer.done, within=MINUTE)
        await w.run_for(SECOND)
        assert answer.result().verdict is TrialVerdict.GONE
        assert w.contacts() == []


async def test_new_credentials_are_tried_beside_the_working_ones_and_change_nothing_when_refused() -> None:
    w = world()
    async with w.running():
        account = await w.prove()
        before, contacts = w.credentials(), w.contacts()
        result = await w.tried(await w.enrol(password="wrong"))
        assert result.verdict is TrialVerdict.REFUSED
        assert (w.credentials(), w.contacts()) == (before, contacts)
        assert w.account().proven
        call_ids = {seen.call_id for seen in w.pbx.registrar.seen}
        assert len(call_ids) == 2
        assert account.state is BindingState.REGISTERED


async def test_new_credentials_replace_the_old_ones_when_proven() -> None:
    w = world()
    async with w.running():
        await w.prove()
        w.pbx.set_password("alice", "new")
        assert (await w.tried(await w.enrol(password="new"))).verdict is TrialVerdict.PROVEN
        credentials = w.credentials()
        assert credentials is not None
        md5 = credentials.key("pbx.test", Algorithm.MD5)
        assert md5 is not None
        assert md5.reveal() == digest.ha1(Hash.MD5, "alice", "pbx.test", "new")
        assert len(w.contacts()) == 1


async def test_the_login_may_differ_from_the_user_of_the_aor() -> None:
    w = world("alice", "login-of-alice")
    async with w.running():
        registration = await w.enrol(password="pw-login-of-alice", auth_user="login-of-alice")
        w.pbx.rules.logins["alice"] = "login-of-alice"
        assert (await w.tried(registration)).verdict is TrialVerdict.PROVEN


async def test_hashes_may_be_given_in_place_of_a_password() -> None:
    w = world()
    async with w.running():
        registration = await w.enrol(credentials=hashes("pbx.test"))
        assert (await w.tried(registration)).verdict is TrialVerdict.PROVEN


async def test_hashes_of_another_realm_are_refused_without_being_sent() -> None:
    w = world()
    async with w.running():
        registration = await w.enrol(credentials=hashes("elsewhere"))
        assert (await w.tried(registration)).verdict is TrialVerdict.REFUSED
        assert w.statuses() == [401]


async def test_the_fifth_wrong_password_at_a_pbx_is_not_carried_there() -> None:
    users = [f"user{number}" for number in range(6)]
    w = world(*users)
    async with w.running():
        for user in users[:4]:
            assert (await w.tried(await w.enrol(user, "wrong"))).verdict is TrialVerdict.REFUSED
        late = await w.enrol(users[4])
        result = await w.tried(late)
        assert (result.verdict, result.code) == (TrialVerdict.BUSY, "registrar-busy")
        assert 0 < result.retry_after_s <= 600
        assert w.statuses(users[4]) == []
        # Ten minutes later it is tried without being asked for again.
        await w.run_for(11 * MINUTE)
        assert w.account(users[4]).proven


async def test_proven_accounts_go_on_while_unproven_ones_must_wait() -> None:
    users = [f"user{number}" for number in range(4)]
    w = world("alice", *users)
    async with w.running():
        account = await w.prove()
        for user in users:
            await w.tried(await w.enrol(user, "wrong"))
        w.forget_seen()
        await w.run_for(9 * MINUTE)
        assert 200 in w.statuses()
        assert w.fleet.status(account.id).state is BindingState.REGISTERED


async def test_a_user_refused_three_times_in_an_hour_is_not_asked_for_again() -> None:
    w = world(unproven_refusals=100)
    async with w.running():
        for _ in range(3):
            assert (await w.tried(await w.enrol(password="wrong"))).verdict is TrialVerdict.REFUSED
        w.forget_seen()
        result = await w.tried(await w.enrol())
        assert (result.verdict, result.code) == (
            TrialVerdict.TOO_MANY_REFUSED,
            "too-many-refused-credentials",
        )
        assert w.statuses() == []
        await w.run_for(HOUR)
        assert (await w.tried(await w.enrol())).verdict is TrialVerdict.PROVEN


async def test_trials_at_the_same_time_cannot_exceed_the_budget_together() -> None:
    users = [f"user{number}" for number in range(20)]
    w = world(*users, unproven_rate=100.0)
    async with w.running():
        for user in users:
            await w.enrol(user, "wrong")
        await w.run_for(MINUTE)
        refused = [seen for seen in w.pbx.registrar.seen if seen.has_answer]
        assert len(refused) == 4


async def test_unproven_registers_go_at_their_own_slow_rate() -> None:
    users = [f"user{number}" for number in range(10)]
    w = world(*users)
    async with w.running():
        for user in users:
            await w.enrol(user)
        await w.run_for(MINUTE)
        times = [seen.at for seen in w.pbx.registrar.seen if not seen.has_answer][:10]
        assert all(w.account(user).proven for user in users)
        assert times[-1] - times[0] >= 8.5


def hashes(realm: str) -> Credentials:
    """Alice's login as the HA1 of a realm."""
    key = RealmKey(realm, Algorithm.MD5, Secret(digest.ha1(Hash.MD5, "alice", realm, "pw-alice")))
    return Credentials("alice", keys=(key,))
