"""The server is cut between any two effects of a life, restarts, and the laws hold.

A week is run again and again over the same kind of store, each time cut at another write or commit. What
the push service saw, what the store holds and when the life ended must be as in the week without a cut,
save that a push in flight may be sent again under the same key.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.contract.stores import Engine, Memory, Sqlite
from tests.system.lives_world import CALL, DAY, HOUR, MINUTE, NOTICE, Sent, World
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.lifetime import LifetimePolicy
from wakerobin.core.pushes import Accepted, Outcome, PushType, TargetGone
from wakerobin.core.values import Duration, Ended, PushRegistration, PushTarget
from wakerobin.ports.store import OutboxRow, Store, Transaction
from wakerobin.testing.clock import START, ManualClock

T = TypeVar("T")

WRITES = frozenset(
    {"add", "update", "remove", "void", "set_credentials", "add_unregister", "remove_trial", "put"}
)
END = START + 2 * DAY


class CutError(StoreUnavailableError):
    """kill -9, at a place of the test's choice; nobody may take it for a fault of one life."""


class Knife:
    """Counts the moments at which a server can be cut, and cuts at one of them."""

    def __init__(self, cut_at: int | None = None) -> None:
        self.count = 0
        self._cut_at = cut_at

    def moment(self) -> None:
        self.count += 1
        if self.count == self._cut_at:
            raise CutError(self.count)


class CutGroup:
    """A table group; before each write is a moment."""

    def __init__(self, group: Any, knife: Knife) -> None:
        self._group = group
        self._knife = knife

    def __getattr__(self, name: str) -> Any:
        if name in WRITES:
            self._knife.moment()
        return getattr(self._group, name)


class CutTransaction:
    def __init__(self, tx: Transaction, knife: Knife) -> None:
        self._tx = tx
        self._knife = knife

    def __getattr__(self, name: str) -> Any:
        return CutGroup(getattr(self._tx, name), self._knife)


class CutStore:
    """A store that can be cut inside each work, before its commit and after it."""

    def __init__(self, store: Store, knife: Knife) -> None:
        self.store = store
        self._knife = knife

    def transact(self, work: Callable[[Transaction], T]) -> Awaitable[T]:
        return self._transact(work)

    async def _transact(self, work: Callable[[Transaction], T]) -> T:
        def cut(tx: Transaction) -> T:
            wrapped: Any = CutTransaction(tx, self._knife)
            result = work(wrapped)
            self._knife.moment()
            return result

        result = await self.store.transact(cut)
        self._knife.moment()
        return result

    def read(self, work: Callable[[Transaction], T]) -> T:
        return self.store.read(work)

    def on_commit(self, callback: Callable[[frozenset[str]], None]) -> None:
        self.store.on_commit(callback)

    async def close(self) -> None:
        await self.store.close()


def policy() -> LifetimePolicy:
    """Two days, few renewals: every kind of moment, and a week soon run."""
    return LifetimePolicy(
        lifetime=Duration(2 * DAY),
        renewal_from=Duration(24 * HOUR),
        renewal_every=Duration(6 * HOUR),
        warnings=(Duration(12 * HOUR), Duration(HOUR)),
    )


class Course:
    """A course of events that a cut interrupts and a restart takes up again."""

    def __init__(self, engine: Engine, knife: Knife) -> None:
        self._engine = engine
        self._knife = knife
        self.world: World

    async def begin(self) -> PushRegistration:
        store = await self._engine.open()
        self.world = World(store, ManualClock(), policy())
        phone = await self.world.enrol()
        self.world.restart(CutStore(store, self._knife))
        return phone

    async def do(self, step: Callable[[], Awaitable[Any]]) -> None:
        """Do a step; after a cut restart, and do it again as the ticker, the app or the courier would."""
        try:
            await step()
        except CutError:
            await self.restart()
            await step()

    async def restart(self) -> None:
        await self.world.store.close()
        self.world.restart(CutStore(await self._engine.open(), self._knife))

    async def finish(self) -> None:
        await self.world.store.close()


async def a_drawer(course: Course) -> tuple[World, PushRegistration]:
    """Used once, then forgotten: renewed in vain, warned twice, ended, told."""
    phone = await course.begin()
    world = course.world
    await course.do(lambda: world.run_until(START + HOUR))
    await course.do(lambda: world.lives.use(phone.id, "opened"))
    await course.do(lambda: world.run_until(START + HOUR + 2 * DAY + HOUR))
    return world, phone


async def a_deletion(course: Course) -> tuple[World, PushRegistration]:
    """Warned once, then deleted by its app."""
    phone = await course.begin()
    world = course.world
    await course.do(lambda: world.run_until(END - 6 * HOUR))
    await course.do(lambda: world.lives.end(phone.id, Ended.DELETED))
    await course.do(lambda: world.run_until(END + DAY))
    return world, phone


async def a_removal(course: Course) -> tuple[World, PushRegistration]:
    """The VoIP token goes, the user is asked in vain, then the other token goes."""
    phone = await course.begin()
    world = course.world
    call = next(one for one in world.targets(phone.id) if one.purposes == CALL)

    def answer(row: OutboxRow, target: PushTarget) -> Outcome:
        return TargetGone("Unregistered") if row.kind is PushType.EXPIRED else Accepted()

    world.answer = answer
    await course.do(lambda: world.lives.target_gone(call, TargetGone("Unregistered")))
    await course.do(lambda: world.run_until(START + DAY + HOUR))
    return world, phone


async def a_gone_app(course: Course) -> tuple[World, PushRegistration]:
    """The renewal's refusal shows that the app was deleted; both tokens are one."""
    phone = await course.begin()
    world = course.world
    call = next(one for one in world.targets(phone.id) if one.purposes == CALL)
    await course.do(lambda: world.lives.target_gone(call, TargetGone("Unregistered")))
    world.answer = lambda row, target: TargetGone("Unregistered")
    await course.do(lambda: world.run_until(END + DAY))
    return world, phone


STORIES = [a_drawer, a_deletion, a_removal, a_gone_app]


def audit(world: World, phone: PushRegistration) -> dict[str, Any]:
    """What must be the same however often the server was cut."""
    life = world.life(phone)
    account = world.account(phone)
    return {
        "ended": life.ended,
        "ended_at": life.ended_at,
        "next_at": life.next_at,
        "targets": [one.token.reveal() for one in world.targets(phone.id)],
        "credentials": world.credentials(phone),
        "proven": account.proven,
        "unregisters": [work.account.contact_user for work in world.unregisters()],
        "outbox": world.store.read(lambda tx: tx.outbox.next_due()),
        "pushes": sorted({sent.key for sent in world.sent}),
    }


def repeats(sent: list[Sent]) -> int:
    """How many pushes went out again under the key of an earlier one."""
    return len(sent) - len({(one.generation, *one.key) for one in sent})


async def run(story: Any, engine: Engine, knife: Knife) -> tuple[dict[str, Any], World]:
    course = Course(engine, knife)
    world, phone = await story(course)
    found = audit(world, phone)
    await course.finish()
    return found, world


@pytest.mark.parametrize("story", STORIES)
async def test_a_cut_at_any_moment_changes_nothing_but_repeats(story: Any, tmp_path: Path) -> None:
    knife = Knife()
    uncut, world = await run(story, Memory(tmp_path), knife)
    assert uncut["ended"] is not None
    assert len(uncut["unregisters"]) == 1
    assert uncut["credentials"] is None
    assert repeats(world.sent) == 0
    assert knife.count > 20
    for cut_at in range(1, knife.count + 1):
        found, world = await run(story, Memory(tmp_path), Knife(cut_at))
        # A use that was kept and not acknowledged is tried again by the app: a moment later, no less.
        assert found == uncut, f"cut at {cut_at}"
        assert repeats(world.sent) <= 1, f"cut at {cut_at}: only what was in flight"


@pytest.mark.parametrize("story", STORIES)
async def test_the_same_holds_on_disk(story: Any, tmp_path: Path) -> None:
    knife = Knife()
    folders = (tmp_path / f"run-{n}" for n in itertools.count())
    uncut, _ = await run(story, Sqlite(next(folders)), knife)
    for cut_at in range(3, knife.count + 1, 11):
        found, world = await run(story, Sqlite(next(folders)), Knife(cut_at))
        assert found == uncut, f"cut at {cut_at}"
        assert repeats(world.sent) <= 1


async def test_two_cuts_in_a_row_change_nothing_either(tmp_path: Path) -> None:
    knife = Knife()
    uncut, _ = await run(a_drawer, Memory(tmp_path), knife)

    class Twice(Knife):
        def __init__(self, first: int, second: int) -> None:
            super().__init__()
            self._cuts = {first, first + second}

        def moment(self) -> None:
            self.count += 1
            if self.count in self._cuts:
                raise CutError(self.count)

    async def patient(course: Course) -> tuple[World, PushRegistration]:
        once = course.do

        async def thrice(step: Callable[[], Awaitable[Any]]) -> None:
            async def again() -> None:
                await once(step)

            await once(again)

        course.do = thrice  # type: ignore[method-assign]  # the story is the same, its patience is not
        return await a_drawer(course)

    for first in range(1, knife.count, 7):
        for second in (1, 2, 3, 5, 8):
            found, _ = await run(patient, Memory(tmp_path), Twice(first, second))
            assert found == uncut, f"cut at {first} and {second} later"


async def test_a_cut_of_the_guards_undoing_leaves_no_half_restored_life(tmp_path: Path) -> None:
    async def many(course: Course) -> tuple[World, list[PushRegistration]]:
        await course.begin()
        world = course.world
        phones = [await world.enrol(f"p{n}", tokens=(("only", CALL | NOTICE),)) for n in range(10)]
        for phone in phones:
            targets = world.targets(phone.id)
            if targets:
                target = targets[0]
                try:
                    await world.lives.target_gone(target, TargetGone("Unregistered"))
                except CutError:
                    await course.restart()
        return world, phones

    knife = Knife()
    course = Course(Memory(tmp_path), knife)
    await many(course)
    total = knife.count
    for cut_at in range(total - 60, total + 1, 3):
        course = Course(Memory(tmp_path), Knife(cut_at))
        world, phones = await many(course)
        await world.run_until(START + 6 * MINUTE)
        for phone in phones:
            life, account = world.life(phone), world.account(phone)
            if life.ended is None:
                # A cut forgets the guard's window, and with it what it could undo; it never halves.
                assert world.credentials(phone) is not None
                assert account.proven
            else:
                assert world.credentials(phone) is None
                assert world.targets(phone.id) == []
                assert len([w for w in world.unregisters() if w.account.id == account.id]) == 1
