"""A PBX that is silent, busy or refuses: what we make of it, and how seldom we ask."""

from __future__ import annotations

import itertools

from tests.system.fleet.world import DAY, HOUR, MINUTE, SECOND, world
from wakerobin.core.sip.digest import Algorithm as Hash
from wakerobin.core.values import Algorithm, BindingState


async def test_a_silent_pbx_makes_the_account_unreachable_and_its_return_is_noticed() -> None:
    w = world()
    async with w.running():
        account = await w.prove()
        w.pbx.rules.is_silent = True
        await w.until(lambda: w.account().state is BindingState.UNREACHABLE, within=HOUR)
        status = w.fleet.status(account.id)
        assert (status.state, status.reason_code) == (BindingState.UNREACHABLE, "registrar-unreachable")
        assert "answer" in status.reason
        w.pbx.rules.is_silent = False
        await w.until(lambda: w.account().state is BindingState.REGISTERED, within=40 * MINUTE)
        assert len(w.contacts()) == 1
    events = [row.event for row in w.store.read(lambda tx: tx.stories.of("registration:1"))]
    assert events[-2:] == ["binding-lost", "binding-back"]


async def test_a_single_lost_refresh_is_told_to_nobody() -> None:
    w = world()
    async with w.running():
        account = await w.prove()
        w.pbx.rules.is_silent = True
        await w.until(lambda: w.fleet.status(account.id).state is BindingState.UNREACHABLE, within=HOUR)
        w.pbx.rules.is_silent = False
        await w.run_for(2 * MINUTE)
        assert w.fleet.status(account.id).state is BindingState.REGISTERED
        assert w.account() == account


async def test_back_off_grows_from_half_a_minute_to_half_an_hour() -> None:
    w = world()
    async with w.running():
        account = await w.prove()
        w.pbx.rules.answers["alice"] = (500, ())
        w.forget_seen()
        w.fleet.refresh_now(account.id)
        await w.run_for(DAY)
        times = [seen.at for seen in w.pbx.registrar.seen]
        waits = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert 15 <= waits[0] <= 31
        assert 30 <= waits[1] <= 61
        assert all(900 <= wait <= 1801 for wait in waits[8:])


async def test_retry_after_is_kept_to() -> None:
    w = world()
    async with w.running():
        account = await w.prove()
        w.pbx.rules.answers["alice"] = (503, (("Retry-After", "200"),))
        w.forget_seen()
        w.fleet.refresh_now(account.id)
        await w.run_for(199 * SECOND)
        assert w.statuses() == [503]
        w.pbx.rules.answers.clear()
        await w.run_for(25 * SECOND)
        assert w.statuses() == [503, 401, 200]


async def test_a_503_once_in_a_while_is_no_news() -> None:
    w = world()
    async with w.running():
        account = await w.prove()
        w.pbx.rules.answers["alice"] = (503, (("Retry-After", "5"),))
        w.fleet.refresh_now(account.id)
        await w.run_for(SECOND)
        assert w.fleet.status(account.id).reason_code == "registrar-busy"
        w.pbx.rules.answers.clear()
        await w.run_for(MINUTE)
        assert w.account() == account


async def test_a_password_changed_at_the_pbx_is_asked_about_seldom_and_forgotten_never() -> None:
    w = world()
    async with w.running():
        account = await w.prove()
        kept = w.credentials()
        w.pbx.set_password("alice", "changed")
        w.pbx.restart()
        w.forget_seen()
        w.fleet.refresh_now(account.id)
        await w.run_for(DAY)
        attempts = [seen.at for seen in w.pbx.registrar.seen if seen.has_answer and seen.status == 401]
        waits = [later - earlier for earlier, later in itertools.pairwise(attempts)]
        waits = [wait for wait in waits if wait > 1]
        assert 600 <= waits[0] <= 661
        assert 3600 <= waits[1] <= 3961
        assert all(21_600 <= wait <= 23_761 for wait in waits[2:])
        assert w.credentials() == kept
        assert w.account().state is BindingState.REFUSED
        assert w.account().reason_code == "credentials-refused"


async def test_403_after_the_right_password_is_said_in_words_that_fit_both_causes() -> None:
    w = world()
    async with w.running():
        account = await w.prove()
        w.pbx.rules.answers_later["alice"] = (403, ())
        w.fleet.refresh_now(account.id)
        await w.run_for(SECOND)
        status = w.fleet.status(account.id)
        assert (status.state, status.reason_code) == (BindingState.REFUSED, "registrar-forbids")
        assert "no more devices" in status.reason
        w.pbx.rules.answers_later.clear()
        await w.run_for(12 * MINUTE)
        assert w.account().state is BindingState.REGISTERED


async def test_an_account_removed_at_the_pbx_is_refused() -> None:
    w = world()
    async with w.running():
        account = await w.prove()
        w.pbx.registrar.users.clear()
        w.fleet.refresh_now(account.id)
        await w.run_for(SECOND)
        assert w.account().reason_code == "account-unknown"


async def test_a_realm_that_changes_needs_credentials_only_after_three_times_in_ten_minutes() -> None:
    w = world()
    async with w.running():
        account = await w.prove()
        kept = w.credentials()
        w.pbx.rules.realm = "another.test"
        w.pbx.restart()
        w.fleet.refresh_now(account.id)
        await w.run_for(9 * MINUTE)
        assert w.account().state is BindingState.REGISTERED
        await w.run_for(4 * MINUTE)
        assert w.account().state is BindingState.CREDENTIALS_NEEDED
        assert w.credentials() == kept
        assert all(not seen.has_answer or seen.status != 401 for seen in w.pbx.registrar.seen[3:])


async def test_a_realm_that_changes_for_a_moment_is_survived() -> None:
    w = world()
    async with w.running():
        account = await w.prove()
        w.pbx.rules.realm = "another.test"
        w.pbx.restart()
        w.fleet.refresh_now(account.id)
        await w.run_for(SECOND)
        w.pbx.rules.realm = "pbx.test"
        await w.run_for(6 * MINUTE)
        assert w.fleet.status(account.id).state is BindingState.REGISTERED
        assert w.account() == account


async def test_a_pbx_that_calls_every_nonce_stale_is_given_up_for_now() -> None:
    w = world()
    async with w.running():
        account = await w.prove()
        w.pbx.rules.is_always_stale = True
        w.pbx.restart()
        w.forget_seen()
        w.fleet.refresh_now(account.id)
        await w.run_for(5 * SECOND)
        assert 2 <= len(w.statuses()) <= 4
        assert w.fleet.status(account.id).reason_code == "registrar-unusable"


async def test_the_algorithm_that_the_pbx_accepts_now_is_what_phones_will_be_asked_for() -> None:
    w = world()
    async with w.running():
        account = await w.prove()
        assert account.algorithm is Algorithm.MD5
        w.pbx.rules.algorithms = (Hash.SHA_256,)
        w.pbx.restart()
        w.fleet.refresh_now(account.id)
        await w.run_for(SECOND)
        assert w.account().algorithm is Algorithm.SHA_256
        assert w.account().proven
