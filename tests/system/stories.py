"""What a world wrote down of its calls, and what it must have forgotten in the end."""

from __future__ import annotations

from tests.system.calls_world import SECOND, World
from wakerobin.ports.store import CallRecord, StoryRow
from wakerobin.services import story


def records(world: World) -> list[CallRecord]:
    """Return what was stored of all calls."""
    return world.store.read(lambda tx: tx.calls.of_account(0, 1000))


def rows(world: World) -> list[StoryRow]:
    """Return the story of the one call that there was."""
    (record,) = records(world)
    return world.store.read(lambda tx: tx.stories.of(story.of_call(record.call_id)))


def events(world: World) -> list[str]:
    """Return the names of what happened to the one call that there was."""
    return [row.event for row in rows(world)]


async def nothing_is_left(world: World) -> None:
    """Let all that may still come have come, and look for what was not forgotten."""
    await world.run_for(100 * SECOND)
    # A REGISTER of ours may just be under way.
    await world.until(lambda: world.transactions.alive == (0, 0), within=20 * SECOND)
    assert len(world.switchboard) == 0
    assert world.store.read(lambda tx: tx.calls.held()) == []
