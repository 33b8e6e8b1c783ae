"""A whole server that is down, or whose database, push service, PBX or clock is, on a clock moved by hand.

What the user sees is audited at the end: nobody is cut off unwarned, nor warned twice in one breath.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from tests.system.survival.cutting import APP, DOMAIN, MINUTE, CutWorld, Knife, SentPush
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.pushes import Accepted, Outcome, PushMessage, PushType
from wakerobin.core.values import Duration, Ended, Life, Provider, Purpose, Secret
from wakerobin.ports.options import PushOptions, SipOptions
from wakerobin.ports.store import Transaction
from wakerobin.services.enrolment import Enrolled, EnrolRequest, TargetRequest
from wakerobin.testing.memory import MemoryStore

T = TypeVar("T")

HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY
LEAD = HOUR
"""The smallest lead of the default plan: so long after a warning the end comes at the earliest."""
VISIBLE = frozenset({PushType.EXPIRY_WARNING, PushType.REGISTRATION_TROUBLE, PushType.TARGETS_NEEDED})


class StoreInTrouble(MemoryStore):
    """A database that can be locked, or full: then nothing is written, and everything is read."""

    is_stuck = False

    def transact(self, work: Callable[[Transaction], T]) -> Any:
        if not self.is_stuck:
            return super().transact(work)

        async def fail() -> T:
            raise StoreUnavailableError("database is locked")

        return fail()

    def restarted(self) -> MemoryStore:
        super().restarted()
        return StoreInTrouble(self._tables)


@dataclass
class Phone:
    """An app that was enrolled at a moment and is not used any more, unless the test says so."""

    registration_id: int
    enrolled_at: int
    token: str

    @property
    def end(self) -> int:
        return self.enrolled_at + WEEK


@dataclass
class OutageWorld(CutWorld):
    """Lives of a week. PBXs are asked once an hour, so that a week passes quickly."""

    knife: Knife = field(default_factory=Knife)
    accepts: bool = True
    """Whether the push service takes anything."""
    refusal: Outcome = field(default_factory=Accepted)
    """What it says instead."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.store = StoreInTrouble()
        self.pbx.registrar.rules.max_expires = 7200
        self.answer = self._answer
        self.options = replace(
            self.options,
            sip=SipOptions(register_expires=Duration(2 * HOUR)),
            push=PushOptions(rate=50.0, ramp=Duration(0)),
        )
        self.phones: list[Phone] = []

    async def enrol(self, user: str = "alice") -> Phone:
        """Enrol a user as an app does."""
        token = user.encode().hex().ljust(64, "0")
        request = EnrolRequest(
            app=APP,
            aor=f"sip:{user}@{DOMAIN}",
            password=Secret(f"pw-{user}"),
            targets=(
                TargetRequest(
                    provider=Provider.APNS, purposes=frozenset({Purpose.CALL}), token=Secret("c" + token[1:])
                ),
                TargetRequest(
                    provider=Provider.APNS, purposes=frozenset({Purpose.NOTICE}), token=Secret(token)
                ),
            ),
            installation_id=f"installation-{user}",
        )
        app = self.options.apps[APP]
        answer = await self.ask(lambda rooms: rooms.enrolment.enrol(app, request, 30.0))
        assert isinstance(answer, Enrolled), answer
        phone = Phone(answer.registration.id, self.life_of(answer.registration.id).renewed_at, token)
        self.phones.append(phone)
        return phone

    def stick(self, *, is_stuck: bool) -> None:
        """Let the database be locked, or full, or no more."""
        assert isinstance(self.store, StoreInTrouble)
        self.store.is_stuck = is_stuck

    async def down(self, until: int) -> None:
        """Kill the server, and start it again then."""
        await self.stop()
        self._endpoint.cut_all()
        self.store = self.store.restarted()
        await self.clock.run_until(until)
        await self.start()

    async def use(self, phone: Phone, cause: str = "opened") -> Life | None:
        return await self.ask(lambda rooms: rooms.lives.use(phone.registration_id, cause))

    def life(self, phone: Phone) -> Life:
        return self.life_of(phone.registration_id)

    def life_of(self, registration_id: int) -> Life:
        life = self.read(lambda tx: tx.lives.get(registration_id))
        assert life is not None
        return life

    def sent(self, phone: Phone, *kinds: PushType) -> list[SentPush]:
        return [push for push in self.taken() if push.token == phone.token and push.type in kinds]

    def taken(self) -> list[SentPush]:
        """The pushes that the push service accepted."""
        return [push for push in self.pushes if push.is_accepted]

    def warned(self, phone: Phone) -> list[int]:
        """When its user was warned."""
        return [push.at for push in self.sent(phone, *VISIBLE)]

    def alarms(self) -> list[str]:
        return [one.name.partition(":")[0] for one in self.read(lambda tx: tx.alarms.all())]

    def audit(self) -> None:
        """Look at what each user saw."""
        for phone in self.phones:
            life, warned = self.life(phone), self.warned(phone)
            if life.ended in (Ended.EXPIRED, Ended.REFUSED):
                assert warned, "cut off unwarned"
                before_end = [at for at in warned if at <= life.ended_at - LEAD]
                assert before_end, f"warned at {warned}, and cut off at {life.ended_at}"
            breaths = [later - at for at, later in itertools.pairwise(warned)]
            assert all(breath >= LEAD for breath in breaths), f"two warnings in one breath: {breaths}"
        by_key: dict[tuple[str, str, str], int] = defaultdict(int)
        for push in self.taken():
            by_key[push.key] += 1
        assert max(by_key.values(), default=1) == 1, "a push was repeated"

    def _answer(self, _number: int, _message: PushMessage) -> Outcome:
        return Accepted() if self.accepts else self.refusal


Scenario = Callable[[OutageWorld], Awaitable[None]]
