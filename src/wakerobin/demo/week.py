"""Scene two: a push registration from its enrolment to its end, on a clock that is moved by hand.

Store, push service and clock are in memory; what decides, waits and sends are the server's own services.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, Final

from wakerobin.core.ids import hex_token, token, uuid_from
from wakerobin.core.lifetime import LifetimePolicy
from wakerobin.core.pushes import PushMessage, PushType
from wakerobin.core.sip import digest
from wakerobin.core.story import words
from wakerobin.core.values import (
    Account,
    Algorithm,
    Credentials,
    Life,
    Platform,
    Provider,
    Purpose,
    PushRegistration,
    PushTarget,
    RealmKey,
    Secret,
)
from wakerobin.demo.page import Page
from wakerobin.demo.pocket import WAKES_AFTER_S, Pocket
from wakerobin.ports.store import Transaction, Trial
from wakerobin.services import story
from wakerobin.services.courier import Courier
from wakerobin.services.lives import Lives
from wakerobin.services.lives.proofs import Proof
from wakerobin.services.ticker import Ticker
from wakerobin.testing.clock import ManualClock
from wakerobin.testing.memory import MemoryStore
from wakerobin.texts import Catalogues

HOUR: Final = 3_600_000
DAY: Final = 24 * HOUR
BEGINNING: Final = 1_772_442_000_000
"""Monday, 2 March 2026, 09:00 UTC."""
_DAYS_OF_A_LIFE = 7
_DATE = 17
_MARGIN = 2 + _DATE + 1 + _DAYS_OF_A_LIFE + 1


class Week:
    """One registration and what the server does for it."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.policy = LifetimePolicy()
        self.clock = ManualClock(BEGINNING)
        self.store = MemoryStore()
        self.lives = Lives(self.store, self.clock, lambda _app: self.policy, lambda _id: False)
        self.pocket = Pocket(self.clock, self.clock, self._pushed, self._woken)
        self.registration_id = 0
        self.account: Account | None = None
        self.silent = 0
        """Silent pushes since the last line."""
        self._courier = Courier(
            store=self.store,
            clock=self.clock,
            timers=self.clock,
            texts=Catalogues(),
            services=lambda _app, _provider: self.pocket,
            lives=self.lives,
            entropy=os.urandom,
        )
        self._ticker = Ticker(self.store, self.clock, self.lives, self.clock)
        self._group: asyncio.TaskGroup | None = None

    async def run(self, scenes: Coroutine[Any, Any, None]) -> None:
        """Let the services run while the scenes move the clock."""
        async with asyncio.TaskGroup() as self._group:
            loops = [self._group.create_task(room.run()) for room in (self._courier, self._ticker)]
            try:
                await scenes
            finally:
                for task in loops:
                    task.cancel()

    async def enrol(self, password: Secret) -> None:
        """Enrol an account, with the proof that the PBX gives."""
        self.registration_id = await self.store.transact(lambda tx: self._enrol_in(tx, password))
        keys = tuple(
            RealmKey("pbx.test", algorithm, Secret(digest.ha1(kind, "alice", "pbx.test", password.reveal())))
            for algorithm, kind in zip(Algorithm, digest.Algorithm, strict=True)
        )
        proof = Proof(keys, "pbx.test", Algorithm.MD5, granted_s=600)
        await self.lives.proven(self.registration_id, proof)

    async def until(self, at: int) -> None:
        """Move the clock on."""
        await self.clock.run_until(at)

    def life(self) -> Life:
        """Return the life as it is stored now."""
        life = self.store.read(lambda tx: tx.lives.get(self.registration_id))
        assert life is not None
        return life

    def say(self, text: str, *colours: str, life: Life | None = None) -> None:
        """Write a line with the date and with the days that are left of the life."""
        page = self._page
        date = page.painted(moment(self.clock.now()).ljust(_DATE), "dim")
        head = f"  {date} {self._bar(life or self.life())} "
        for part in page.wrapped(text, _MARGIN):
            page.line(f"{head}{page.painted(part, *colours)}")
            head = " " * _MARGIN

    def say_more(self, text: str) -> None:
        """Write what belongs to the line before."""
        for part in self._page.wrapped(text, _MARGIN):
            self._page.line(f"{' ' * _MARGIN}{self._page.painted(part, 'dim')}")

    def say_silent(self) -> None:
        """Write how many silent pushes went out since the last line."""
        if self.silent > 1:
            self.say_more(f"… and {self.silent - 1} more, one each hour: nobody answers")
        self.silent = 0

    def _bar(self, life: Life) -> str:
        left = 0 if life.ended else max(0, life.expires_at - self.clock.now())
        days = min(_DAYS_OF_A_LIFE, -(-left // DAY))
        colour = "red" if days <= 1 else "green"
        full = self._page.painted("█" * days, colour)
        return full + self._page.painted("░" * (_DAYS_OF_A_LIFE - days), "dim")

    def _pushed(self, message: PushMessage) -> None:
        match message.type:
            case PushType.RENEW:
                self.silent += 1
                if self.silent == 1:
                    self.say("silent push: renew")
            case PushType.EXPIRY_WARNING:
                self.say_silent()
                self.say(f"WARNING  {message.text.partition('.')[0]}.", "yellow")
                self.say_more(message.text.partition(". ")[2])
            case _:
                self.say_silent()
                told = self.store.read(lambda tx: tx.stories.of(story.of_registration(self.registration_id)))
                self.say(f"END      {words(told[-1].event, told[-1].details)}", "bold", "red")
                self.say_more("The credentials are erased, and our Contact is being removed at the PBX.")
                self.say(f"NOTICE   {message.text.partition('.')[0]}.", "red")
                self.say_more(message.text.partition(". ")[2])

    def _woken(self) -> None:
        if self._group is not None:
            self._group.create_task(self._renew_in_background())

    async def _renew_in_background(self) -> None:
        life = await self.lives.use(self.registration_id, "renewal-push")
        self.silent = 0
        assert life is not None
        self.say(f"the app wakes in the background, renews: alive until {moment(life.expires_at)}", "green")

    def _enrol_in(self, tx: Transaction, password: Secret) -> int:
        now = self.clock.now()
        account = tx.accounts.add(
            Account(
                slot=1,
                app="demo",
                aor="sip:alice@pbx.test",
                auth_user="alice",
                registrar="",
                contact_user=token(os.urandom),
                instance=f"urn:uuid:{uuid_from(os.urandom(16))}",
                created_at=now,
            )
        )
        self.account = account
        registration = tx.registrations.add(
            PushRegistration(
                public_id=f"pr_{token(os.urandom)}",
                account_id=account.id,
                app="demo",
                installation=token(os.urandom),
                sip_instance=f"urn:uuid:{uuid_from(os.urandom(16))}",
                secret_hash=os.urandom(32),
                platform=Platform.IOS,
                locale="en",
                display_name="Alice",
                lifetime=self.policy.lifetime,
                created_at=now,
            )
        )
        for purpose in Purpose:
            tx.targets.add(
                PushTarget(
                    registration_id=registration.id,
                    provider=Provider.APNS,
                    purposes=frozenset({purpose}),
                    token=Secret(hex_token(os.urandom, 32)),
                    reported_at=now,
                )
            )
        self.lives.begin_in(tx, registration, now)
        tx.binding_work.put_trial(
            Trial(
                registration_id=registration.id,
                account_id=account.id,
                credentials=Credentials("alice", password=password),
                started_at=now,
            )
        )
        return registration.id


async def live_a_week(page: Page) -> None:
    """Play the scene and check each of its steps."""
    page.heading(
        "Scene 2: a push registration lives, is forgotten, and ends",
        "The real services on a clock that is moved by hand. The bar shows how many days of life are left.",
    )
    week = Week(page)
    await week.run(_scenes(week, page))


async def _scenes(week: Week, page: Page) -> None:
    await week.enrol(Secret(token(os.urandom, 12)))
    week.say(f"the app enrols: alive until {moment(week.life().expires_at)}", "green")

    await week.until(BEGINNING + 2 * DAY + 10 * HOUR)
    used_at = week.clock.now()
    used = await week.lives.use(week.registration_id, "opened")
    assert used is not None
    week.say(f"the app is opened: alive until {moment(used.expires_at)}", "green")

    await week.until(used.expires_at - DAY + HOUR)
    renewed = week.life()
    is_silent = [one.message.type for one in week.pocket.sent] == [PushType.RENEW]

    week.pocket.is_in_drawer = True
    week.say("the phone goes into a drawer, and its battery is empty", "dim")
    await week.until(renewed.expires_at + HOUR)
    end = week.life()
    await week.until(end.ended_at + 2 * DAY)

    page.line()
    page.promise(
        "Opening the app renewed it for a whole week.",
        is_kept=used.expires_at == used_at + week.policy.lifetime,
    )
    woken_at = used.expires_at - DAY + round(WAKES_AFTER_S * 1000)
    page.promise(
        "A day before its end one silent push renewed it, and the user saw nothing.",
        is_kept=is_silent and renewed.expires_at == woken_at + week.policy.lifetime,
    )
    _promise_warnings(week, page, renewed)
    await _promise_end(week, page, renewed, end)


def _promise_warnings(week: Week, page: Page, renewed: Life) -> None:
    end = renewed.expires_at
    tried = [one.at for one in week.pocket.of(PushType.RENEW) if one.at >= renewed.renewed_at]
    warnings = week.pocket.of(PushType.EXPIRY_WARNING)
    page.promise(
        "In the drawer it was asked to renew each hour of its last day.",
        is_kept=tried == list(range(end - DAY, end, HOUR)),
        why=f"{len(tried)} silent pushes",
    )
    page.promise(
        "Only after that failed the user was warned: 12 h and 1 h before the end, once each.",
        is_kept=[end - one.at for one in warnings] == [12 * HOUR, HOUR],
        why=f"{len(warnings)} warnings",
    )


async def _promise_end(week: Week, page: Page, renewed: Life, end: Life) -> None:
    sent = week.pocket.sent
    page.promise(
        "It ended at the announced minute.", is_kept=end.ended_at == renewed.expires_at, why=str(end.ended)
    )
    account_id = week.account.id if week.account is not None else 0
    credentials, waiting, targets, next_push = week.store.read(
        lambda tx: (
            tx.accounts.credentials(account_id),
            tx.binding_work.unregisters(),
            tx.targets.of_registration(week.registration_id),
            tx.outbox.next_due(),
        )
    )
    removed = [work.account.contact_user for work in waiting]
    ours = week.account.contact_user if week.account is not None else ""
    page.promise(
        "The credentials were erased, and the PBX is asked to remove our Contact, no other.",
        is_kept=credentials is None and removed == [ours],
    )
    page.promise(
        "The user was told once, as the last push of all; then the tokens were erased.",
        is_kept=[one.message.type for one in sent].count(PushType.EXPIRED) == 1
        and sent[-1].message.type is PushType.EXPIRED
        and not targets
        and next_push is None,
        why=f"{len(targets)} tokens, last push {sent[-1].message.type}",
    )
    late = await week.lives.use(week.registration_id, "opened")
    page.promise(
        "Opening the app now is answered: enrol again.", is_kept=late is not None and late.ended is not None
    )


def moment(at: int) -> str:
    """Return epoch milliseconds as people read a date."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%a %e %b %H:%M")
