"""The outbox over random histories: answers of every kind, kills at any moment, uses in between.

Laws: a row leaves the outbox by being settled or by being void, never otherwise; its end is told once; a
token gets the same push again only after an attempt that failed or a kill; nothing goes out after a use
made it void; the outbox empties whatever happened.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.system.couriers import AS_FAST_AS_IT_GOES, World, policy
from tests.system.pushing import target
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
from wakerobin.core.values import Purpose, PushRegistration
from wakerobin.ports.options import HOUR, MINUTE, SECOND
from wakerobin.ports.push import always_wanted
from wakerobin.services.courier import Courier, LaneOptions
from wakerobin.services.lives import Lives
from wakerobin.testing.clock import ManualClock
from wakerobin.testing.memory import Fault, MemoryStore
from wakerobin.texts import Catalogues

PHONES = 3
ACCOUNTS = 2
NOTICE = frozenset({Purpose.NOTICE})

OUTCOMES: list[Outcome] = [
    Accepted(),
    Accepted(),
    Throttled("TooManyRequests", retry_after=5 * SECOND),
    Unavailable("lost", processed=None),
    Unavailable("down", processed=False),
    Unavailable("later", retry_after=30 * SECOND),
    Rejected("BadPriority"),
    Rejected("InvalidProviderToken", ours=True),
    TargetGone("BadDeviceToken", certain=False),
]
KINDS = (PushType.RENEW, PushType.EXPIRY_WARNING, PushType.MISSED_CALL, PushType.CREDENTIALS_NEEDED)


class Withdrawn:
    """An attempt that nobody withdraws here."""

    def withdraw(self) -> None:
        raise AssertionError("only calls are withdrawn")


@dataclass
class ScriptedService:
    """Answers pushes after a while, in the order of its script; remembers what left, and what was said."""

    clock: ManualClock
    script: list[tuple[Outcome, int]]
    sent: list[tuple[int, PushMessage, Outcome | None]] = field(default_factory=list)
    """In which run, what, and the answer; None where nobody heard it."""
    run: int = 0

    def begin(
        self,
        message: PushMessage,
        deadline: float,
        on_outcome: Callable[[Outcome], None],
        is_wanted: Callable[[], bool] = always_wanted,
    ) -> Withdrawn:
        outcome, delay = self.script.pop() if self.script else (Accepted(), 10)
        run = self.run

        def leave() -> None:
            if run != self.run:
                return
            if not is_wanted():
                on_outcome(Unavailable("not wanted", processed=False))
                return
            number = len(self.sent)
            self.sent.append((run, message, None))
            self.clock.call_at(self.clock.monotonic() + delay / 1000, lambda: answer(number))

        def answer(number: int) -> None:
            if run == self.run:
                self.sent[number] = (run, message, outcome)
                on_outcome(outcome)

        self.clock.call_at(self.clock.monotonic() + delay / 1000, leave)
        return Withdrawn()

    async def send(self, message: PushMessage, deadline: float) -> Outcome:
        raise AssertionError("the courier begins")

    async def warm(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""


def start(clock: ManualClock, store: MemoryStore, service: ScriptedService) -> tuple[Courier, Lives]:
    lives = Lives(store, clock, policy, lambda _id: False)
    courier = Courier(
        store=store,
        clock=clock,
        timers=clock,
        texts=Catalogues(),
        services=lambda _app, _provider: service,
        lives=lives,
        entropy=os.urandom,
        options=LaneOptions(pace=replace(AS_FAST_AS_IT_GOES, in_flight=4)),
        is_rationed=lambda _app, _provider: False,
    )
    return courier, lives


steps = st.one_of(
    st.tuples(
        st.just("decide"), st.integers(0, PHONES - 1), st.integers(0, ACCOUNTS - 1), st.sampled_from(KINDS)
    ),
    st.tuples(st.just("use"), st.integers(0, PHONES - 1), st.integers(0, ACCOUNTS - 1)),
    st.tuples(st.just("wait"), st.sampled_from((5, 300, 20 * SECOND, 10 * MINUTE))),
    st.tuples(st.just("kill")),
    st.tuples(st.just("fault"), st.sampled_from(Fault)),
)
scripts = st.lists(st.tuples(st.sampled_from(OUTCOMES), st.sampled_from((1, 400, 3000))), max_size=25)


@given(st.lists(steps, max_size=20), scripts)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_push_is_settled_once_whatever_happens(
    history: list[tuple[object, ...]], script: list[tuple[Outcome, int]]
) -> None:
    asyncio.run(go_through(history, script))


async def go_through(history: list[tuple[object, ...]], script: list[tuple[Outcome, int]]) -> None:
    clock, store = ManualClock(), MemoryStore()
    service = ScriptedService(clock, list(reversed(script)))
    courier, lives = start(clock, store, service)
    running = asyncio.ensure_future(courier.run())
    world = World(clock, store, lives, courier, None, None, running)  # type: ignore[arg-type]  # no FakePns here
    phones = [
        [
            await world.enrol(
                target(f"{phone:064x}", purposes=NOTICE),
                target(f"{phone + 100:064x}", purposes=NOTICE),
                installation=f"phone-{phone}",
            )
            for _ in range(ACCOUNTS)
        ]
        for phone in range(PHONES)
    ]
    decided: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    for number, step in enumerate(history):
        match step:
            case ("decide", int(phone), int(account), PushType() as kind):
                end = clock.now() + HOUR
                await world.decide(phones[phone][account], kind, step=100 + number, deadline_at=end)
                decided[phones[phone][account].public_id] += 1
                missed[phones[phone][account].public_id] += kind is PushType.MISSED_CALL
            case ("use", int(phone), int(account)):
                await world.lives.use(phones[phone][account].id, "opened")
            case ("wait", int(milliseconds)):
                await clock.run_until(clock.now() + milliseconds)
            case ("fault", Fault() as fault):
                world.memory.break_next(fault)
                await clock.run_until(clock.now() + 100)
                world.memory._faults.clear()
            case _:
                world.running.cancel()
                await asyncio.wait([world.running])
                service.run += 1
                world.store = world.memory.restarted()
                world.courier, world.lives = start(clock, world.memory, service)
                world.running = asyncio.ensure_future(world.courier.run())
    await world.until(lambda: world.waiting() is None, within=3 * HOUR)
    world.running.cancel()
    await asyncio.wait([world.running])
    everyone = [one for phone in phones for one in phone]
    check_stories(world, everyone, decided, missed, has_doubt=("fault", Fault.AFTER_COMMIT) in history)
    check_repeats(service)


def check_stories(
    world: World,
    registrations: list[PushRegistration],
    decided: Counter[str],
    missed: Counter[str],
    *,
    has_doubt: bool,
) -> None:
    """Each row is told of once for each of its two targets.

    `has_doubt`: a commit was kept whose caller heard of a failure, so that it was made again.
    """
    for registration in registrations:
        told = [event for event in world.told(registration) if event.endswith(("-sent", "-failed"))]
        of_missed = sum(event.startswith("missed-call") for event in told)
        if has_doubt:
            assert of_missed >= 2 * missed[registration.public_id]
        else:
            assert of_missed == 2 * missed[registration.public_id], "nothing makes a missed call void"
            assert len(told) <= 2 * decided[registration.public_id]


def check_repeats(service: ScriptedService) -> None:
    attempts: dict[tuple[str, int], list[tuple[int, Outcome | None]]] = {}
    for run, message, outcome in service.sent:
        attempts.setdefault((message.id, message.target.id), []).append((run, outcome))
    for tries in attempts.values():
        for (run, outcome), (next_run, _) in pairwise(tries):
            was_retried = isinstance(outcome, Throttled | Unavailable | Rejected)
            assert was_retried or next_run > run, "again within a run only after an attempt that failed"
