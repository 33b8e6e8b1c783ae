"""Pushes to a webhook whose receiver is written in Node from the specification alone."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.interop.peers.lab import Lab
from tests.interop.peers.push_receivers import WebhookNode
from tests.system.pushing import LoopClock, message, soon, target
from wakerobin.core.addresses import DestinationPolicy
from wakerobin.core.pushes import Accepted, PushMessage, PushType, Rejected, TargetGone
from wakerobin.core.values import Provider
from wakerobin.push.connection import PoolOptions, Surroundings
from wakerobin.push.posting import PostingService
from wakerobin.push.webhook import webhook_service

OLD = "whsec_" + base64.b64encode(b"the secret of the last year.....").decode()
NEW = "whsec_" + base64.b64encode(b"the secret of this year, longer than the other").decode()


@pytest.fixture(params=["h2", "http/1.1"])
async def hook(request: pytest.FixtureRequest, lab: Lab) -> WebhookNode:
    place = lab.place()
    return await lab.start(WebhookNode(place, lab.certificate(place[0]), OLD, http2=request.param == "h2"))


@contextlib.asynccontextmanager
async def pushing_to(hook: WebhookNode, *secrets: str) -> AsyncIterator[PostingService]:
    clock = LoopClock()
    around = Surroundings(clock, clock, os.urandom)
    # On a busy machine a call would go twice, after a second without an answer: not what is looked at here.
    pool = PoolOptions(repeat_after=60.0)
    service = webhook_service(hook.options(*secrets), around, DestinationPolicy(), pool=pool)
    try:
        await service.warm()
        yield service
    finally:
        await service.close()


def push(type_: PushType = PushType.CALL, token: str = "device-1", **changes: Any) -> PushMessage:
    return message(type_, target=target(token, provider=Provider.WEBHOOK), **changes)


async def test_every_type_of_push_is_verified_and_taken(hook: WebhookNode) -> None:
    async with pushing_to(hook, OLD) as service:
        for type_ in PushType:
            assert isinstance(await service.send(push(type_, text="Ünïcode 📞"), soon()), Accepted)
    report = await hook.report()
    assert report["refused"] == []
    assert [one["push"]["type"] for one in report["taken"]] == [type_.value for type_ in PushType]
    assert {one["url"] for one in report["taken"]} == {"/hooks/push?tenant=7"}
    assert {one["id"] for one in report["taken"]} == {push().id}


async def test_a_secret_is_replaced_without_a_gap(hook: WebhookNode) -> None:
    async with pushing_to(hook, NEW, OLD) as service:
        assert isinstance(await service.send(push(), soon()), Accepted)
        await hook.behave(secrets=[NEW])
        assert isinstance(await service.send(push(), soon()), Accepted)
    async with pushing_to(hook, OLD) as service:
        assert await service.send(push(), soon()) == Rejected("status 401", ours=True)
    assert (await hook.report())["refused"] == ["signature"]


async def test_a_target_that_the_receiver_does_not_know_any_more_is_gone(hook: WebhookNode) -> None:
    await hook.behave(gone=["device-1"])
    async with pushing_to(hook, OLD) as service:
        assert await service.send(push(PushType.EXPIRED), soon()) == TargetGone("status 410")
        assert isinstance(await service.send(push(token="device-2"), soon()), Accepted)


async def test_calls_at_the_same_time_arrive_once_each_also_one_by_one_over_each_connection(
    hook: WebhookNode,
) -> None:
    tokens = [f"device-{number:03d}" for number in range(100)]
    async with pushing_to(hook, OLD) as service:
        outcomes = await asyncio.gather(*(service.send(push(token=one), soon(20)) for one in tokens))
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    report = await hook.report()
    taken = [one["push"]["target"]["token"] for one in report["taken"]]
    assert sorted(taken) == tokens
