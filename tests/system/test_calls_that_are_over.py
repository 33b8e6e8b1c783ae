"""After a call: phones that still think it rings are told, and users who did not hear it; nobody else is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.system.asking import at_pbx, request
from tests.system.calls_world import SECOND, US, World
from tests.system.on_the_wire import FIRST
from tests.system.stories import events, records
from wakerobin.core.call import CallState
from wakerobin.core.pushes import Accepted, PushMessage, PushType, Unavailable
from wakerobin.core.values import Ended, Provider, Purpose, PushRegistration, PushTarget, Secret
from wakerobin.ports.store import OutboxRow, Transaction
from wakerobin.testing.pbx_call import FakeCall

DAY = 24 * 3600 * SECOND
TAKES_IT_BACK = [one for one in Provider if one not in (Provider.APNS, Provider.ACROBITS)]


async def reachable(world: World, *providers: Provider, **fields: Any) -> PushRegistration:
    """Enrol an account whose one registration has these targets, each for calls and notices."""
    world.pbx.rules.webrtc = Provider.WEBPUSH in providers
    account = await world.enrol()
    (registration,) = world.registrations(account)
    registration = replace(registration, **fields)

    def work(tx: Transaction) -> None:
        tx.registrations.update(registration)
        give_targets(tx, registration.id, providers or (Provider.FCM,))

    await world.store.transact(work)
    return registration


def give_targets(tx: Transaction, registration_id: int, providers: tuple[Provider, ...]) -> None:
    for old in tx.targets.of_registration(registration_id):
        tx.targets.remove(old.id)
    for provider in providers:
        tx.targets.add(
            PushTarget(
                registration_id=registration_id,
                provider=provider,
                purposes=frozenset(Purpose),
                token=Secret(f"{provider} of {registration_id}"),
                reported_at=0,
            )
        )


async def called(world: World, wait: int = 1 * SECOND) -> FakeCall:
    """Call, and let the pushes be accepted."""
    call = world.pbx.call("alice")
    await world.until(lambda: call.is_ringing)
    await world.run_for(wait)
    return call


async def cancelled(world: World, reason: str = "") -> FakeCall:
    call = await called(world)
    call.cancel(reason)
    await world.until(lambda: call.final == 487)
    await world.clock.settle()
    return call


def overs(world: World) -> list[PushMessage]:
    return [message for message in world.pushes.sent if message.type is PushType.CALL_OVER]


def missed(world: World, registration: PushRegistration) -> list[OutboxRow]:
    return world.store.read(lambda tx: tx.outbox.of_registration(registration.id, PushType.MISSED_CALL))


def call_ids(world: World) -> list[str]:
    return [str(one.payload["call_id"]) for one in world.pushes.sent if one.type is PushType.CALL]


# Taken back


@pytest.mark.parametrize("provider", TAKES_IT_BACK)
async def test_a_phone_that_was_pushed_and_did_not_come_is_told_that_the_call_is_over(
    provider: Provider,
) -> None:
    world = World()
    async with world.running():
        registration = await reachable(world, provider)
        await cancelled(world)
        (over,) = overs(world)
        (call_id,) = call_ids(world)
        assert over.target.provider is provider
        assert over.payload["call_id"] == call_id
        assert over.payload["state"] == "cancelled"
        assert over.payload["registration"] == registration.public_id
        assert over.expires_at == world.clock.now() + 30 * SECOND
        assert over.title == "Call ended", "a browser shows it in the place of the call"
        assert over.text == "The call from Bob is over."
        assert "call-over-sent" in events(world)


async def test_apple_gets_no_push_that_a_call_is_over_as_it_would_ring_once_more() -> None:
    world = World()
    async with world.running():
        await reachable(world, Provider.APNS, Provider.FCM)
        await cancelled(world)
        assert [over.target.provider for over in overs(world)] == [Provider.FCM]


async def test_an_app_that_knows_only_calls_answered_elsewhere_is_told_of_nothing_else() -> None:
    world = World()
    async with world.running():
        await reachable(world, Provider.ACROBITS)
        await cancelled(world)
        assert not overs(world)
        await cancelled(world, "SIP;cause=200")
        assert [over.payload["state"] for over in overs(world)] == ["answered-elsewhere"]


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        ("", "cancelled"),
        ('SIP;cause=200;text="Call completed elsewhere"', "answered-elsewhere"),
        ('Q.850;cause=16, SIP ;cause=200 ;text="x"', "answered-elsewhere"),
        ("Q.850;cause=26", "answered-elsewhere"),
    ],
)
async def test_it_says_whether_somebody_answered_at_a_desk_phone(reason: str, state: str) -> None:
    world = World()
    async with world.running():
        await reachable(world)
        await cancelled(world, reason)
        (over,) = overs(world)
        assert over.payload["state"] == state
        assert ("another device" in over.text) is (state == "answered-elsewhere")


async def test_the_other_phones_of_an_account_are_told_that_one_has_answered() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        (mine,) = world.registrations(account)
        other = await world.add_registration(account)
        await world.store.transact(lambda tx: give_targets(tx, other.id, (Provider.FCM,)))
        call = await called(world)
        phone = await world.registered(instance=mine.sip_instance)
        await world.until(lambda: bool(phone.calls))
        phone.calls[0].answer()
        await world.until(lambda: call.final == 200)
        await world.clock.settle()
        (over,) = overs(world)
        assert over.payload["registration"] == other.public_id
        assert over.payload["state"] == "answered-elsewhere"
        await world.run_for(10 * SECOND)
        assert not missed(world, other), "somebody has answered"


async def test_a_phone_that_is_connected_hears_it_by_sip() -> None:
    world = World()
    async with world.running():
        await reachable(world)
        call = await called(world)
        phone = await world.registered()
        await world.until(lambda: bool(phone.calls))
        call.cancel()
        await world.until(lambda: phone.calls[0].is_cancelled)
        await world.clock.settle()
        assert not overs(world)


async def test_a_phone_whose_push_was_refused_is_not_told_of_a_call_that_it_does_not_know() -> None:
    world = World()
    world.pushes.outcome = lambda message: Unavailable("503", processed=False)
    async with world.running():
        await reachable(world)
        call = world.pbx.call("alice")
        await world.until(lambda: call.final > 0)
        assert not overs(world)


async def test_a_push_that_was_on_its_way_when_the_call_ended_is_taken_back_once_it_is_accepted() -> None:
    world = World()
    world.pushes.outcome = lambda message: None
    late: list[Any] = []
    call_now = world.pushes.call_now

    def kept(messages: list[PushMessage], on_outcome: Any, deadline: float) -> None:
        late.extend((message, on_outcome) for message in messages)
        call_now(messages, on_outcome, deadline)

    world.pushes.call_now = kept  # type: ignore[method-assign]  # a push service that takes its time
    async with world.running():
        await reachable(world)
        call = world.pbx.call("alice")
        await world.until(lambda: bool(world.pushes.sent))
        call.cancel()
        await world.until(lambda: call.final == 487)
        assert not overs(world)
        assert world.pushes.over == call_ids(world), "what has not left, does not leave"
        message, on_outcome = late[0]
        on_outcome(message, Accepted())
        (over,) = overs(world)
        assert over.payload["state"] == "cancelled"


async def test_a_user_who_declined_by_the_app_needs_no_push_and_the_other_phones_do() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        (mine,) = world.registrations(account)
        other = await world.add_registration(account)
        for one in (mine, other):
            await world.store.transact(lambda tx: give_targets(tx, one.id, (Provider.FCM,)))  # noqa: B023 - at once
        await called(world)
        call_id = next(
            str(one.payload["call_id"])
            for one in world.pushes.sent
            if one.payload["registration"] == mine.public_id
        )
        assert world.switchboard.decline(mine, call_id, everywhere=True, status=486)
        await world.clock.settle()
        (over,) = overs(world)
        assert (over.payload["registration"], over.payload["state"]) == (other.public_id, "declined")
        await world.run_for(10 * SECOND)
        assert not missed(world, mine)
        assert not missed(world, other)


async def test_what_a_restart_must_not_forget_is_who_was_pushed_and_who_came() -> None:
    world = World()
    async with world.running():
        registration = await reachable(world)
        call = await called(world)
    world.kill()
    async with world.running():
        call.cancel()
        await world.until(lambda: call.final == 487)
        await world.clock.settle()
        (over,) = overs(world)
        assert over.payload["call_id"] == call_ids(world)[0]
        assert [row.payload["count"] for row in missed(world, registration)] == [1]


# Missed


async def test_a_missed_call_is_told_five_seconds_after_its_end_for_seven_days() -> None:
    world = World()
    async with world.running():
        registration = await reachable(world)
        await cancelled(world)
        (record,) = records(world)
        assert record.state == CallState.CANCELLED
        (row,) = missed(world, registration)
        assert (row.not_before, row.deadline_at) == (record.ended_at + 5 * SECOND, record.ended_at + 7 * DAY)
        assert row.payload["caller"] in record.caller.values()
        assert row.payload["count"] == 1


async def test_a_call_that_nobody_answers_in_time_is_missed_too() -> None:
    world = World()
    async with world.running():
        registration = await reachable(world)
        call = world.pbx.call("alice")
        await world.until(lambda: call.final == 480)
        await world.clock.settle()
        assert len(missed(world, registration)) == 1


async def test_missed_calls_are_counted_since_somebody_last_had_the_app_open() -> None:
    world = World()
    async with world.running():
        registration = await reachable(world)
        for _ in range(3):
            await cancelled(world)
            await world.run_for(10 * SECOND)
        assert max(row.payload["count"] for row in missed(world, registration)) == 3
        await world.lives.use(registration.id, "renewal-push")
        await cancelled(world)
        await world.run_for(10 * SECOND)
        assert max(row.payload["count"] for row in missed(world, registration)) == 4, "nobody saw the app"
        await world.lives.use(registration.id, "opened")
        await world.run_for(1 * SECOND)
        await cancelled(world)
        assert missed(world, registration)[-1].payload["count"] == 1


async def test_what_an_outage_kept_waiting_makes_way_for_the_latest_which_counts_it() -> None:
    world = World()
    async with world.running():
        registration = await reachable(world)
        await cancelled(world)
        await world.run_for(60 * SECOND)
        await cancelled(world)
        (row,) = missed(world, registration)
        assert row.payload["count"] == 2


@pytest.mark.parametrize(
    "reason",
    [
        'SIP;cause=200;text="Call completed elsewhere"',
        "SIP;cause=600",
        'SIP;cause=603;text="Decline"',
        "Q.850;cause=21",
        "Q.850;cause=26",
    ],
)
async def test_what_was_answered_or_declined_at_another_phone_of_the_pbx_is_not_missed(reason: str) -> None:
    world = World()
    async with world.running():
        registration = await reachable(world)
        await cancelled(world, reason)
        assert not missed(world, registration)


async def test_an_app_that_reported_progress_knows_of_its_call() -> None:
    world = World()
    async with world.running():
        registration = await reachable(world)
        call = await called(world)
        assert world.switchboard.progress(registration, call_ids(world)[0])
        call.cancel()
        await world.until(lambda: call.final == 487)
        await world.clock.settle()
        assert not missed(world, registration)
        assert not overs(world), "it asks the API what became of it"


async def test_an_app_that_reports_only_after_the_end_is_heard_for_five_seconds() -> None:
    world = World()
    async with world.running():
        registration = await reachable(world)
        await cancelled(world)
        assert not world.switchboard.progress(registration, call_ids(world)[0])
        await world.switchboard.known(registration, call_id=call_ids(world)[0])
        assert not missed(world, registration)


@pytest.mark.parametrize("is_early", [True, False])
async def test_a_receipt_for_the_call_push_says_the_same(*, is_early: bool) -> None:
    world = World()
    async with world.running():
        registration = await reachable(world)
        call = await called(world)
        (push,) = (one for one in world.pushes.sent if one.type is PushType.CALL)
        if is_early:
            await world.switchboard.known(registration, push_ids={push.id})
        call.cancel()
        await world.until(lambda: call.final == 487)
        await world.clock.settle()
        assert bool(missed(world, registration)) is not is_early
        await world.switchboard.known(registration, push_ids={"another push"})
        assert bool(missed(world, registration)) is not is_early
        await world.switchboard.known(registration, push_ids={push.id})
        assert not missed(world, registration)


async def test_a_phone_that_rang_shows_its_missed_calls_itself() -> None:
    world = World()
    async with world.running():
        registration = await reachable(world)
        phone = await world.registered()
        call = world.pbx.call("alice")
        await world.until(lambda: bool(phone.calls))
        call.cancel()
        await world.until(lambda: call.final == 487)
        await world.clock.settle()
        assert not missed(world, registration)


async def test_what_was_to_replace_a_call_that_the_user_knows_of_is_not_missed() -> None:
    world = World()
    async with world.running():
        registration = await reachable(world)
        account = world.store.read(lambda tx: tx.accounts.get(registration.account_id))
        assert account is not None
        asked = request(
            "INVITE", f"sip:{account.contact_user}@{US[0]}", ("Replaces", "a@b;to-tag=1;from-tag=2")
        )
        assert (await at_pbx(world).ask(asked)).status == 480
        await world.clock.settle()
        assert [record.state for record in records(world)] == [CallState.MISSED]
        assert not missed(world, registration)


@pytest.mark.parametrize("obstacle", ["notifications", "target", "end"])
async def test_who_cannot_be_told_is_not(obstacle: str) -> None:
    world = World()
    async with world.running():
        denied = {"capabilities": {"notifications": False}} if obstacle == "notifications" else {}
        registration = await reachable(world, **denied)
        if obstacle == "target":
            (known,) = world.store.read(lambda tx: tx.targets.of_registration(registration.id))
            rings = replace(known, purposes=frozenset({Purpose.CALL}))
            await world.store.transact(lambda tx: tx.targets.update(rings))
        call = await called(world)
        if obstacle == "end":
            await world.lives.end(registration.id, Ended.DELETED)
        call.cancel()
        await world.until(lambda: call.final == 487)
        await world.clock.settle()
        assert not missed(world, registration)


async def test_an_answer_that_crosses_the_cancel_makes_it_no_missed_call() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        (mine,) = world.registrations(account)
        other = await world.add_registration(account)
        await world.store.transact(lambda tx: give_targets(tx, other.id, (Provider.FCM,)))
        call = await called(world)
        phone = await world.registered(instance=mine.sip_instance)
        await world.until(lambda: bool(phone.calls))
        world.wire.drops = lambda flow, data: data.startswith(b"CANCEL") and flow.remote[0] == FIRST
        call.cancel()
        await world.until(lambda: bool(missed(world, other)))
        phone.calls[0].answer()
        await world.until(lambda: call.final > 0)
        await world.clock.settle()
        assert call.final == 200
        assert records(world)[0].state == CallState.ANSWERED
        assert not missed(world, other)
