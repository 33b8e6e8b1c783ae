"""The caller gives up at each step of a waking phone, and the CANCEL arrives at once or last of all."""

from __future__ import annotations

import pytest

from tests.system.calls_world import SECOND, World
from tests.system.held_back import HeldBack
from tests.system.on_the_wire import FIRST, finals, to_phone
from tests.system.stories import nothing_is_left, records
from wakerobin import metrics
from wakerobin.core.call import CallState
from wakerobin.core.pushes import Accepted, Outcome, PushMessage
from wakerobin.testing.pbx_call import FakeCall
from wakerobin.testing.phone import FakePhone

GAVE_UP = 'Q.850;cause=16;text="Normal call clearing"'
STEPS = ("invite", "push", "register", "invited", "rings", "answers")
"""What happens one after the other where nobody gives up."""


class Race:
    """One call to one sleeping phone, step by step; the phone's part of the network is in our hands."""

    def __init__(self) -> None:
        self.world = World()
        self.post = HeldBack(self.world)
        self.world.pushes.outcome = self._keeps_the_push
        self.push_settles: list[PushMessage] = []
        self.phone: FakePhone
        self.call: FakeCall

    def _keeps_the_push(self, message: PushMessage) -> Outcome | None:
        self.push_settles.append(message)
        return Accepted() if self.is_push_taken else None

    is_push_taken = True

    async def begin(self) -> None:
        await self.world.enrol()
        self.phone = self.world.phone(address=FIRST)
        self.phone.on_call = lambda _call: None

    async def step(self, name: str) -> None:
        """Let this happen, where it still can."""
        match name:
            case "invite":
                self.call = self.world.pbx.call("alice")
            case "push":
                await self.world.run_for(100)
            case "register":
                self.post.keeps.add(FIRST)
                await self.world.do(self.phone.register())
            case "invited":
                self.post.hand_out_those(b"INVITE")
            case "rings":
                self._let_the_phone(180)
            case _:
                self._let_the_phone(200)
        await self.world.clock.settle()

    def _let_the_phone(self, status: int) -> None:
        """It speaks, if it has the call, and what it says arrives at once, whatever else is on its way."""
        if not self.phone.calls or self.phone.calls[0].is_over:
            return
        call = self.phone.calls[0]
        if status == 180:
            call.ring()
        else:
            call.answer()
        self.post.hand_out_those(b"SIP/2.0")


@pytest.mark.parametrize("after", STEPS)
@pytest.mark.parametrize("arrives", ["at once", "after all else"])
async def test_a_caller_who_gives_up_at_any_step_is_answered_once_and_no_phone_is_left_alone(
    after: str, arrives: str
) -> None:
    race = Race()
    world = race.world
    async with world.running():
        await race.begin()
        for name in STEPS:
            await race.step(name)
            if name == after:
                race.call.cancel(GAVE_UP)
                await world.clock.settle()
                if arrives == "at once":
                    race.post.hand_out_those(b"CANCEL")
                    race.post.hand_out_those(b"SIP/2.0")
                    await world.clock.settle()
        race.post.close()
        await world.run_for(5 * SECOND)
        # An answer counts if it was faster than our 487: where it rang, and its CANCEL had not come.
        is_answered = after == "answers" or (after == "rings" and arrives == "after all else")
        assert finals(world) == [200 if is_answered else 487]
        assert race.call.final == finals(world)[0]
        (record,) = records(world)
        assert record.state == (CallState.ANSWERED if is_answered else CallState.CANCELLED)
        for at_phone in race.phone.calls:
            assert at_phone.is_over != is_answered
            assert at_phone.answered_with is None or at_phone.is_acknowledged
        assert {one.get("reason") for one in to_phone(world, "CANCEL")} <= {GAVE_UP}
        if is_answered:
            race.call.hang_up()
            await world.until(lambda: race.phone.calls[0].is_over)
        await nothing_is_left(world)
        assert sum(s.value for m in metrics.CALLS_HELD.collect() for s in m.samples) == 0


async def test_a_call_that_is_given_up_before_its_push_has_left_lets_no_push_leave() -> None:
    """What the courier has not sent yet, it is told not to send."""
    race = Race()
    race.is_push_taken = False
    world = race.world
    async with world.running():
        await race.begin()
        await race.step("invite")
        race.call.cancel(GAVE_UP)
        await world.until(lambda: race.call.final == 487, within=100)
        (push,) = world.pushes.sent
        assert world.pushes.over == [push.payload["call_id"]]
        await nothing_is_left(world)


@pytest.mark.parametrize("milliseconds", [0, 1, 499, 1_999, 2_001, 31_000])
async def test_an_answer_so_long_after_the_cancel_is_never_lost(milliseconds: int) -> None:
    """Before our 487, after two seconds, it goes to the PBX; later it is acknowledged and ended."""
    race = Race()
    world = race.world
    async with world.running():
        await race.begin()
        for name in STEPS[:-1]:
            await race.step(name)
        race.call.cancel(GAVE_UP)
        await world.run_for(milliseconds)
        race.phone.calls[0].answer()
        race.post.hand_out_those(b"SIP/2.0 200")
        await world.clock.settle()
        race.post.close()
        await world.run_for(3 * SECOND)
        there = race.phone.calls[0]
        assert there.is_acknowledged
        if milliseconds < 2_000:
            assert finals(world) == [200]
            assert not there.is_over
            race.call.hang_up()
        else:
            assert finals(world) == [487]
            assert there.is_over
            assert to_phone(world, "BYE")[0].get("reason") == GAVE_UP
        await nothing_is_left(world)
