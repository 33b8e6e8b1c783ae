"""Tests that a phone can be woken, asked for by its app or by the operator: a push through the lane of calls.

They live in memory: after a restart the app asks again.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from wakerobin.core.ids import Entropy, keyed_hash, uuid_from
from wakerobin.core.lifetime import LifetimePolicy, stage
from wakerobin.core.pushes import Accepted, Outcome, PayloadHead, PushMessage, PushType, notice_payload
from wakerobin.core.values import Life, Purpose, PushRegistration, PushTarget
from wakerobin.ports.clock import Clock, Timers
from wakerobin.ports.store import Store, Transaction
from wakerobin.ports.texts import Text, Texts

OF_USE_MS: Final = 30_000
LONGEST_DELAY_S: Final = 300

A_MINUTE_S: Final = 60.0
A_DAY_S: Final = 86_400.0
MOST_A_DAY: Final = 10
MOST_KEPT: Final = 10_000


class CallPushes(Protocol):
    """The part of the courier that sends at once."""

    def call_now(
        self,
        messages: list[PushMessage],
        on_outcome: Callable[[PushMessage, Outcome], None],
        deadline: float,
    ) -> None:
        """Send at once; `deadline` in monotonic seconds."""
        ...


@dataclass(slots=True)
class TargetTest:
    """What became of the push to one target."""

    provider: str
    push_id: str
    state: str = "sent"
    """`sent`, `accepted` or `failed`."""
    reason: str = ""
    after_ms: int = 0


@dataclass(slots=True, eq=False)
class SelfTest:
    """One test. Times are epoch milliseconds."""

    id: str
    registration_id: int
    sends_at: int
    targets: list[TargetTest] = field(default_factory=list)
    received_at: int = 0

    @property
    def state(self) -> str:
        """`waiting`, `sent`, `accepted`, `received` or `failed`: the best that is known."""
        if self.received_at:
            return "received"
        states = {target.state for target in self.targets}
        if not states:
            return "waiting"
        return next(state for state in ("accepted", "sent", "failed") if state in states)


@dataclass(frozen=True, slots=True)
class TooMany:
    """No further test for so many seconds."""

    wait_s: float


class SelfTests:
    """Sends test pushes and remembers what became of them."""

    def __init__(  # noqa: PLR0913 - what it stands on; all of it named
        self,
        *,
        store: Store,
        clock: Clock,
        timers: Timers,
        courier: CallPushes,
        texts: Texts,
        lifetime: Callable[[str], LifetimePolicy],
        entropy: Entropy,
    ) -> None:
        self._store = store
        self._clock = clock
        self._timers = timers
        self._courier = courier
        self._texts = texts
        self._lifetime = lifetime
        self._entropy = entropy
        self._tests: OrderedDict[str, SelfTest] = OrderedDict()
        self._asked: OrderedDict[int, deque[float]] = OrderedDict()

    def ask(self, registration: PushRegistration, delay_s: float = 0) -> SelfTest | TooMany:
        """Begin a test that is sent after a delay, e.g. so that the phone can be locked before."""
        now = self._clock.monotonic()
        wait = self._wait(registration.id, now)
        if wait > 0:
            return TooMany(wait)
        delay = min(max(delay_s, 0), LONGEST_DELAY_S)
        test = SelfTest(
            id=uuid_from(self._entropy(16)),
            registration_id=registration.id,
            sends_at=self._clock.now() + round(delay * 1000),
        )
        self._tests[test.id] = test
        if len(self._tests) > MOST_KEPT:
            self._tests.popitem(last=False)
        if delay:
            self._timers.call_at(now + delay, partial(self._send, test))
        else:
            self._send(test)
        return test

    def of(self, registration: PushRegistration, test_id: str) -> SelfTest | None:
        """Return a test of this registration."""
        test = self._tests.get(test_id)
        return test if test is not None and test.registration_id == registration.id else None

    def received(self, registration_id: int, push_ids: Collection[str]) -> None:
        """Take in receipts of a phone."""
        for test in self._tests.values():
            ids = {target.push_id for target in test.targets}
            if test.registration_id == registration_id and not test.received_at and ids & {*push_ids}:
                test.received_at = self._clock.now()

    def _wait(self, registration_id: int, now: float) -> float:
        """Count a test and return 0, or how long to wait for the next."""
        asked = self._asked.setdefault(registration_id, deque())
        self._asked.move_to_end(registration_id)
        if len(self._asked) > MOST_KEPT:
            self._asked.popitem(last=False)
        while asked and asked[0] <= now - A_DAY_S:
            asked.popleft()
        wait = asked[-1] + A_MINUTE_S - now if asked else 0.0
        if len(asked) >= MOST_A_DAY:
            wait = max(wait, asked[0] + A_DAY_S - now)
        if wait <= 0:
            asked.append(now)
        return wait

    def _send(self, test: SelfTest) -> None:
        read = self._store.read(lambda tx: _read(tx, test.registration_id))
        if read is None:
            test.targets.append(TargetTest("", "", "failed", "the push registration has ended"))
            return
        registration, life, name, targets = read
        if not targets:
            test.targets.append(TargetTest("", "", "failed", "it has no target that takes calls"))
            return
        now = self._clock.now()
        values = {"account": name}
        text = self._texts.text(PushType.TEST, registration.locale, registration.app, values)
        messages = [self._message(test, registration, life, target, text) for target in targets]
        test.targets = [TargetTest(one.target.provider.value, one.id) for one in messages]
        deadline = self._clock.monotonic() + OF_USE_MS / 1000
        self._courier.call_now(messages, partial(self._settled, test, now), deadline)

    def _message(
        self, test: SelfTest, registration: PushRegistration, life: Life, target: PushTarget, text: Text
    ) -> PushMessage:
        now = self._clock.now()
        head = PayloadHead(
            id=uuid_from(keyed_hash(test.id.encode(), str(target.id))),
            registration=registration.public_id,
            generation=life.generation,
            sent_at=now,
            expires_at=now + OF_USE_MS,
            stage=stage(life, self._lifetime(registration.app), zone=registration.time_zone),
            life_expires_at=life.expires_at,
        )
        return PushMessage(
            type=PushType.TEST,
            id=head.id,
            target=target,
            app=registration.app,
            title=text.title,
            text=text.body,
            loc_keys=text.loc_keys,
            generic=text.generic,
            payload=notice_payload(PushType.TEST, head, {"test": test.id}),
            expires_at=head.expires_at,
            payload_key=registration.payload_key,
        )

    def _settled(self, test: SelfTest, began: int, message: PushMessage, outcome: Outcome) -> None:
        for target in test.targets:
            if target.push_id == message.id:
                is_accepted = isinstance(outcome, Accepted)
                target.state = "accepted" if is_accepted else "failed"
                target.reason = "" if isinstance(outcome, Accepted) else outcome.reason
                target.after_ms = max(0, self._clock.now() - began)


def _read(
    tx: Transaction, registration_id: int
) -> tuple[PushRegistration, Life, str, list[PushTarget]] | None:
    registration, life = tx.registrations.get(registration_id), tx.lives.get(registration_id)
    account = tx.accounts.get(registration.account_id) if registration is not None else None
    if registration is None or life is None or life.ended is not None or account is None:
        return None
    targets = [one for one in tx.targets.of_registration(registration.id) if Purpose.CALL in one.purposes]
    name = registration.display_name or account.aor.removeprefix("sip:")
    return registration, life, name, targets
