"""The courier between a store, the lives in it, and a push service like Apple's."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.system.pushing import service_for, target, unread_octets
from wakerobin.core.delivery import DeliveryPolicy
from wakerobin.core.ids import keyed_hash, uuid_from
from wakerobin.core.lifetime import LifetimePolicy
from wakerobin.core.pushes import (
    Accepted,
    CallDetails,
    Outcome,
    PayloadHead,
    PushMessage,
    PushType,
    Rejected,
    TargetGone,
    Throttled,
    Unavailable,
    call_message,
)
from wakerobin.core.values import Account, Duration, Life, Purpose, PushRegistration, PushTarget
from wakerobin.ports.options import HOUR, MINUTE, SECOND, LifetimeOptions
from wakerobin.ports.store import OutboxRow, Transaction
from wakerobin.push.apns import ApnsService
from wakerobin.push.connection import PoolOptions
from wakerobin.services import story
from wakerobin.services.courier import Courier, LaneOptions
from wakerobin.services.lives import Lives, policy_of
from wakerobin.testing.clock import ManualClock
from wakerobin.testing.memory import Fault, MemoryStore
from wakerobin.testing.pns import FakePns, ReceivedPush
from wakerobin.testing.pns_script import Kill, Refuse, Reset, Silence, Slow
from wakerobin.texts import Catalogues

VOIP, ALERT = "aa" * 32, "bb" * 32
DAY = 24 * HOUR


@dataclass
class World:
    """A server's middle: store, lives and courier on a clock that is moved by hand, pushing for real."""

    clock: ManualClock
    store: MemoryStore
    lives: Lives
    courier: Courier
    pns: FakePns
    service: ApnsService
    running: asyncio.Task[None]

    async def enrol(self, *targets: PushTarget, **changes: object) -> PushRegistration:
        """Add a proven push registration; by default with the two tokens of an iPhone."""
        now = self.clock.now()

        def work(tx: Transaction) -> PushRegistration:
            number = len(tx.registrations.page(0, 1000)) + 1
            account = tx.accounts.add(
                Account(
                    slot=1,
                    app="phone",
                    aor=f"sip:user{number}@pbx.test",
                    auth_user="alice",
                    registrar="pbx.test",
                    contact_user=f"c{number}",
                    instance=f"urn:uuid:{number}",
                    proven=True,
                    created_at=now,
                )
            )
            values: dict[str, object] = {
                "public_id": f"pr_{number}",
                "account_id": account.id,
                "app": "phone",
                "installation": f"i{number}",
                "sip_instance": f"urn:uuid:s{number}",
                "secret_hash": b"x",
                "proven": True,
                "lifetime": Duration(7 * DAY),
                "created_at": now,
                "locale": "en",
            }
            registration = tx.registrations.add(PushRegistration(**(values | changes)))  # type: ignore[arg-type]  # one field at a time
            self.lives.begin_in(tx, registration, now)
            for one in targets or (
                target(VOIP, purposes=frozenset({Purpose.CALL})),
                target(ALERT, purposes=frozenset({Purpose.NOTICE})),
            ):
                tx.targets.add(replace(one, id=0, registration_id=registration.id, reported_at=now))
            return registration

        return await self.store.transact(work)

    async def decide(self, registration: PushRegistration, kind: PushType, **changes: object) -> OutboxRow:
        """Put a push into the outbox, as a life does."""
        now = self.clock.now()
        values: dict[str, object] = {
            "slot": 1,
            "registration_id": registration.id,
            "generation": self.life(registration).generation,
            "kind": kind,
            "step": 0,
            "not_before": now,
            "deadline_at": now + HOUR,
        }
        row = OutboxRow(**(values | changes))  # type: ignore[arg-type]  # one field at a time
        assert await self.store.transact(lambda tx: tx.outbox.add(row))
        return row

    def life(self, registration: PushRegistration) -> Life:
        life = self.store.read(lambda tx: tx.lives.get(registration.id))
        assert life is not None
        return life

    def targets(self, registration: PushRegistration) -> list[PushTarget]:
        return self.store.read(lambda tx: tx.targets.of_registration(registration.id))

    def waiting(self) -> int | None:
        """Return when the next row of the outbox may be tried; None: it is empty."""
        return self.store.read(lambda tx: tx.outbox.next_due())

    def told(self, registration: PushRegistration) -> list[str]:
        rows = self.store.read(lambda tx: tx.stories.of(story.of_registration(registration.id)))
        return [row.event for row in rows]

    async def until(self, condition: Callable[[], object], within: int = 60_000) -> None:
        await self.clock.run_until_true(lambda: bool(condition()), within)

    async def pushed(self, count: int = 1) -> list[ReceivedPush]:
        """Return the pushes, once so many have come and the outbox is settled."""
        await self.until(lambda: len(self.pns.pushes) >= count and self.waiting() is None)
        assert len(self.pns.pushes) == count
        return self.pns.pushes

    def call(
        self, registration: PushRegistration, call_id: str = "call-1", **head: object
    ) -> list[PushMessage]:
        """Build the pushes of a call, as the switchboard does."""
        now = self.clock.now()
        life = self.life(registration)
        details = CallDetails(call_id=call_id, sip_call_id="x@pbx", caller={"number": "200", "name": "Bob"})
        messages = []
        for one in self.targets(registration):
            if Purpose.CALL in one.purposes:
                a_head = PayloadHead(
                    id=uuid_from(keyed_hash(b"test", call_id)),
                    registration=registration.public_id,
                    generation=life.generation,
                    sent_at=now,
                    expires_at=now + 30 * SECOND,
                    stage="active",
                    life_expires_at=life.expires_at,
                )
                messages.append(call_message("phone", one, a_head, details))
        return messages


def policy(_app: str) -> LifetimePolicy:
    return policy_of(LifetimeOptions())


@pytest.fixture
async def pns(tmp_path: Path) -> AsyncIterator[FakePns]:
    async with FakePns(tmp_path) as fake:
        yield fake
        assert fake.thrown_out == []


@pytest.fixture
async def world(pns: FakePns) -> AsyncIterator[World]:
    clock = ManualClock()
    store = MemoryStore()
    lives = Lives(store, clock, policy, lambda _id: False)
    pool = PoolOptions(bulk_rate=1e6)
    async with service_for(pns, store=store, clock=clock, timers=clock, pool=pool) as service:
        courier = courier_of(store, clock, lives, service)
        running = asyncio.ensure_future(courier.run())
        await clock.settle()
        made = World(clock, store, lives, courier, pns, service, running)
        yield made
        made.running.cancel()
        await asyncio.wait([made.running])


def courier_of(
    store: MemoryStore, clock: ManualClock, lives: Lives, service: ApnsService | None, **caps: int
) -> Courier:
    options = LaneOptions()
    return Courier(
        store=store,
        clock=clock,
        timers=clock,
        texts=Catalogues(),
        services=lambda app, _provider: service if app == "phone" else None,
        lives=lives,
        entropy=os.urandom,
        policy=DeliveryPolicy(),
        options=replace(options, caps=dict.fromkeys(options.caps, caps.get("cap", 100))),
    )


async def test_a_warning_goes_to_the_notice_token_in_words_and_is_settled(world: World) -> None:
    registration = await world.enrol(display_name="Alice at work")
    end = world.clock.now() + 12 * HOUR
    await world.decide(registration, PushType.EXPIRY_WARNING, payload={"announced_at": end}, step=7)
    (push,) = await world.pushed()
    assert push.token == ALERT
    assert push.push_type == "alert"
    assert push.headers["apns-collapse-id"] == "life"
    assert push.headers["apns-expiration"] == str(end // 1000)
    assert push.payload["aps"]["alert"]["title"] == "Alice at work"
    assert "will expire soon" in push.payload["aps"]["alert"]["body"]
    ours = push.payload["wakerobin"]
    assert ours["type"] == "expiry-warning"
    assert ours["registration"] == registration.public_id
    assert ours["id"] == push.headers["apns-id"]
    assert ours["life"]["expires_at"] == world.life(registration).expires_at // 1000
    assert "warning-sent" in world.told(registration)
    assert world.life(registration).warned_at > 0


async def test_a_renewal_shows_nothing_and_is_noted_as_handed_over(world: World) -> None:
    registration = await world.enrol()
    await world.decide(registration, PushType.RENEW, deadline_at=0)
    (push,) = await world.pushed()
    assert push.token == ALERT  # a VoIP token would have to ring
    assert push.push_type == "background"
    assert push.payload["aps"] == {"content-available": 1}
    assert push.headers["apns-expiration"] == "0"
    assert world.life(registration).renewal_sent_at == world.clock.now()


async def test_an_account_without_a_name_is_called_by_its_address(world: World) -> None:
    registration = await world.enrol(locale="de-AT")
    await world.decide(registration, PushType.EXPIRED)
    (push,) = await world.pushed()
    assert push.payload["aps"]["alert"]["title"] == "user1@pbx.test"
    assert "lange nicht benutzt" in push.payload["aps"]["alert"]["body"]


async def test_a_use_between_decision_and_socket_removes_the_push_unsent(world: World) -> None:
    registration = await world.enrol()
    later = world.clock.now() + MINUTE
    await world.decide(registration, PushType.EXPIRY_WARNING, not_before=later)
    # The use voids the row itself; a row that a crash left behind is told by its generation.
    await world.lives.use(registration.id, "opened")
    old = world.life(registration).generation - 1
    await world.decide(registration, PushType.EXPIRY_WARNING, generation=old, step=3)
    await world.until(lambda: world.waiting() is None)
    assert world.pns.pushes == []


async def test_a_row_waits_until_its_time(world: World) -> None:
    registration = await world.enrol()
    await world.decide(registration, PushType.RENEW, not_before=world.clock.now() + 10 * MINUTE)
    await world.clock.run_until(world.clock.now() + 9 * MINUTE)
    assert world.pns.pushes == []
    await world.clock.run_until(world.clock.now() + 2 * MINUTE)
    await world.pushed()


async def test_a_push_service_in_trouble_is_asked_again_under_the_same_id(world: World) -> None:
    registration = await world.enrol()
    world.pns.next(Refuse(status=503, reason="ServiceUnavailable", retry_after="90"), Reset(code=2))
    await world.decide(registration, PushType.EXPIRED, deadline_at=world.clock.now() + DAY)
    await world.until(lambda: len(world.pns.pushes) == 1)
    began = world.clock.now()
    await world.clock.run_until(began + 80 * SECOND)
    assert len(world.pns.pushes) == 1  # Retry-After goes before the back-off
    await world.until(lambda: len(world.pns.pushes) == 3 and world.waiting() is None, within=10 * MINUTE)
    assert len({push.headers["apns-id"] for push in world.pns.pushes}) == 1
    assert {push.headers["apns-collapse-id"] for push in world.pns.pushes} == {"life"}
    assert world.told(registration).count("notice-sent") == 1


async def test_a_renewal_that_may_have_arrived_is_not_sent_again(world: World) -> None:
    registration = await world.enrol()
    world.pns.next(Kill(accepted=True))
    await world.decide(registration, PushType.RENEW)
    await world.pushed()
    assert "renewal-failed" in world.told(registration)


async def test_a_push_is_given_up_at_its_deadline(world: World) -> None:
    registration = await world.enrol()
    world.pns.always(Refuse(status=500, reason="InternalServerError"))
    deadline_at = world.clock.now() + 40 * MINUTE
    await world.decide(registration, PushType.EXPIRED, deadline_at=deadline_at)
    await world.until(lambda: world.waiting() is None, within=DAY)
    assert world.clock.now() <= deadline_at
    assert [push.reason for push in world.pns.pushes] == ["InternalServerError"] * 3
    assert "notice-failed" in world.told(registration)


async def test_a_row_whose_deadline_passed_while_the_server_was_down_is_not_sent(world: World) -> None:
    registration = await world.enrol()
    now = world.clock.now()
    await world.decide(registration, PushType.EXPIRED, deadline_at=now - 1, not_before=now - HOUR)
    await world.until(lambda: world.waiting() is None)
    assert world.pns.pushes == []
    assert "notice-failed" in world.told(registration)
    # The notice was the last thing kept for: where it would have gone is erased with it.
    assert ALERT not in [one.token.reveal() for one in world.targets(registration)]


async def test_a_refused_credential_keeps_the_push_until_it_is_mended(world: World) -> None:
    registration = await world.enrol()
    world.pns.next(Refuse(status=403, reason="InvalidProviderToken"))
    await world.decide(registration, PushType.EXPIRED, deadline_at=world.clock.now() + DAY)
    await world.until(lambda: len(world.pns.pushes) == 2 and world.waiting() is None, within=HOUR)
    assert "notice-sent" in world.told(registration)
    assert "notice-failed" not in world.told(registration)


async def test_an_app_without_a_push_service_keeps_its_push_until_the_deadline(world: World) -> None:
    registration = await world.enrol(app="other")
    deadline_at = world.clock.now() + HOUR
    await world.decide(registration, PushType.EXPIRED, deadline_at=deadline_at)
    await world.until(lambda: world.waiting() is None, within=2 * HOUR)
    assert world.clock.now() >= deadline_at - 15 * MINUTE
    assert "notice-failed" in world.told(registration)


async def test_a_gone_target_ends_and_the_row_with_it(world: World) -> None:
    registration = await world.enrol()
    world.clock.advance(HOUR)
    world.pns.forget(ALERT, at=world.clock.now() - MINUTE)
    await world.decide(registration, PushType.RENEW)
    await world.pushed()
    assert [one.token.reveal() for one in world.targets(registration)] == [VOIP]
    assert "target-gone" in world.told(registration)


async def test_a_row_for_whom_nobody_is_left_is_removed(world: World) -> None:
    only_calls = target(VOIP, purposes=frozenset({Purpose.CALL}))
    registration = await world.enrol(only_calls)
    await world.decide(registration, PushType.EXPIRY_WARNING)
    await world.until(lambda: world.waiting() is None)
    assert world.pns.pushes == []


async def test_of_two_targets_the_accepted_one_is_not_pushed_again(world: World) -> None:
    other = "cc" * 32
    registration = await world.enrol(target(ALERT), target(other))
    world.pns.of(other, Refuse(status=503, reason="Shutdown", retry_after="5"))
    await world.decide(registration, PushType.EXPIRED, deadline_at=world.clock.now() + DAY)
    await world.until(lambda: world.waiting() is None, within=HOUR)
    sent = sorted((push.token, push.status) for push in world.pns.pushes)
    assert sent == [(ALERT, 200), (other, 200), (other, 503)]
    assert world.told(registration).count("notice-sent") == 2


async def test_many_rows_go_out_once_each_and_no_more_at_once_than_the_lane_allows(pns: FakePns) -> None:
    clock = ManualClock()
    store = MemoryStore()
    lives = Lives(store, clock, policy, lambda _id: False)
    pool = PoolOptions(bulk_rate=1e6, bulk_in_flight=1000)
    tokens = [f"{number:064x}" for number in range(300)]
    pns.always(Slow(0.005))
    async with service_for(pns, store=store, clock=clock, timers=clock, pool=pool) as service:
        courier = courier_of(store, clock, lives, service, cap=20)
        world = World(clock, store, lives, courier, pns, service, asyncio.ensure_future(asyncio.sleep(0)))
        registrations = [await world.enrol(target(token)) for token in tokens]
        for registration in registrations:
            await world.decide(registration, PushType.RENEW)
        running = asyncio.ensure_future(courier.run())
        await _real(lambda: len(pns.pushes) >= 300 and world.waiting() is None, seconds=20.0)
        running.cancel()
        await asyncio.wait([running])
    assert sorted(push.token for push in pns.pushes) == tokens
    assert max(connection.most_streams for connection in pns.connections_ever) == 20


async def test_a_store_that_is_full_while_a_push_leaves_neither_loses_nor_repeats_it(world: World) -> None:
    registration = await world.enrol()
    world.pns.next(Slow(0.05))
    await world.decide(registration, PushType.EXPIRED)
    await _real(lambda: any(connection.most_streams for connection in world.pns.connections))
    world.store.break_next(*[Fault.BEFORE_COMMIT] * 5)
    await world.pns.wait_for(lambda push: True)
    await world.until(lambda: world.waiting() is None, within=10 * MINUTE)
    assert len(world.pns.pushes) == 1
    assert world.told(registration).count("notice-sent") == 1


async def test_a_store_that_is_full_when_a_push_is_claimed_delays_it(world: World) -> None:
    registration = await world.enrol()
    world.store.break_next(Fault.BEFORE_COMMIT)
    with pytest.raises(Exception, match="told to fail"):
        await world.decide(registration, PushType.EXPIRED)
    await world.decide(registration, PushType.EXPIRED)
    world.store.break_next(*[Fault.BEFORE_COMMIT] * 3)
    await world.until(lambda: len(world.pns.pushes) == 1 and world.waiting() is None, within=MINUTE)


async def test_after_a_kill_a_push_in_flight_goes_out_again_under_the_same_id(world: World) -> None:
    registration = await world.enrol()
    world.pns.next(Silence())
    await world.decide(registration, PushType.EXPIRED)
    await _real(lambda: len(world.pns.pushes) == 1)
    store = world.store.restarted()
    world.running.cancel()
    await asyncio.wait([world.running])
    lives = Lives(store, world.clock, policy, lambda _id: False)
    courier = courier_of(store, world.clock, lives, world.service)
    world.store, world.lives, world.courier = store, lives, courier
    world.running = asyncio.ensure_future(courier.run())
    await world.until(lambda: len(world.pns.pushes) == 2 and world.waiting() is None)
    first, second = world.pns.pushes
    assert first.headers["apns-id"] == second.headers["apns-id"]
    assert first.headers["apns-collapse-id"] == second.headers["apns-collapse-id"]


# Calls.


async def outcomes_of(world: World, messages: list[PushMessage], within: int = 40_000) -> list[Outcome]:
    outcomes: list[Outcome] = []
    world.courier.call_now(messages, lambda _m, outcome: outcomes.append(outcome), deadline(world))
    await world.until(lambda: len(outcomes) == len(messages), within)
    return outcomes


def deadline(world: World) -> float:
    return world.clock.monotonic() + 30


async def test_a_call_push_is_written_before_call_now_returns(world: World) -> None:
    registration = await world.enrol()
    await world.clock.settle()
    assert unread_octets(world.pns) == 0
    world.courier.call_now(world.call(registration), lambda _m, _o: None, deadline(world))
    assert unread_octets(world.pns) > 0  # and no other code has run since
    push = await world.pns.wait_for(lambda push: push.type == "call")
    assert push.token == VOIP
    assert push.payload["wakerobin"]["caller"] == {"uri": "", "number": "200", "name": "Bob"}


async def test_a_call_push_needs_no_store(world: World) -> None:
    registration = await world.enrol()
    messages = world.call(registration)
    await world.store.close()
    (outcome,) = await outcomes_of(world, messages)
    assert isinstance(outcome, Accepted)


async def test_a_repeated_invite_pushes_nothing_new_and_learns_the_same(world: World) -> None:
    registration = await world.enrol()
    outcomes: list[Outcome] = []
    for _ in range(3):
        world.courier.call_now(world.call(registration), lambda _m, o: outcomes.append(o), deadline(world))
    await world.until(lambda: len(outcomes) == 3)
    world.courier.call_now(world.call(registration), lambda _m, o: outcomes.append(o), deadline(world))
    assert len(outcomes) == 4
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert len(world.pns.pushes) == 1


async def test_another_call_and_the_same_call_after_a_minute_are_pushed(world: World) -> None:
    registration = await world.enrol()
    await outcomes_of(world, world.call(registration, "call-1"))
    await outcomes_of(world, world.call(registration, "call-2"))
    world.clock.advance(61 * SECOND)
    await outcomes_of(world, world.call(registration, "call-1"))
    assert len(world.pns.pushes) == 3


async def test_a_call_meets_a_push_service_in_trouble_once_more_after_a_quarter_second(world: World) -> None:
    registration = await world.enrol()
    world.pns.next(Refuse(status=503, reason="ServiceUnavailable"))
    began = world.clock.now()
    (outcome,) = await outcomes_of(world, world.call(registration))
    assert isinstance(outcome, Accepted)
    assert world.clock.now() - began < SECOND
    assert len(world.pns.pushes) == 2


async def test_a_call_is_tried_twice_and_no_more(world: World) -> None:
    registration = await world.enrol()
    world.pns.always(Refuse(status=500, reason="InternalServerError"))
    (outcome,) = await outcomes_of(world, world.call(registration))
    assert isinstance(outcome, Unavailable)
    assert len(world.pns.pushes) == 2


@pytest.mark.parametrize(
    ("refuse", "kind"),
    [
        (Refuse(status=429, reason="TooManyRequests"), Throttled),
        (Refuse(status=400, reason="BadPriority"), Rejected),
        (Refuse(status=403, reason="InvalidProviderToken"), Rejected),
    ],
)
async def test_a_call_that_is_refused_is_not_tried_again(
    world: World, refuse: Refuse, kind: type[Outcome]
) -> None:
    registration = await world.enrol()
    world.pns.next(refuse)
    (outcome,) = await outcomes_of(world, world.call(registration))
    assert isinstance(outcome, kind)
    assert len(world.pns.pushes) == 1


async def test_a_call_whose_connection_breaks_goes_out_twice_at_most(world: World) -> None:
    registration = await world.enrol()
    world.pns.always(Kill())
    (outcome,) = await outcomes_of(world, world.call(registration))
    assert isinstance(outcome, Unavailable)
    assert outcome.processed is None
    assert len(world.pns.pushes) == 2


async def test_a_call_target_that_is_gone_is_removed(world: World) -> None:
    registration = await world.enrol()
    world.clock.advance(HOUR)
    world.pns.forget(VOIP, at=world.clock.now() - MINUTE)
    (outcome,) = await outcomes_of(world, world.call(registration))
    assert isinstance(outcome, TargetGone)
    await world.until(lambda: VOIP not in [one.token.reveal() for one in world.targets(registration)])
    # Nothing can ring any more: the notice token says so.
    await world.until(lambda: any(push.type == "targets-needed" for push in world.pns.pushes))


async def test_an_accepted_call_is_noted_at_its_target(world: World) -> None:
    registration = await world.enrol()
    await outcomes_of(world, world.call(registration))
    await world.until(
        lambda: any(one.accepted_at and one.token.reveal() == VOIP for one in world.targets(registration))
    )


async def test_a_call_to_an_app_without_a_push_service_says_so_at_once(world: World) -> None:
    registration = await world.enrol()
    outcomes: list[Outcome] = []
    messages = [replace(message, app="other") for message in world.call(registration)]
    world.courier.call_now(messages, lambda _m, outcome: outcomes.append(outcome), deadline(world))
    assert outcomes == [Rejected("no apns in the settings of this app", ours=True)]


async def test_no_push_leaves_after_its_call_is_over(world: World) -> None:
    registration = await world.enrol()
    await world.pns.close()
    await world.clock.settle()
    outcomes: list[Outcome] = []
    world.courier.call_now(world.call(registration), lambda _m, o: outcomes.append(o), deadline(world))
    world.clock.advance(5 * SECOND)
    await world.clock.settle()
    assert outcomes == []
    world.courier.call_over("call-1")
    assert [type(outcome) for outcome in outcomes] == [Unavailable]
    await world.pns.start()
    await world.until(lambda: len(world.pns.connections) >= 2)
    await world.clock.run_until(world.clock.now() + 5 * SECOND)
    assert world.pns.pushes == []


async def test_the_second_try_of_a_call_that_is_over_is_not_made(world: World) -> None:
    registration = await world.enrol()
    world.pns.next(Refuse(status=503, reason="ServiceUnavailable"))
    outcomes: list[Outcome] = []
    world.courier.call_now(world.call(registration), lambda _m, o: outcomes.append(o), deadline(world))
    await _real(lambda: len(world.pns.pushes) == 1)
    await world.clock.settle()
    world.courier.call_over("another-call")
    assert outcomes == []
    world.courier.call_over("call-1")
    assert outcomes == [Unavailable("the call is over", processed=False)]
    await world.clock.run_until(world.clock.now() + 5 * SECOND)
    assert len(world.pns.pushes) == 1
    assert len(outcomes) == 1


async def test_a_fault_in_what_is_told_of_a_call_stops_no_other_call(world: World) -> None:
    registration = await world.enrol()

    def fault(_message: PushMessage, _outcome: Outcome) -> None:
        raise RuntimeError("a bug")

    world.courier.call_now(world.call(registration, "call-1"), fault, deadline(world))
    (outcome,) = await outcomes_of(world, world.call(registration, "call-2"))
    assert isinstance(outcome, Accepted)
    assert world.pns.connections_seen == 2


async def test_a_call_goes_out_beside_two_hundred_notices(world: World) -> None:
    caller = await world.enrol()
    for number in range(200):
        registration = await world.enrol(target(f"{number:064x}"))
        await world.decide(registration, PushType.EXPIRED)
    (outcome,) = await outcomes_of(world, world.call(caller))
    assert isinstance(outcome, Accepted)
    call_connection = next(push.connection for push in world.pns.pushes if push.type == "call")
    await world.until(lambda: len(world.pns.pushes) == 201 and world.waiting() is None)
    others = {push.connection for push in world.pns.pushes if push.type != "call"}
    assert call_connection not in others


async def _real(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait for sockets, in real time, with the server's clock standing still."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0)
