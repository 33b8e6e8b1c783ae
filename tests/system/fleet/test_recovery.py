"""Connections to a PBX: shared by its accounts, and what happens when one ends."""

from __future__ import annotations

import itertools

import pytest

from tests.system.fleet.world import HOUR, MINUTE, SECOND, World, world
from wakerobin.core.values import BindingState, Flow, Transport
from wakerobin.ports.store import CallRecord, Transaction
from wakerobin.services.fleet import recovering

USERS = [f"user{number}" for number in range(40)]


def connections(w: World) -> dict[int, set[str]]:
    """Return who is bound over which connection, as the PBX sees it."""
    found: dict[int, set[str]] = {}
    for user in w.pbx.registrar.users:
        for contact in w.pbx.contacts(user):
            found.setdefault(contact.flow.connection, set()).add(user)
    return found


async def bound_by_tcp(w: World, users: list[str]) -> None:
    for user in users:
        await w.prove(user, transport=Transport.TCP)


def back_in_order(w: World) -> list[str]:
    """Return whose REGISTERs were accepted, in order, each once."""
    return list(dict.fromkeys(seen.user for seen in w.pbx.registrar.seen if seen.status == 200))


async def test_the_accounts_of_a_pbx_share_four_connections_evenly_and_keep_to_them() -> None:
    w = world(*USERS, unproven_rate=1000.0)
    async with w.running():
        await bound_by_tcp(w, USERS)
        before = connections(w)
        assert len(before) == 4
        assert all(9 <= len(users) <= 11 for users in before.values())
        await w.run_for(HOUR)
        assert connections(w) == before
    w.us.cut_all()
    w.restart()
    async with w.running():
        await w.run_for(5 * SECOND)
        assert sorted(map(sorted, connections(w).values())) == sorted(map(sorted, before.values()))


async def test_a_pbx_that_wants_one_connection_gets_one() -> None:
    w = world(*USERS[:8], unproven_rate=1000.0, pbx_connections=1)
    async with w.running():
        await bound_by_tcp(w, USERS[:8])
        assert len(connections(w)) == 1


async def test_a_reset_takes_the_accounts_of_one_connection_and_brings_them_back_at_once() -> None:
    w = world(*USERS, unproven_rate=1000.0)
    async with w.running():
        await bound_by_tcp(w, USERS)
        (number, lost), *_ = connections(w).items()
        w.forget_seen()
        w.there.close_flow(next(iter(w.pbx.contacts(user)[0].flow for user in lost)))
        await w.run_for(SECOND)
        assert set(back_in_order(w)) == lost
        assert number not in connections(w)
        assert len(connections(w)) == 4
        assert all(w.pbx.contacts(user) for user in USERS)
        assert not [e for e in told(w) if e != "proven"], "nobody has to hear of it"


def told(w: World) -> list[str]:
    """Return the events of every story."""

    def read(tx: Transaction) -> list[str]:
        ids = range(1, len(USERS) + 1)
        return [row.event for one in ids for row in tx.stories.of(f"registration:{one}")]

    return w.store.read(read)


@pytest.mark.parametrize("at_once", [3, 2_000])
async def test_who_was_called_in_the_last_day_is_back_first_the_last_called_before_all(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovering, "_SLICE", at_once)
    monkeypatch.setattr(recovering, "_LATELY_S", 1_200.0)  # a short day
    w = world(*USERS[:10], unproven_rate=1000.0, register_rate=2.0, register_burst=1, pbx_connections=1)
    async with w.running():
        await bound_by_tcp(w, USERS[:10])
        called = ["user8", "user7", "user2", "user3"]
        w.fleet.called(w.account("user5").id)
        await w.run_for(22 * MINUTE)
        for user in called:
            w.fleet.called(w.account(user).id)
            await w.run_for(MINUTE)
        w.forget_seen()
        w.there.cut_all()
        w.us.cut_all()
        await w.run_for(MINUTE)
        order = back_in_order(w)
        assert order[:4] == called[::-1]
        assert set(order) == set(USERS[:10])


async def test_calls_of_before_a_restart_count_too_and_streams_are_bound_at_once_after_it() -> None:
    w = world(*USERS, unproven_rate=1000.0, register_rate=2.0, register_burst=1)
    async with w.running():
        await bound_by_tcp(w, USERS)
        await w.run_for(MINUTE)
    called = w.account("user17").id
    await w.store.transact(lambda tx: tx.calls.put(call_of(called, w.clock.now() - HOUR)))
    w.us.cut_all()
    w.there.cut_all()
    w.restart()
    w.forget_seen()
    async with w.running():
        await w.run_for(MINUTE)
        assert back_in_order(w)[0] == "user17"
        assert set(back_in_order(w)) == set(USERS)


def call_of(account_id: int, at: int) -> CallRecord:
    return CallRecord(
        call_id="c",
        sip_call_id="s",
        account_id=account_id,
        state="missed",
        caller={},
        started_at=at,
        expires_at=at,
    )


async def test_they_come_back_faster_than_others_are_refreshed_and_faster_still_while_it_goes_well() -> None:
    w = world(*USERS, unproven_rate=1000.0, register_rate=2.0, register_burst=1, pbx_connections=1)
    async with w.running():
        await bound_by_tcp(w, USERS)
        await w.run_for(MINUTE)
        w.pbx.restart()
        start = w.clock.monotonic()
        w.there.cut_all()
        w.us.cut_all()
        await w.until(lambda: all(w.pbx.contacts(user) for user in USERS), within=MINUTE)
        took = w.clock.monotonic() - start
        assert 2.0 < took < 8.0, "80 REGISTERs, 8 a second to begin with: less by what was learnt"
        await w.run_for(2 * MINUTE)
    # What was learnt is known after a restart.
    w.us.cut_all()
    w.there.cut_all()
    w.pbx.restart()
    w.restart()
    async with w.running():
        start = w.clock.monotonic()
        await w.until(lambda: all(w.pbx.contacts(user) for user in USERS), within=MINUTE)
        assert w.clock.monotonic() - start < took * 0.75


async def test_a_pbx_that_is_busy_gets_them_no_faster_than_the_calm_rate() -> None:
    w = world(*USERS, unproven_rate=1000.0, register_rate=4.0, register_burst=1, pbx_connections=1)
    async with w.running():
        await bound_by_tcp(w, USERS)
        await w.run_for(MINUTE)
        for user in USERS:
            w.pbx.rules.answers[user] = (503, (("Retry-After", "20"),))
        w.forget_seen()
        w.there.cut_all()
        w.us.cut_all()
        await w.run_for(15 * SECOND)
        late = [seen.at for seen in w.pbx.registrar.seen if seen.at > w.pbx.registrar.seen[0].at + 3]
        gaps = [b - a for a, b in itertools.pairwise(late)]
        assert min(gaps) >= 0.2


async def test_others_are_refreshed_while_many_come_back() -> None:
    w = world("alice", *USERS, unproven_rate=1000.0, register_rate=2.0, register_burst=1, pbx_connections=1)
    async with w.running():
        await bound_by_tcp(w, USERS)
        account = await w.prove(transport=Transport.UDP)
        await w.run_for(MINUTE)
        w.there.cut_all()
        w.us.cut_all()
        w.forget_seen()
        w.fleet.refresh_now(account.id)
        await w.run_for(SECOND)
        assert "alice" in back_in_order(w)
        assert len(back_in_order(w)) < len(USERS)


async def test_a_pbx_that_is_started_again_has_its_accounts_back_two_seconds_later() -> None:
    w = world(*USERS, unproven_rate=1000.0)
    async with w.running():
        await bound_by_tcp(w, USERS)
        w.pbx.restart()
        w.there.is_down = True
        w.there.cut_all()
        w.us.cut_all()
        await w.run_for(SECOND)
        w.there.is_down = False
        await w.run_for(2 * SECOND)
        assert all(w.pbx.contacts(user) for user in USERS)
        assert "binding-lost" not in told(w)


async def test_a_pbx_that_stays_away_is_asked_ever_more_seldom_and_has_all_back_when_it_returns() -> None:
    w = world(*USERS, unproven_rate=1000.0, register_rate=50.0, pbx_connections=1)
    asked: list[float] = []

    async with w.running():
        await bound_by_tcp(w, USERS)
        account = w.account("user0")
        w.pbx.restart()
        w.there.is_down = True
        w.there.cut_all()
        w.us.cut_all()
        real = w.us.flow_to

        def counted(*args: object, **named: object) -> Flow:
            asked.append(w.clock.monotonic())
            return real(*args, **named)  # type: ignore[arg-type]  # passed on as it came

        w.us.flow_to = counted  # type: ignore[method-assign]  # to count what is tried
        start = w.clock.monotonic()
        await w.run_for(2 * HOUR)
        tried = [sum(a <= at - start < b for at in asked) for a, b in ((0, 60), (60, 600), (600, 7200))]
        assert tried[0] <= 4 * len(USERS)
        assert tried[1] <= 6 * len(USERS)
        assert tried[2] <= 9 * len(USERS)
        assert w.fleet.status(account.id).state is BindingState.UNREACHABLE
        w.there.is_down = False
        await w.until(lambda: any(w.pbx.contacts(user) for user in USERS), within=30 * MINUTE)
        await w.run_for(2 * SECOND)
        assert all(w.pbx.contacts(user) for user in USERS)


async def test_who_is_refused_is_not_asked_again_because_a_connection_ends() -> None:
    w = world("alice", *USERS[:3], unproven_rate=1000.0, pbx_connections=1)
    async with w.running():
        await bound_by_tcp(w, ["alice", *USERS[:3]])
        w.pbx.set_password("alice", "changed")
        w.fleet.refresh_now(w.account().id)
        await w.run_for(SECOND)
        assert w.account().state is BindingState.REFUSED
        w.forget_seen()
        for _ in range(5):
            w.there.cut_all()
            w.us.cut_all()
            await w.run_for(20 * SECOND)
        assert w.statuses() == []
        assert all(w.pbx.contacts(user) for user in USERS[:3])
