"""A clock in doubt, as the operator sees it and confirms it."""

from __future__ import annotations

import json
import time
from pathlib import Path

from tests.system.served import serving
from tests.system.test_cli import Shell
from wakerobin.ports.options import StoreOptions
from wakerobin.services.lives.clock_guard import ClockGuard
from wakerobin.store import open_store
from wakerobin.testing.clock import ManualClock

HOST = "127.81.9.5"
DAY = 24 * 3600_000


async def ran_ahead(folder: Path, milliseconds: int) -> None:
    """Leave what a server leaves whose clock was that far ahead."""
    clock = ManualClock(round(time.time() * 1000) + milliseconds)
    store = open_store(StoreOptions(), folder / "data", folder / "config" / "vault.key", clock)
    await store.transact(lambda tx: ClockGuard(clock).save(tx.kept))
    await store.close()


async def alarms(shell: Shell) -> list[str]:
    found = await shell("doctor", "alarms", "--json")
    return [one["text"] for one in json.loads(found.stdout)["alarms"]]


async def test_a_clock_behind_the_last_run_is_told_and_confirmed(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    async with serving(tmp_path, HOST):
        assert (await shell("clock", "confirm")).stdout == "The clock is not in doubt.\n"
    await ran_ahead(tmp_path, 3 * DAY)
    async with serving(tmp_path, HOST):
        (told,) = await alarms(shell)
        assert "stepped back by" in told
        assert (await shell("clock", "confirm")).stdout == "Lives go by this clock again.\n"
        assert await alarms(shell) == []
        assert (await shell("clock", "confirm")).stdout == "The clock is not in doubt.\n"


async def test_it_can_be_confirmed_while_no_server_runs(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    async with serving(tmp_path, HOST):
        pass
    await ran_ahead(tmp_path, DAY)
    assert (await shell("clock", "confirm")).stdout == "Lives go by this clock again.\n"
    async with serving(tmp_path, HOST):
        assert await alarms(shell) == []
