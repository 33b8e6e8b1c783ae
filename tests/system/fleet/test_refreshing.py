"""Bindings are kept: refreshed in time, quietly, and made again when something went wrong."""

from __future__ import annotations

import itertools

import pytest

from tests.system.fleet.world import DAY, HOUR, MINUTE, SECOND, World, world
from wakerobin.core.values import BindingState, Flow, Transport
from wakerobin.services.fleet import TrialVerdict


def gaps(w: World, user: str = "alice") -> list[float]:
    """Return the seconds between the successful REGISTERs of a user that carried a Contact."""
    times = [
        seen.at for seen in w.pbx.registrar.seen if seen.user == user and seen.status == 200 and seen.contacts
    ]
    return [later - earlier for earlier, later in itertools.pairwise(times)]


async def test_a_binding_is_refreshed_between_50_and_90_percent_of_its_life() -> None:
    w = world()
    w.pbx.rules.max_expires = 300
    async with w.running():
        await w.prove()
        await w.run_for(2 * HOUR)
    assert len(gaps(w)) > 20
    assert all(150 <= gap <= 271 for gap in gaps(w))


async def test_a_binding_never_lapses_in_two_days() -> None:
    w = world()
    w.pbx.rules.grants_one_less = True
    async with w.running():
        await w.prove()
        for _ in range(2 * 24 * 12):
            await w.run_for(5 * MINUTE)
            assert len(w.contacts()) == 1


async def test_a_refresh_needs_one_round_trip_while_its_nonce_is_good() -> None:
    w = world()
    async with w.running():
        await w.prove()
        w.forget_seen()
        await w.run_for(HOUR)
        assert set(w.statuses()) == {200}


@pytest.mark.parametrize("rule", ["has_one_time_nonces", "gives_next_nonce"])
async def test_nonces_that_are_used_up_or_replaced_are_followed(rule: str) -> None:
    w = world()
    setattr(w.pbx.rules, rule, True)
    async with w.running():
        account = await w.prove()
        await w.run_for(3 * HOUR)
        assert len(w.contacts()) == 1
        assert w.fleet.status(account.id).state is BindingState.REGISTERED
        assert (401 in w.statuses()[2:]) == (rule == "has_one_time_nonces")


async def test_call_id_stays_and_cseq_rises_over_restarts_and_a_refresh_writes_nothing() -> None:
    w = world()
    async with w.running():
        account = await w.prove()
    for _ in range(3):
        w.restart()
        async with w.running():
            w.fleet.refresh_now(account.id)
            w.fleet.refresh_now(account.id)
            await w.run_for(20 * MINUTE)
    seen = w.pbx.registrar.seen[2:]
    assert len({one.call_id for one in seen}) == 1
    numbers = [one.cseq for one in seen]
    assert numbers == sorted(set(numbers))
    assert w.account() == account


async def test_two_refreshes_within_a_second_still_have_rising_numbers() -> None:
    w = world()
    async with w.running():
        account = await w.prove()
        for _ in range(5):
            w.fleet.refresh_now(account.id)
            await w.run_for(10)
        numbers = [one.cseq for one in w.pbx.registrar.seen[2:]]
        assert len(numbers) == 5
        assert numbers == sorted(set(numbers))


async def test_423_is_followed_and_remembered() -> None:
    w = world()
    w.pbx.rules.min_expires = 1200
    async with w.running():
        account = await w.prove()
        assert w.statuses() == [401, 423, 200]
        expires_at = w.fleet.status(account.id).expires_at
        assert expires_at - w.clock.now() == pytest.approx(1200 * SECOND, abs=2 * SECOND)
        w.forget_seen()
        await w.run_for(HOUR)
        assert 423 not in w.statuses()


async def test_a_423_beyond_a_day_is_not_followed() -> None:
    w = world()
    w.pbx.rules.min_expires = 90_000
    async with w.running():
        result = await w.tried(await w.enrol())
        assert result.code == "registrar-unusable"


async def test_an_asterisk_that_rewrites_our_contact_is_understood() -> None:
    w = world()
    w.pbx.rules.rewrites_contacts = True
    w.pbx.rules.grants_one_less = True
    async with w.running():
        account = await w.prove()
        expires_at = w.fleet.status(account.id).expires_at
        assert expires_at - w.clock.now() == pytest.approx(599 * SECOND, abs=2 * SECOND)
        await w.run_for(3 * HOUR)
        assert len(w.contacts()) == 1
        assert set(w.statuses()[2:]) == {200}


async def test_a_pbx_that_lists_no_contacts_is_believed_for_what_we_asked() -> None:
    w = world()
    w.pbx.rules.lists_contacts = False
    async with w.running():
        await w.prove()
        await w.run_for(3 * HOUR)
        assert len(w.contacts()) == 1
        assert all(gap <= 541 for gap in gaps(w))


async def test_the_expiry_of_a_desk_phone_is_not_taken_for_ours() -> None:
    w = world()
    w.pbx.registrar.add_desk_phone("alice", "sip:alice@10.0.0.7:5060", _flow(), expires=30_000)
    w.pbx.rules.max_expires = 120
    async with w.running():
        await w.prove()
        await w.run_for(HOUR)
        assert max(gaps(w)) <= 109


async def test_a_pbx_that_forgets_everything_has_us_back_by_the_next_refresh() -> None:
    w = world()
    async with w.running():
        await w.prove()
        w.pbx.restart()
        assert w.contacts() == []
        await w.until(lambda: len(w.contacts()) == 1, within=541 * SECOND)


async def test_a_lost_binding_is_noticed_between_refreshes_and_made_again_at_once() -> None:
    w = world()
    w.pbx.rules.min_expires = w.pbx.rules.max_expires = 10 * 3600
    async with w.running():
        await w.prove()
        w.pbx.restart()
        # The refresh comes after five hours at the soonest.
        await w.until(lambda: len(w.contacts()) == 1, within=65 * MINUTE)


async def test_the_second_loss_in_a_day_waits_for_the_planned_refresh() -> None:
    w = world()
    w.pbx.rules.min_expires = w.pbx.rules.max_expires = 10 * 3600
    async with w.running():
        await w.prove()
        w.pbx.restart()
        await w.until(lambda: len(w.contacts()) == 1, within=2 * HOUR)
        bound_at = w.clock.monotonic()
        w.pbx.restart()
        await w.until(lambda: len(w.contacts()) == 1, within=10 * HOUR)
        assert w.clock.monotonic() - bound_at >= 5 * 3600


async def test_a_pbx_with_one_contact_is_recognised_and_said_in_words() -> None:
    w = world()
    w.pbx.rules.most_contacts = 1
    w.pbx.rules.replaces_contacts = True
    async with w.running():
        account = await w.prove()
        for _ in range(40):
            await w.run_for(5 * MINUTE)
            w.pbx.registrar.add_desk_phone("alice", "sip:alice@10.0.0.7:5060", _flow())
        assert w.account().reason_code == "one-contact"
        assert "Max Contacts" in w.account().reason
        assert w.fleet.status(account.id).reason_code == "one-contact"
        w.forget_seen()
        await w.run_for(HOUR)
        # It goes on at the normal rhythm and does not fight.
        assert sum(1 for seen in w.pbx.registrar.seen if seen.contacts) <= 10


async def test_a_pbx_whose_limit_was_raised_is_no_longer_complained_about() -> None:
    w = world()
    w.pbx.rules.most_contacts = 1
    w.pbx.rules.replaces_contacts = True
    async with w.running():
        await w.prove()
        for _ in range(40):
            await w.run_for(5 * MINUTE)
            w.pbx.registrar.add_desk_phone("alice", "sip:alice@10.0.0.7:5060", _flow())
        w.pbx.rules.most_contacts = 5
        w.pbx.registrar.add_desk_phone("alice", "sip:alice@10.0.0.7:5060", _flow(), expires=DAY)
        await w.run_for(3 * HOUR)
        assert w.account().reason_code == ""


async def test_a_pbx_that_takes_no_register_without_contact_is_not_looked_at_again() -> None:
    w = world()
    w.pbx.rules.refuses_looks = True
    async with w.running():
        account = await w.prove()
        await w.run_for(6 * HOUR)
        looks = [seen for seen in w.pbx.registrar.seen[2:] if not seen.contacts]
        assert len(looks) == 1
        assert w.fleet.status(account.id).state is BindingState.REGISTERED


async def test_the_other_address_of_the_pbx_is_tried_when_the_first_is_silent() -> None:
    w = world()
    w.names.zone["pbx.test"] = ["10.0.0.8", "10.0.0.9"]
    async with w.running():
        account = await w.prove()
        assert len(w.contacts()) == 1
        upstream = w.fleet.upstream(account.id)
        assert upstream is not None
        assert upstream.flow.remote[0] == "10.0.0.9"
        # The silent one is not asked first by the next.
        w.forget_seen()
        w.fleet.refresh_now(account.id)
        await w.run_for(SECOND)
        assert w.statuses() == [200]


async def test_all_accounts_come_back_soon_after_a_long_outage_of_their_pbx() -> None:
    users = [f"user{number}" for number in range(12)]
    w = world(*users, unproven_rate=100.0)
    async with w.running():
        for user in users:
            await w.prove(user)
        w.there.is_down = True
        await w.run_for(4 * HOUR)
        assert {w.account(user).state for user in users} == {BindingState.UNREACHABLE}
        w.there.is_down = False
        w.pbx.restart()
        await w.until(lambda: any(w.contacts(user) for user in users), within=20 * MINUTE)
        await w.run_for(SECOND)
        assert all(w.contacts(user) for user in users)


async def test_one_dead_user_does_not_ride_on_the_success_of_the_others() -> None:
    users = [f"user{number}" for number in range(12)]
    w = world("alice", *users, unproven_rate=100.0)
    async with w.running():
        account = await w.prove()
        for user in users:
            await w.prove(user)
        w.pbx.rules.silent_users.add("alice")
        w.fleet.refresh_now(account.id)
        w.forget_seen()
        await w.run_for(6 * HOUR)
        attempts = {seen.cseq for seen in w.pbx.registrar.seen if seen.user == "alice"}
        assert len(attempts) <= 32


async def test_registers_to_one_pbx_are_paced() -> None:
    users = [f"user{number}" for number in range(60)]
    w = world(*users, unproven_rate=1000.0, register_rate=10.0, register_burst=5)
    async with w.running():
        for user in users:
            await w.enrol(user)
        await w.run_for(MINUTE)
        assert all(w.account(user).proven for user in users)
    w.restart()
    w.forget_seen()
    await w.store.transact(
        lambda tx: tx.kept.put("fleet-rhythm", b'{"ran_until_s":0,"granted_s":{},"learnt":[]}')
    )
    async with w.running():
        await w.run_for(30 * SECOND)
        times = [seen.at for seen in w.pbx.registrar.seen]
        assert len({seen.user for seen in w.pbx.registrar.seen}) == 60
        for at in times:
            assert sum(1 for other in times if at <= other < at + 1) <= 16


async def test_a_restart_goes_on_in_the_old_rhythm() -> None:
    users = [f"user{number}" for number in range(30)]
    w = world(*users, unproven_rate=1000.0)
    async with w.running():
        for user in users:
            await w.prove(user)
        await w.run_for(HOUR)
    w.restart()
    w.forget_seen()
    async with w.running():
        await w.run_for(5 * SECOND)
        assert len(w.pbx.registrar.seen) <= 5
        for _ in range(60):
            await w.run_for(10 * SECOND)
            assert all(w.contacts(user) for user in users)


async def test_after_a_long_downtime_everybody_is_bound_at_once() -> None:
    users = [f"user{number}" for number in range(30)]
    w = world(*users, unproven_rate=1000.0)
    async with w.running():
        for user in users:
            await w.prove(user)
    w.clock.advance(20 * MINUTE)
    assert not any(w.contacts(user) for user in users)
    w.restart()
    async with w.running():
        await w.run_for(3 * SECOND)
        assert all(w.contacts(user) for user in users)


async def test_a_restart_remembers_that_a_pbx_grants_little() -> None:
    w = world()
    w.pbx.rules.max_expires = 60
    async with w.running():
        await w.prove()
        await w.run_for(3 * MINUTE)
    w.restart()
    async with w.running():
        for _ in range(24):
            await w.run_for(5 * SECOND)
            assert len(w.contacts()) == 1


async def test_refused_accounts_are_not_asked_about_at_every_restart() -> None:
    w = world()
    async with w.running():
        account = await w.prove()
        w.pbx.set_password("alice", "changed")
        w.fleet.refresh_now(account.id)
        await w.run_for(MINUTE)
        assert w.account().state is BindingState.REFUSED
    w.forget_seen()
    for _ in range(3):
        w.restart()
        async with w.running():
            await w.run_for(MINUTE)
            assert w.fleet.status(account.id).state is BindingState.REFUSED
    assert w.statuses() == []


async def test_credentials_given_anew_end_the_trouble() -> None:
    w = world()
    async with w.running():
        account = await w.prove()
        w.pbx.set_password("alice", "changed")
        w.fleet.refresh_now(account.id)
        await w.run_for(MINUTE)
        assert w.account().state is BindingState.REFUSED
        result = await w.tried(await w.enrol(password="changed"))
        assert result.verdict is TrialVerdict.PROVEN
        assert w.fleet.status(account.id).state is BindingState.REGISTERED
        await w.run_for(HOUR)
        assert len(w.contacts()) == 1


async def test_garbage_in_the_answer_is_trouble_and_no_crash() -> None:
    w = world()
    async with w.running():
        account = await w.prove()
        for header, value in (
            ("Contact", "<<>>;expires=x"),
            ("Service-Route", "not a route"),
            ("Path", "<sip:[::nonsense]>"),
            ("Authentication-Info", "nextnonce"),
            ("Expires", "minus one"),
        ):
            w.pbx.rules.answers["alice"] = (200, ((header, value),))
            w.fleet.refresh_now(account.id)
            await w.run_for(SECOND)
        w.pbx.rules.answers["alice"] = (401, (("WWW-Authenticate", "Negotiate"),))
        w.fleet.refresh_now(account.id)
        await w.run_for(SECOND)
        assert w.fleet.status(account.id).state is BindingState.UNREACHABLE
        w.pbx.rules.answers.clear()
        w.fleet.refresh_now(account.id)
        await w.run_for(SECOND)
        assert w.fleet.status(account.id).state is BindingState.REGISTERED


async def test_a_yes_that_keeps_no_binding_is_trouble() -> None:
    w = world()
    async with w.running():
        account = await w.prove()
        w.pbx.rules.answers["alice"] = (200, (("Expires", "0"),))
        w.fleet.refresh_now(account.id)
        await w.run_for(SECOND)
        assert w.fleet.status(account.id).reason_code == "registrar-unusable"


async def test_tcp_accounts_of_a_closed_connection_are_bound_again_at_once() -> None:
    users = [f"user{number}" for number in range(10)]
    w = world(*users, unproven_rate=1000.0)
    async with w.running():
        for user in users:
            await w.prove(user, transport=Transport.TCP)
        assert all(w.contacts(user) for user in users)
        w.pbx.restart()
        w.there.cut_all()
        await w.run_for(3 * SECOND)
        assert all(w.contacts(user) for user in users)


async def test_the_end_of_another_connection_to_the_pbx_disturbs_nobody() -> None:
    w = world()
    async with w.running():
        await w.prove(transport=Transport.TCP)
        w.forget_seen()
        w.fleet.flow_closed(Flow(Transport.TCP, ("10.0.0.1", 5060), ("10.0.0.9", 5060), 999))
        await w.run_for(MINUTE)
        assert w.statuses() == []


async def test_a_lost_datagram_is_sent_again() -> None:
    w = world()
    lost: list[bytes] = []

    def drops(_flow: Flow, data: bytes) -> bool:
        if data.startswith(b"REGISTER") and data not in lost:
            lost.append(data)
            return True
        return False

    w.wire.drops = drops
    async with w.running():
        await w.prove()
        assert len(lost) == 2


def _flow() -> Flow:
    return Flow(Transport.UDP, ("10.0.0.9", 5060), ("10.0.0.7", 5060))
