"""A whole server in memory that can be cut between any two of its effects, and starts again.

An effect is a COMMIT, a SIP message or a push. At the chosen moment the run of the server is dead: what
it still wants to write, send or hear comes to nothing, as after `kill -9`. The store keeps what was
committed, the PBX, the phones and the push service go on, and a moment later a new run begins. The rooms
are joined by the server's own composition root; only its sockets are replaced.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from unittest import mock

from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.pushes import Accepted, Outcome, PushMessage, PushType, Unavailable
from wakerobin.core.sip.timers import Timers as SipTimers
from wakerobin.core.tokens import TokenKeys
from wakerobin.core.values import Flow, Provider, Secret, Transport
from wakerobin.net.endpoint import Listener
from wakerobin.ports.clock import Timer
from wakerobin.ports.options import ApnsOptions, AppOptions, LifetimeOptions, Options
from wakerobin.ports.push import Attempt, PushService, always_wanted
from wakerobin.ports.store import Store, Transaction
from wakerobin.server import building
from wakerobin.server.building import Ground, Rooms
from wakerobin.services.dispatch.transactions import Transactions
from wakerobin.testing.clock import ManualClock
from wakerobin.testing.memory import MemoryStore
from wakerobin.testing.names import Names
from wakerobin.testing.pbx import FakePbx
from wakerobin.testing.phone import FakePhone
from wakerobin.testing.wire import Wire, WireEndpoint

T = TypeVar("T")

SECOND = 1000
MINUTE = 60 * SECOND

US = ("198.51.100.1", 5060)
PBX = ("198.51.100.9", 5060)
DOMAIN = "pbx.test"
APP = "phone"
DOWN_FOR = 2 * SECOND
"""How long a new run takes to begin."""


class Knife:
    """Counts the moments at which the server can be cut, and cuts at those that were chosen."""

    def __init__(self, *cuts: int) -> None:
        self.moments: list[str] = []
        """What comes after each moment, in words."""
        self._cuts = frozenset(cuts)

    @property
    def count(self) -> int:
        return len(self.moments)

    def cuts_now(self, what: str) -> bool:
        self.moments.append(what)
        return self.count in self._cuts


@dataclass(slots=True)
class Run:
    """One life of the process."""

    number: int
    knife: Knife
    on_death: Callable[[], None]
    is_dead: bool = False

    def moment(self, what: str) -> bool:
        """Say whether the run is dead; it may die right now, before `what`."""
        if not self.is_dead and self.knife.cuts_now(what):
            self.die()
        return self.is_dead

    def die(self) -> None:
        self.is_dead = True
        self.on_death()


def _start_of(data: bytes) -> str:
    words = data.split(b"\r\n", 1)[0].decode().split(" ")
    return " ".join(words[:2]) if words[0] == "SIP/2.0" else words[0]


class RunStore:
    """The store as one run has it: before and after each COMMIT is a moment."""

    def __init__(self, store: Store, run: Run) -> None:
        self._store = store
        self._run = run

    def transact(self, work: Callable[[Transaction], T]) -> Awaitable[T]:
        return asyncio.ensure_future(self._transact(work))

    async def _transact(self, work: Callable[[Transaction], T]) -> T:
        never: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self._run.moment("a COMMIT"):
            return await never
        result = await self._store.transact(work)
        return await never if self._run.moment("the news of a COMMIT") else result

    def read(self, work: Callable[[Transaction], T]) -> T:
        if self._run.is_dead:
            raise StoreUnavailableError("the process has ended")
        return self._store.read(work)

    def on_commit(self, callback: Callable[[frozenset[str]], None]) -> None:
        def told(groups: frozenset[str]) -> None:
            if not self._run.is_dead:
                callback(groups)

        self._store.on_commit(told)

    async def close(self) -> None:
        await self._store.close()


class RunTimers:
    """Timers that end with their run."""

    def __init__(self, clock: ManualClock, run: Run) -> None:
        self._clock = clock
        self._run = run

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        return self._clock.call_at(when, lambda: None if self._run.is_dead else callback())


class RunEndpoint(WireEndpoint):
    """Our SIP sockets in one run: each message that leaves is a moment."""

    def __init__(self, wire: Wire, run: Run) -> None:
        super().__init__(wire, US, US)
        self.run = run
        self.listeners = tuple(Listener(transport, *US) for transport in Transport)

    def send(self, flow: Flow, data: bytes) -> bool:
        return True if self.run.moment(f"{_start_of(data)} to {flow}") else super().send(flow, data)

    def arrive(self, data: bytes, flow: Flow) -> None:
        if not self.run.is_dead:
            super().arrive(data, flow)

    def closed(self, flow: Flow, reason: str) -> None:
        if not self.run.is_dead:
            super().closed(flow, reason)

    async def start(self, receiver: Any) -> None:
        self.receiver = receiver

    def tell_undelivered(self, _callback: Callable[[bytes, str], None]) -> None:
        """No datagram comes back undelivered here."""

    # `ports.sip.Gatekeeper` without a guard: everybody may take what he likes.

    def pbx(self, flow: Flow) -> None: ...

    def proven(self, flow: Flow) -> None: ...

    def blame(self, flow: Flow) -> None: ...

    def guessed(self, flow: Flow, *, is_seen: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class SentPush:
    """A push in the hands of the push service."""

    at: int
    run: int
    message: PushMessage
    is_accepted: bool = True

    @property
    def type(self) -> PushType:
        return self.message.type

    @property
    def token(self) -> str:
        return self.message.target.token.reveal()

    @property
    def key(self) -> tuple[str, str, str]:
        """What has to stay the same when it is sent again: id, collapse key, token."""
        return self.message.id, self.message.collapse_key, self.token


class _NoAttempt:
    def withdraw(self) -> None:
        return


class RunPushes:
    """The push services in one run: before and after the hand-over of each push is a moment."""

    def __init__(self, world: CutWorld, run: Run) -> None:
        self._world = world
        self._run = run

    def of(self, _app: str, _provider: Provider) -> PushService:
        return self

    def begin(
        self,
        message: PushMessage,
        deadline: float,
        on_outcome: Callable[[Outcome], None],
        is_wanted: Callable[[], bool] = always_wanted,
    ) -> Attempt:
        assert is_wanted(), "it is asked at once: nothing waits for its turn here"
        if self._run.moment(f"a push: {message.type}"):
            return _NoAttempt()
        world = self._world
        outcome = world.answer(len(world.pushes) + 1, message)
        is_accepted = isinstance(outcome, Accepted)
        world.pushes.append(SentPush(world.clock.now(), self._run.number, message, is_accepted))
        if self._run.moment(f"the outcome of a push: {message.type}"):
            return _NoAttempt()

        def tell(what: Outcome) -> None:
            if not self._run.is_dead:
                on_outcome(what)

        if outcome is None:
            gone = Unavailable("no answer", processed=None)
            world.clock.call_at(deadline, lambda: tell(gone))
        else:
            asyncio.get_running_loop().call_soon(tell, outcome)
        return _NoAttempt()

    async def send(self, message: PushMessage, deadline: float) -> Outcome:
        answered: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.begin(message, deadline, answered.set_result)
        return await answered

    async def warm(self) -> None:
        return

    async def close(self) -> None:
        return


def entropy(seed: str) -> Callable[[int], bytes]:
    """Return octets that differ from call to call, and are the same in each course of events."""
    count = itertools.count()
    return lambda octets: hashlib.shake_128(f"{seed} {next(count)}".encode()).digest(octets)


def _is_settled(asked: asyncio.Task[Any], run: Run) -> bool:
    return asked.done() or run.is_dead


def accept(_number: int, _message: PushMessage) -> Outcome | None:
    return Accepted()


@dataclass
class CutWorld:
    """The users of the PBX have the password `pw-NAME`. What outlives a cut is here."""

    knife: Knife
    lifetime: LifetimeOptions = field(default_factory=LifetimeOptions)
    answer: Callable[[int, PushMessage], Outcome | None] = accept
    """What the push service says to the n-th push; None: nothing."""
    users: tuple[str, ...] = ("alice",)
    cut_with_a_held_call: bool = False
    """Whether the store held a call when the run was cut."""
    branches_at_cut: int = -1
    """How many of its phones were stored as ringing."""

    def __post_init__(self) -> None:
        self.clock = ManualClock()
        self.wire = Wire()
        self.store = MemoryStore()
        self.pushes: list[SentPush] = []
        self.cuts = 0
        app = AppOptions(
            enrolment_key=Secret("key"),
            registrars=(DOMAIN,),
            lifetime=self.lifetime,
            apns=ApnsOptions(url="https://apns.test"),
        )
        self.options = Options(apps={APP: app})
        self.pbx = FakePbx({user: f"pw-{user}" for user in self.users}, entropy=entropy("pbx"))
        there = self.wire.endpoint(*PBX)
        self.pbx.attach(self.layer(there, "pbx"), there, self.clock)
        self._numbers = itertools.count(1)

    @property
    def rooms(self) -> Rooms:
        """The services of the present run."""
        return self._rooms

    def layer(self, endpoint: WireEndpoint, seed: str) -> Transactions:
        """Return a transaction layer for somebody else's endpoint."""
        made = Transactions(endpoint, self.clock, self.clock, entropy(f"{seed} branches"), SipTimers())
        endpoint.receiver = made
        return made

    async def start(self) -> None:
        """Begin a run, and return when it serves."""
        self.run = run = Run(next(self._numbers), self.knife, self._died)
        self._endpoint = endpoint = RunEndpoint(self.wire, run)
        self.wire.place(endpoint)
        ground = Ground(
            options=self.options,
            store=RunStore(self.store, run),
            clock=self.clock,
            timers=RunTimers(self.clock, run),
            entropy=entropy(f"run {run.number}"),
            key=b"the server's own secret",
            keys=TokenKeys(b"the server's own secret"),
        )
        pushes = RunPushes(self, run)
        with mock.patch.multiple(
            building,
            Endpoint=lambda *_, **__: endpoint,
            Resolver=lambda clock, *_, **__: Names(clock, {DOMAIN: [PBX[0]]}),
            PushServices=lambda *_, **__: pushes,
        ):
            self._rooms = building.build(ground)
        self._main = asyncio.create_task(self._serve(self._rooms))
        await self.until(self._rooms.fleet.is_loaded.is_set, MINUTE)

    async def _serve(self, rooms: Rooms) -> None:
        """Do what the server does, in its order."""
        await self._endpoint.start(rooms.transactions)
        await rooms.switchboard.resume()
        async with asyncio.TaskGroup() as group:
            for room in (
                rooms.courier,
                rooms.fleet,
                rooms.phones,
                rooms.relay,
                rooms.switchboard,
                rooms.ticker,
            ):
                group.create_task(room.run())

    def _died(self) -> None:
        self.cuts += 1
        self._endpoint.is_down = True
        held = self.store.read(lambda tx: tx.calls.held())
        self.cut_with_a_held_call = bool(held)
        self.branches_at_cut = sum(branch["answers"] for call in held for branch in call.branches["branches"])

    async def stop(self) -> None:
        """End the present run without a word."""
        self.run.is_dead = True
        self._main.cancel()
        await asyncio.gather(self._main, return_exceptions=True)

    async def _restart(self) -> None:
        await self.stop()
        self._endpoint.cut_all()
        self.store = self.store.restarted()
        await self.clock.run_until(self.clock.now() + DOWN_FOR)
        await self.start()

    async def until(self, condition: Callable[[], bool], within: int = 2 * MINUTE) -> None:
        """Let time pass until something is so; a server that is cut meanwhile starts again."""
        end = self.clock.now() + within
        while True:
            left = max(0, end - self.clock.now())
            await self.clock.run_until_true(lambda: self.run.is_dead or condition(), left)
            if not self.run.is_dead:
                return
            await self._restart()

    async def run_until(self, at: int) -> None:
        """Let time pass; a server that is cut meanwhile starts again."""
        reached = asyncio.Event()
        self.clock.call_at(self.clock.monotonic() + (at - self.clock.now()) / 1000, reached.set)
        await self.until(reached.is_set, at - self.clock.now() + 1)

    async def ask(self, make: Callable[[Rooms], Coroutine[Any, Any, T]], within: int = MINUTE) -> T:
        """Ask the server for something; where the answer never comes, ask the next run again."""
        while True:
            run = self.run
            asked = asyncio.create_task(make(self.rooms))
            await self.until(partial(_is_settled, asked, run), within)
            if asked.done() and not run.is_dead:
                return asked.result()
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Read what is stored."""
        return self.store.read(work)

    def phone(self, user: str = "alice", transport: Transport = Transport.UDP) -> FakePhone:
        """Make a phone that is awake and has not registered."""
        phone = FakePhone(
            f"sip:{user}@{DOMAIN}", f"pw-{user}", transport=transport, entropy=entropy(f"phone of {user}")
        )
        endpoint = self.wire.endpoint("203.0.113.5")
        phone.attach(US, self.layer(endpoint, "phone"), endpoint, self.clock, self.clock)
        return phone

    async def registered(self, phone: FakePhone) -> int:
        """Let a phone register, as often as it takes, and return the status."""
        while True:
            task = asyncio.create_task(phone.register())
            await self.until(task.done)
            error = task.exception()
            if error is None:
                return task.result().status
            if not isinstance(error, ConnectionError | TimeoutError):
                raise error
