"""What is learnt of devices: their environment, and whether a push ever reached them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.system.couriers import running_world
from tests.system.pushing import message, send_all, service_for, soon
from wakerobin.core.pushes import Accepted, Outcome, PushMessage, PushType, TargetGone, Unavailable
from wakerobin.push.apns import ApnsService
from wakerobin.push.connection import PoolOptions
from wakerobin.testing.pns import FakePns
from wakerobin.testing.pns_script import Kill, Refuse, Silence

OF_NEITHER = Refuse(status=400, reason="BadDeviceToken")
TRYING = PoolOptions(trial_connections=1, bulk_rate=1e6, repeat_after=0.1)


@pytest.fixture
async def pns(tmp_path: Path) -> AsyncIterator[FakePns]:
    async with FakePns(tmp_path) as fake:
        yield fake
        assert fake.thrown_out == []


@contextlib.asynccontextmanager
async def both(pns: FakePns, folder: Path) -> AsyncIterator[tuple[ApnsService, FakePns]]:
    """Open a service with a second environment, and that environment."""
    folder = folder / "sandbox"
    folder.mkdir()
    async with FakePns(folder) as sandbox:
        bundle = folder / "both.pem"
        bundle.write_bytes(pns.ca_file.read_bytes() + sandbox.ca_file.read_bytes())
        sandbox.team = pns.team
        options = replace(pns.options(), ca_file=str(bundle))
        async with service_for(pns, options=options, second_url=sandbox.url, pool=TRYING) as service:
            yield service, sandbox
        assert sandbox.thrown_out == []


def unknown(type_: PushType = PushType.CALL, token: str = "12" * 32) -> PushMessage:
    one = message(type_, token)
    return replace(one, target=replace(one.target, accepted_at=0))


async def test_a_device_of_the_sandbox_is_found_there_once_and_asked_there_from_then_on(
    pns: FakePns, tmp_path: Path
) -> None:
    pns.always(OF_NEITHER)
    async with both(pns, tmp_path) as (service, sandbox):
        outcome = await service.send(message(), soon())
        assert isinstance(outcome, Accepted)
        assert outcome.environment == "sandbox"
        assert len(pns.pushes) == 1
        for type_ in (PushType.CALL, PushType.RENEW, PushType.EXPIRED):
            assert isinstance(await service.send(message(type_), soon()), Accepted)
        assert len(pns.pushes) == 1  # asked no more
        assert len(sandbox.pushes) == 4


async def test_what_was_remembered_of_a_device_goes_before_what_is_asked(
    pns: FakePns, tmp_path: Path
) -> None:
    async with both(pns, tmp_path) as (service, sandbox):
        one = message()
        stored = replace(one, target=replace(one.target, environment="sandbox"))
        outcome = await service.send(stored, soon())
        assert isinstance(outcome, Accepted)
        assert outcome.environment == ""  # nothing new
        assert pns.pushes == []
        assert len(sandbox.pushes) == 1


@pytest.mark.parametrize("is_call", [True, False])
async def test_what_was_found_out_is_stored_by_whoever_carries_pushes(
    pns: FakePns, tmp_path: Path, *, is_call: bool
) -> None:
    """By calls, which have no row in the outbox, and by everything else, which has."""
    pns.always(OF_NEITHER)
    folder = tmp_path / "sandbox"
    folder.mkdir()
    async with FakePns(folder) as sandbox:
        pns.ca_file.write_bytes(pns.ca_file.read_bytes() + sandbox.ca_file.read_bytes())
        sandbox.team = pns.team
        async with running_world(pns, second_url=sandbox.url) as world:
            sandbox.now = pns.now
            registration = await world.enrol()
            if is_call:
                deadline = world.clock.monotonic() + 30
                world.courier.call_now(world.call(registration), lambda _m, _o: None, deadline)
            else:
                await world.decide(registration, PushType.MISSED_CALL)
            await world.until(lambda: "sandbox" in [one.environment for one in world.targets(registration)])


async def test_a_device_of_production_is_remembered_as_that(pns: FakePns, tmp_path: Path) -> None:
    async with both(pns, tmp_path) as (service, sandbox):
        outcome = await service.send(message(), soon())
        assert isinstance(outcome, Accepted)
        assert outcome.environment == "production"
        assert sandbox.pushes == []


async def test_a_device_that_neither_environment_knows_is_suspect(pns: FakePns, tmp_path: Path) -> None:
    pns.always(OF_NEITHER)
    async with both(pns, tmp_path) as (service, sandbox):
        sandbox.always(OF_NEITHER)
        outcome = await service.send(message(), soon())
        assert outcome == TargetGone("BadDeviceToken", certain=False)
        assert (len(pns.pushes), len(sandbox.pushes)) == (1, 1)


async def test_where_there_is_one_environment_none_is_remembered(pns: FakePns) -> None:
    async with service_for(pns) as service:
        outcome = await service.send(message(), soon())
        assert isinstance(outcome, Accepted)
        assert outcome.environment == ""


async def test_a_call_to_a_device_that_no_push_reached_yet_stays_off_the_call_connections(
    pns: FakePns,
) -> None:
    async with service_for(pns, pool=TRYING) as service:
        calls = {connection.number for connection in pns.connections}
        assert isinstance(await service.send(unknown(), soon()), Accepted)
        assert pns.pushes[-1].connection not in calls
        # It has been reached: the next call is one like all others, before anything was stored.
        assert isinstance(await service.send(unknown(), soon()), Accepted)
        assert pns.pushes[-1].connection in calls


async def test_a_flood_of_bad_tokens_leaves_the_call_connections_untouched(pns: FakePns) -> None:
    """Apple slows down and closes the connection that brings many bad device tokens."""
    bad = [f"{number:064x}" for number in range(60)]
    for token in bad:
        pns.of(token, Refuse(status=400, reason="BadDeviceToken"))
    async with service_for(pns, pool=TRYING) as service:
        calls = {connection.number for connection in pns.connections}
        outcomes = await send_all(service, [unknown(token=token) for token in bad])
        assert all(isinstance(outcome, TargetGone) for outcome in outcomes)
        assert calls.isdisjoint(push.connection for push in pns.pushes)
        assert isinstance(await service.send(message(), soon()), Accepted)
        assert pns.pushes[-1].connection in calls
        assert calls <= {connection.number for connection in pns.connections}


async def test_a_call_on_trial_is_repeated_like_any_other_and_still_not_over_the_call_connections(
    pns: FakePns,
) -> None:
    async with service_for(pns, pool=TRYING) as service:
        calls = {connection.number for connection in pns.connections}
        pns.next(Silence())
        assert isinstance(await service.send(unknown(), soon()), Accepted)
        pns.next(Kill())
        assert isinstance(await service.send(unknown(token="34" * 32), soon()), Accepted)
        assert calls.isdisjoint(push.connection for push in pns.pushes)


async def test_the_call_connections_go_to_different_addresses(pns: FakePns) -> None:
    """Apple gives out several; when the machine behind one of them is ill, the other serves calls."""

    async def two(_host: str, port: int) -> list[tuple[str, int]]:
        return [("127.0.0.1", port), ("::ffff:127.0.0.1", port)]

    async with service_for(pns, resolve=two) as service:
        lines = service._pools[0]._call_lines
        addresses = [line.connection.address for line in lines if line.connection]
        assert len(set(addresses)) == 2
        pns.connections[0].kill()  # its replacement goes where the other does not
        assert isinstance(await service.send(message(), soon()), Accepted)


async def test_a_call_that_is_over_is_not_tried_in_the_other_environment(
    pns: FakePns, tmp_path: Path
) -> None:
    pns.always(OF_NEITHER)
    async with both(pns, tmp_path) as (service, sandbox):
        assert isinstance(await service.send(message(), soon()), Accepted)  # the connections are there
        outcomes: list[Outcome] = []
        is_told = asyncio.Event()

        def on_outcome(outcome: Outcome) -> None:
            outcomes.append(outcome)
            is_told.set()

        attempt = service.begin(message(token="12" * 32), soon(), on_outcome)
        attempt.withdraw()
        await asyncio.wait_for(is_told.wait(), 5)
        assert outcomes == [Unavailable("withdrawn", processed=False)], "says nothing of the device"
        assert len(pns.pushes) == 2
        assert len(sandbox.pushes) == 1
