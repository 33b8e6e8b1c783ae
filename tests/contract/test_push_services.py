"""What every push service promises (`ports.push`), whoever's it is: one suite, a row for each provider."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.push_benches import BENCHES, Bench
from tests.system.pushing import TOKEN, UUID, message
from wakerobin.core.pushes import (
    Accepted,
    Outcome,
    PushMessage,
    PushType,
    Rejected,
    TargetGone,
    Throttled,
    Unavailable,
)
from wakerobin.testing.pns_script import Behaviour, Kill, Reset, Silence

OTHER = UUID.replace("c3", "d4", 1)


@pytest.fixture(params=BENCHES)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async with request.param(tmp_path) as made:
        yield made


@pytest.fixture(params=list(PushType))
def any_message(request: pytest.FixtureRequest) -> PushMessage:
    return message(request.param)


async def send(bench: Bench, one: PushMessage, seconds: float = 5.0) -> Outcome:
    return await bench.service.send(bench.address(one), asyncio.get_running_loop().time() + seconds)


async def assert_carried_once(bench: Bench, one: PushMessage) -> None:
    """Assert that it is accepted, or refused where this provider has no way to carry it."""
    outcome = await send(bench, one)
    if one.type in bench.refuses:
        assert isinstance(outcome, Rejected)
        assert not outcome.ours
        assert bench.received() == []
    else:
        assert isinstance(outcome, Accepted)
        assert bench.received() == [(TOKEN, one.id)]


async def test_a_push_of_every_type_is_accepted_once(bench: Bench, any_message: PushMessage) -> None:
    await assert_carried_once(bench, any_message)


async def test_a_service_that_was_not_warmed_connects_when_it_is_needed(bench: Bench) -> None:
    assert isinstance(await send(bench, message()), Accepted)


async def test_warming_twice_is_warming_once(bench: Bench) -> None:
    await bench.service.warm()
    await bench.service.warm()
    assert isinstance(await send(bench, message()), Accepted)


async def test_a_gone_target_says_since_when(bench: Bench) -> None:
    bench.mood(bench.gone)
    outcome = await send(bench, message())
    assert isinstance(outcome, TargetGone)
    assert outcome.certain
    assert outcome.gone_at == bench.gone_at


async def test_a_forgotten_device_is_a_gone_target(bench: Bench) -> None:
    bench.forget(TOKEN)
    assert isinstance(await send(bench, message(bench.quiet)), TargetGone)
    assert isinstance(await send(bench, message(token="cd" * 32)), Accepted)


async def test_too_many_pushes_say_when_to_come_again(bench: Bench) -> None:
    bench.mood(bench.throttled)
    outcome = await send(bench, message(PushType.EXPIRED))
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after == 9_000


async def test_trouble_over_there_says_when_to_come_again_and_that_nothing_was_sent(bench: Bench) -> None:
    bench.mood(bench.in_trouble)
    outcome = await send(bench, message(PushType.EXPIRED))
    assert isinstance(outcome, Unavailable)
    assert outcome.retry_after == 9_000
    assert outcome.processed is False


async def test_a_wrong_credential_is_ours_and_a_malformed_push_is_not(bench: Bench) -> None:
    bench.mood(bench.misconfigured)
    outcome = await send(bench, message(PushType.EXPIRED))
    assert isinstance(outcome, Rejected)
    assert outcome.ours
    bench.mood(bench.malformed)
    outcome = await send(bench, message(PushType.EXPIRED))
    assert isinstance(outcome, Rejected)
    assert not outcome.ours


async def test_silence_ends_at_the_deadline_as_unknown(bench: Bench) -> None:
    bench.mood(Silence())
    began = asyncio.get_running_loop().time()
    outcome = await send(bench, message(bench.quiet), seconds=0.3)
    assert isinstance(outcome, Unavailable)
    assert outcome.processed is None
    assert asyncio.get_running_loop().time() - began < 3.0


async def test_what_is_not_wanted_any_more_in_its_turn_is_not_sent(bench: Bench) -> None:
    outcomes: list[Outcome] = []
    deadline = asyncio.get_running_loop().time() + 5.0
    # Nothing is connected yet, so both wait for their turn.
    bench.service.begin(bench.address(message(bench.quiet)), deadline, outcomes.append, lambda: False)
    other = message(PushType.EXPIRED)
    sent = await send(bench, replace(other, id=OTHER, payload=other.payload | {"id": OTHER}))
    assert isinstance(sent, Accepted)
    assert bench.received() == [(TOKEN, OTHER)]
    (outcome,) = outcomes
    assert isinstance(outcome, Unavailable)
    assert outcome.processed is False


async def test_a_deadline_that_has_passed_sends_nothing(bench: Bench) -> None:
    outcome = await send(bench, message(), seconds=-1.0)
    assert isinstance(outcome, Unavailable)
    assert outcome.processed is False
    assert bench.received() == []


async def test_what_was_certainly_not_processed_is_sent_again_by_the_service_itself(
    bench: Bench, any_message: PushMessage
) -> None:
    bench.mood(Reset())
    await assert_carried_once(bench, any_message)


async def test_what_may_have_been_processed_is_repeated_for_calls_only(bench: Bench) -> None:
    bench.mood(Kill())
    assert isinstance(await send(bench, message()), Accepted)
    bench.mood(Kill())
    outcome = await send(bench, message(PushType.EXPIRY_WARNING))
    assert isinstance(outcome, Unavailable)
    assert outcome.processed is None


async def test_a_service_out_of_reach_is_unavailable_and_not_an_exception(bench: Bench) -> None:
    await bench.stop()
    for type_ in (PushType.CALL, bench.quiet):
        outcome = await send(bench, message(type_), seconds=0.4)
        assert isinstance(outcome, Unavailable)
        assert outcome.processed is False
        assert outcome.reason


async def test_begin_reports_each_outcome_once_and_in_any_mood(bench: Bench) -> None:
    outcomes: list[Outcome] = []
    deadline = asyncio.get_running_loop().time() + 5
    moods: list[Behaviour] = [bench.gone, bench.throttled, Kill(), Reset(), bench.in_trouble]
    for mood in moods:
        bench.mood(mood)
    for number in range(20):
        one = bench.address(message(PushType.EXPIRED, f"{number:064x}"))
        bench.service.begin(one, deadline, outcomes.append)
    async with asyncio.timeout(5):
        while len(outcomes) < 20:
            await asyncio.sleep(0)
    await bench.service.close()
    assert len(outcomes) == 20


async def test_a_withdrawn_push_still_has_one_outcome(bench: Bench) -> None:
    outcomes: list[Outcome] = []
    attempt = bench.service.begin(
        bench.address(message()), asyncio.get_running_loop().time() + 5, outcomes.append
    )
    attempt.withdraw()
    attempt.withdraw()
    async with asyncio.timeout(5):
        while not outcomes:
            await asyncio.sleep(0)
    await bench.service.close()
    assert len(outcomes) == 1
    assert bench.received() == []


async def test_closing_ends_what_is_on_its_way_and_what_comes_after(bench: Bench) -> None:
    bench.mood(Silence())
    waiting = asyncio.ensure_future(send(bench, message(bench.quiet), seconds=60))
    await asyncio.sleep(0)
    await bench.service.close()
    assert isinstance(await waiting, Unavailable)
    outcome = await send(bench, message())
    assert isinstance(outcome, Unavailable)
    assert outcome.processed is False


@pytest.mark.parametrize("token", ["", " ", "\r\n", "é", "a" * 10_000, "../..", "\x00"])
async def test_a_token_that_is_none_is_refused_and_harms_nothing(bench: Bench, token: str) -> None:
    outcome = await send(bench, message(token=token))
    assert isinstance(outcome, TargetGone | Rejected)
    assert isinstance(await send(bench, message()), Accepted)


async def test_odd_texts_arrive_or_are_refused_but_break_nothing(bench: Bench) -> None:
    odd = ["\x00", "\ud800", "😀" * 2000, '"\\\n', "\u202e", ""]
    for text in odd:
        one = replace(message(PushType.EXPIRED), title=text, text=text, collapse_key=text)
        assert isinstance(await send(bench, one), Accepted | Rejected)
    assert isinstance(await send(bench, message()), Accepted)
