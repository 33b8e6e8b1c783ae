"""A push leaves nothing for the garbage collector: what that takes, calls wait for."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.pushing import message, send_all, service_for
from wakerobin.core.pushes import PushType
from wakerobin.push.connection import PoolOptions
from wakerobin.testing.pns import FakePns


@pytest.fixture
def found() -> Iterator[list[object]]:
    """What a collection finds; nothing is collected in between."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield gc.garbage
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def test_hundreds_of_pushes_make_no_circles(tmp_path: Path, found: list[object]) -> None:
    async with (
        FakePns(tmp_path) as pns,
        service_for(pns, pool=PoolOptions(bulk_rate=1e6)) as service,
    ):
        types = (PushType.EXPIRED, PushType.CALL)
        pushes = [message(type_, f"{number:064x}") for number in range(150) for type_ in types]
        await send_all(service, pushes[:20])
        gc.collect()
        found.clear()
        await send_all(service, pushes[20:])
        pns.pushes.clear()
        gc.collect()
        kinds = Counter(type(one).__qualname__ for one in found)
    ours = {"Request", "ApnsAttempt", "Answer", "Failure", "PushMessage", "_Exchange"}
    assert not ours & set(kinds), kinds
