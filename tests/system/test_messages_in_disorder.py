"""Messages in disorder: phones that come, go and stay silent, apps that fetch, a store that fails, `kill -9`.

The law: what was accepted is got, by SIP or by the API, or waits still. Nothing is lost; by SIP it comes in
the order in which it was accepted; a phone that has answered 2xx gets it twice only where the store failed.
"""

from __future__ import annotations

import random

import pytest

from tests.system.asking import at_pbx, request
from tests.system.calls_world import DOMAIN, SECOND, US, World
from tests.system.faults import faults
from wakerobin.core.sip.message import Message
from wakerobin.core.values import Account, PushRegistration
from wakerobin.testing.memory import Fault
from wakerobin.testing.phone import FakePhone

STEPS = 40


class Disorder:
    """One account with one phone and its app, and a PBX that writes."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.world = World()
        self.accepted: list[str] = []
        self.by_sip: list[str] = []
        """What the phone answered with 200, in order, repetitions too."""
        self.by_api: set[str] = set()
        self.phone: FakePhone | None = None
        self.is_silent = False
        self.breaks = 0
        self._addresses = 5
        self._written = 0

    async def begin(self) -> tuple[Account, PushRegistration]:
        account = await self.world.enrol()
        (registration,) = self.world.registrations(account)
        self.contact = f"sip:{account.contact_user}@{US[0]}:{US[1]}"
        self.registration = registration
        return account, registration

    async def step(self) -> None:
        """Let anything happen."""
        happens = self.chance.choice(
            [
                self.write,
                self.write,
                self.write,
                self.register,
                self.silence,
                self.speak,
                self.fetch,
                self.fail,
            ]
        )
        await happens()
        await self.world.run_for(self.chance.choice((0, SECOND, 5 * SECOND, 40 * SECOND)))

    async def write(self) -> None:
        self._written += 1
        text = f"{self._written:03}"
        asked = request("MESSAGE", self.contact, to=f"sip:alice@{DOMAIN}")
        asked.body = text.encode()
        while True:  # a PBX tries again what was not accepted
            status = (await at_pbx(self.world).ask(asked.copy())).status
            if status == 202:
                break
            assert status == 500
        self.accepted.append(text)

    async def register(self) -> None:
        """The phone comes from another network, or registers again."""
        if self.phone is None or self.chance.random() < 0.5:
            self._addresses += 1
            if self.phone is None:
                self.phone = self.world.phone(address=f"203.0.113.{self._addresses}")
                self.phone.answer_others = self._answer
            else:
                self.world.move(self.phone, f"203.0.113.{self._addresses}")
        await self.world.do(self.phone.register())

    async def silence(self) -> None:
        self.is_silent = True

    async def speak(self) -> None:
        self.is_silent = False

    async def fetch(self) -> None:
        """The app fetches, and says of some of it that it has it."""
        fetching, after = self.world.messages.fetching, ""
        for _ in range(self.chance.randint(1, 3)):
            found = await self.world.do(fetching.fetch(self.registration, after, self.chance.randint(1, 3)))
            if not found:
                break
            self.by_api |= {one.content.partition(b"\r\n\r\n")[2].decode() for one in found}
            after = found[-1].public_id if self.chance.random() < 0.7 else ""

    async def fail(self) -> None:
        """The next thing that is written down may not be, or nobody hears that it was."""
        if self.phone is None or self.is_silent:
            return
        self.breaks += 1
        self.world.store.break_next(self.chance.choice(list(Fault)))
        await self.write()

    def _answer(self, asked: Message) -> int:
        if self.is_silent:
            return 0
        self.by_sip.append(asked.body.decode())
        return 200

    def waiting(self) -> set[str]:
        kept = self.world.store.read(
            lambda tx: tx.messages.waiting(self.registration.id, 0, 1000, fetched_too=True)
        )
        return {one.content.partition(b"\r\n\r\n")[2].decode() for one in kept}

    async def settle(self) -> None:
        """Let the phone come at last, and take what waits."""
        self.is_silent = False
        await self.register()
        await self.world.run_for(60 * SECOND)

    def check(self) -> None:
        got = set(self.by_sip) | self.by_api
        assert set(self.accepted) == got | (self.waiting() & set(self.accepted)), "something is lost"
        assert self.waiting() <= self.by_api, "what the app has not fetched, the phone has taken at last"
        firsts = list(dict.fromkeys(self.by_sip))
        assert firsts == sorted(firsts), "out of order"
        assert len(self.by_sip) - len(firsts) <= self.breaks, "twice without need"


@pytest.mark.parametrize("seed", range(20))
async def test_nothing_is_lost_nothing_overtakes_and_nothing_comes_twice(seed: int) -> None:
    disorder, before = Disorder(seed), faults()
    async with disorder.world.running():
        await disorder.begin()
        for _ in range(STEPS):
            await disorder.step()
        await disorder.settle()
        disorder.check()
    assert len(disorder.accepted) > STEPS // 10
    assert faults() == before


@pytest.mark.parametrize("seed", range(20, 32))
async def test_nor_where_the_server_is_killed_again_and_again(seed: int) -> None:
    disorder, before = Disorder(seed), faults()
    async with disorder.world.running():
        await disorder.begin()
    for _ in range(STEPS // 4):
        async with disorder.world.running():
            for _ in range(4):
                await disorder.step()
        disorder.world.kill()
        disorder.breaks += 1  # an answer that was on its way is as good as none
    async with disorder.world.running():
        await disorder.settle()
        disorder.check()
    assert faults() == before
