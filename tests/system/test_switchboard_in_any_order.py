"""The whole switchboard, its messages held back and let go in any order: no lost answer, no ghost."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.system.calls_world import PBX, SECOND, World
from tests.system.faults import faults
from tests.system.held_back import HeldBack
from tests.system.on_the_wire import finals
from tests.system.stories import nothing_is_left
from wakerobin import metrics
from wakerobin.core.call import CallPolicy
from wakerobin.core.pushes import Accepted, Outcome, Rejected
from wakerobin.testing.pbx_call import FakeCall
from wakerobin.testing.phone import FakePhone
from wakerobin.testing.phone_call import PhoneCall

T = TypeVar("T")
INSTALLATIONS = 3
LONGEST_AWAY = 5_000
GIVEN_UP = "SIP;cause=487"


def gauges() -> float:
    return sum(sample.value for metric in metrics.CALLS_HELD.collect() for sample in metric.samples)


class AnyOrder(RuleBasedStateMachine):
    """One account, three phones that take every copy of an INVITE for a call of its own, one call."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.faults = faults()
        self.phones: list[FakePhone] = []
        self.copies: list[PhoneCall] = []
        self.away: set[int] = set()
        """Phones that have moved and have not registered since."""
        self.world: World
        self.running: AbstractAsyncContextManager[None]
        self.call: FakeCall
        self.post: HeldBack

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @initialize(
        awake=st.integers(0, 3),
        policy=st.builds(
            CallPolicy,
            ringback=st.sampled_from(["immediate", "pushed", "device"]),
            decline_all=st.booleans(),
            wake_timeout=st.sampled_from([5.0, 30.0]),
            ring_timeout=st.sampled_from([15.0, 120.0]),
        ),
        outcome=st.sampled_from([Accepted(), Rejected("BadDeviceToken"), None]),
    )
    def begin(self, awake: int, policy: CallPolicy, outcome: Outcome | None) -> None:
        async def work() -> None:
            self.world = world = World(call=policy)
            self.running = world.running()
            await self.running.__aenter__()
            account = await world.enrol(registrations=INSTALLATIONS)
            self.post = HeldBack(world)
            for number, registration in enumerate(world.registrations(account)):
                phone = world.phone(address=f"203.0.113.{number + 1}", instance=registration.sip_instance)
                phone.on_call = self.copies.append
                self.phones.append(phone)
                if number < awake:
                    await world.do(phone.register())
            await world.run_for(20 * SECOND)
            world.pushes.outcome = lambda _push: outcome
            self.call = world.pbx.call("alice")
            await world.clock.settle()

        self.run(work())

    # What travels

    @rule(who=st.sampled_from([PBX[0], "203.0.113.1", "203.0.113.2"]))
    def somebody_is_cut_off(self, who: str) -> None:
        self.post.keeps.add(who)

    @rule()
    def everybody_is_reached_again(self) -> None:
        async def work() -> None:
            self.post.close()
            await self.world.clock.settle()

        self.run(work())

    @precondition(lambda self: self.post.kept)
    @rule(which=st.integers(0, 9))
    def a_message_arrives_late(self, which: int) -> None:
        async def work() -> None:
            self.post.hand_out(which)
            await self.world.clock.settle()

        self.run(work())

    # What people do

    @rule(number=st.integers(0, INSTALLATIONS - 1))
    def a_phone_registers(self, number: int) -> None:
        async def work() -> None:
            self.away.discard(number)
            await self.world.do(self.phones[number].register())
            await self.world.clock.settle()

        self.run(work())

    @rule(number=st.integers(0, INSTALLATIONS - 1))
    def a_phone_goes_into_another_network(self, number: int) -> None:
        endpoint: Any = self.phones[number].endpoint
        last = int(endpoint.place[0].rpartition(".")[2])
        endpoint.roam(f"203.0.113.{last % 200 + 10}")
        self.away.add(number)

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 9))
    def a_phone_rings(self, which: int) -> None:
        self.does(which, PhoneCall.ring)

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 9))
    def a_phone_answers(self, which: int) -> None:
        self.does(which, PhoneCall.answer)

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 9), status=st.sampled_from([302, 401, 480, 486, 500, 503, 600, 603, 606]))
    def a_phone_refuses(self, which: int, status: int) -> None:
        self.does(which, lambda call: call.decline(status))

    def does(self, which: int, what: Any) -> None:
        async def work() -> None:
            what(self.open[which % len(self.open)])
            await self.world.clock.settle()

        self.run(work())

    @rule()
    def the_caller_gives_up(self) -> None:
        async def work() -> None:
            if not self.call.final:
                self.call.cancel(GIVEN_UP)
            await self.world.clock.settle()

        self.run(work())

    @rule(number=st.integers(0, INSTALLATIONS - 1), everywhere=st.booleans())
    def the_user_declines_by_the_app(self, number: int, *, everywhere: bool) -> None:
        async def work() -> None:
            world = self.world
            found = world.store.read(lambda tx: tx.calls.of_account(0, 10))
            registration = world.store.read(lambda tx: tx.registrations.get(number + 1))
            if found and registration is not None:
                call_id = world.switchboard.call_id_for(registration, found[0])
                world.switchboard.decline(registration, call_id, everywhere=everywhere, status=486)
            await world.clock.settle()

        self.run(work())

    @rule(milliseconds=st.sampled_from([100, 1_000, 2_000, 5_000, 12_000, 40_000]))
    def time_passes(self, milliseconds: int) -> None:
        async def work() -> None:
            if milliseconds > LONGEST_AWAY:
                await self.come_back()
            await self.world.run_for(milliseconds)

        self.run(work())

    # What must be so

    @invariant()
    def the_pbx_never_gets_a_second_final_response(self) -> None:
        if self.phones:
            assert len(finals(self.world)) <= 1

    def teardown(self) -> None:
        try:
            if self.phones:
                self.run(self._end())
        finally:
            self.runner.close()

    async def _end(self) -> None:
        world = self.world
        self.post.close()
        await self.come_back()
        await world.run_for(200 * SECOND)
        for phone in self.phones:
            await world.do(phone.register())  # or their registrations would expire before the BYE
        await world.run_for(40 * SECOND)
        assert len(finals(world)) == 1
        talking = [copy for copy in self.copies if not copy.is_over]
        if self.call.answer is None:
            assert talking == [], f"it rings on, or was answered and left alone: {talking}"
        elif not self.call.is_over:
            assert [copy.tag for copy in talking] == [self.call.answer.to_tag]
            assert talking[0].is_acknowledged
            self.call.hang_up()
        await nothing_is_left(world)
        assert all(copy.is_over for copy in self.copies)
        # The winner's ACK is the PBX's to send: one that was cut off for half a minute has not.
        losers = [copy for copy in self.copies if copy.answered_with and copy.tag not in self.winners()]
        assert all(copy.is_acknowledged for copy in losers)
        assert gauges() == 0
        assert faults() == self.faults
        await self.running.__aexit__(None, None, None)

    def winners(self) -> set[str | None]:
        """Return the tags of the answers that went to the PBX."""
        sent = [one for one in self.world.sent_to(PBX[0]) if not one.is_request and one.status == 200]
        return {one.to_tag for one in sent if one.cseq.method == "INVITE"}

    async def come_back(self) -> None:
        """Let whoever has another network register over it, as an app does that notices."""
        for number in sorted(self.away):
            await self.world.do(self.phones[number].register())
        self.away.clear()

    @property
    def open(self) -> list[PhoneCall]:
        return [copy for copy in self.copies if not copy.is_over and copy.answered_with is None]


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=40, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
