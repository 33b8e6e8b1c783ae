"""Hundreds of calls in disorder: each has exactly one final response, and nothing is left of them."""

from __future__ import annotations

import pytest

from tests.system.calls_world import SECOND
from tests.system.faults import faults
from tests.system.stories import nothing_is_left, records
from tests.system.storm import Storm
from wakerobin.core.call import CallState

CALLS = 50


@pytest.mark.parametrize("seed", range(10))
async def test_each_call_has_one_final_response_and_nothing_is_left_of_it(seed: int) -> None:
    storm, before = Storm(seed), faults()
    world = storm.world
    async with world.running():
        await storm.begin()
        for _ in range(CALLS):
            storm.one_call()
            await world.run_for(storm.chance.randint(1, 20) * SECOND)
        storm.settle()
        await world.run_for(400 * SECOND)
        await nothing_is_left(world)
    assert len(storm.calls) == CALLS
    finals = storm.finals()
    for call in storm.calls:
        # A PBX whose INVITE was lost seven times has never reached us.
        assert finals[call.call_id] == 1, (call, finals[call.call_id])
    assert storm.left_alone() == []
    states = {record.state for record in records(world)}
    assert states >= {CallState.ANSWERED, CallState.CANCELLED, CallState.MISSED}
    assert faults() == before


@pytest.mark.parametrize("seed", range(10, 16))
async def test_nor_does_a_server_that_is_killed_again_and_again_owe_anybody_an_answer(seed: int) -> None:
    storm, before = Storm(seed), faults()
    world = storm.world
    async with world.running():
        await storm.begin()
    for _ in range(CALLS):
        async with world.running():
            storm.one_call()
            await world.run_for(storm.chance.randint(1, 20) * SECOND)
        world.kill()
    storm.settle()
    async with world.running():
        await world.run_for(400 * SECOND)
        await nothing_is_left(world)
    finals = storm.finals()
    assert {call.call_id for call in storm.calls} == set(finals)
    assert set(finals.values()) == {1}
    assert faults() == before
