"""`kill -9` of the whole server, again and again, under renewals, due warnings and ringing calls.

The phones, the PBX and the push service live in the test, so that they see all that the server does. A
kill comes at a random time, or at the very moment at which something happens: a push is in the hands of
the push service and not acknowledged yet, an app has just been promised something, a call has just begun.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from tests.system.survival import audit
from tests.system.survival.ringing import TIMEOUTS, Ringer
from tests.system.survival.town import LIFETIME_S, App, Town, town
from wakerobin.core.values import Ended
from wakerobin.testing.pns import ReceivedPush

pytestmark = pytest.mark.alone

KILLS = 14
"""A chunk; there are four."""
ENDS_WITHIN = LIFETIME_S + 15.0


class Killer:
    """Chooses the moments."""

    def __init__(self, place: Town, seed: int) -> None:
        self._town = place
        self._random = random.Random(seed)
        self._moments: list[Callable[[], Awaitable[object]]] = [
            self._some_time,
            lambda: self._push("renew"),
            lambda: self._push("renew", is_answered=True),
            lambda: self._push("expiry-warning"),
            lambda: self._push("expiry-warning", is_answered=True),
            lambda: self._push("expired"),
            lambda: self._push("call"),
            lambda: self._push("call", is_answered=True),
            self._acknowledgements,
            self._register,
        ]

    async def kill(self) -> None:
        """Wait for a moment, kill, and start again."""
        moment = self._random.choice(self._moments)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._random.uniform(0.3, 2.0)):
                await moment()
        self._town.server.kill_now()
        await self._town.server.gone()
        await self._town.start()

    async def _some_time(self) -> None:
        await asyncio.get_running_loop().create_future()

    async def _push(self, type_: str, *, is_answered: bool = False) -> None:
        """A push that the push service has, and has answered, or never will."""

        def seen(push: ReceivedPush) -> bool:
            if push.type != type_:
                return False
            if not is_answered:
                self._town.server.kill_now()
            return True

        await self._town.pns.wait_for(seen, 10.0, after=len(self._town.pns.pushes))

    async def _acknowledgements(self) -> None:
        for _ in range(self._random.randint(1, 40)):
            await self._town.acknowledgement()

    async def _register(self) -> None:
        await self._town.pbx.wait_register(len(self._town.pbx.registrar.seen) + 1, 10.0)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("chunk", range(4))
async def test_whatever_is_killed_when_nothing_promised_is_lost_and_nothing_is_said_twice(
    chunk: int, tmp_path: Path
) -> None:
    async with town(tmp_path, f"127.81.{chunk}.1", sip=TIMEOUTS) as place:
        await place.start()
        used = [await place.enrol() for _ in range(6)]
        woken = [await place.enrol() for _ in range(3)]
        drawers = [await place.enrol() for _ in range(3)]
        deleted: list[App] = []
        ringers = [Ringer(place, await place.enrol()) for _ in range(3)]
        called = [ringer.app for ringer in ringers]
        uses = [place.keep_using(*used[:3], *called), place.keep_using(*used[3:])]
        uses += [place.answer_renewals(app) for app in woken]
        passing = [place.keep(ringer.once) for ringer in ringers]

        async def come_and_go() -> None:
            """New phones come all the time; one of three is deleted, the others go into a drawer."""
            app = await place.enrol()
            if len(drawers) > 2 * len(deleted):
                await place.delete(app)
                deleted.append(app)
            else:
                drawers.append(app)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await place.server.next_start()

        passing.append(place.keep(come_and_go))
        killer = Killer(place, chunk)
        for _ in range(KILLS):
            await killer.kill()
        for habit in passing:
            await habit.end()
        await all_over(place, drawers, deleted)
        for habit in uses:
            await habit.end()

        living = [app for app in used + woken + called if await place.renew(app)]
        # A machine may be too busy to renew all in time: who was late has to have ended by the rules.
        late = [app for app in used + woken + called if app not in living]
        await all_over(place, late, [])
        drawers += late
        wrong = [f"{app.user}: a late renewal was taken" for app in drawers if await place.renew(app)]
        for app in drawers:
            app.broken = [
                said for said in app.broken if said != "a renewal got 410 push-registration-expired"
            ]
        await place.server.stop()

        made = [one for ringer in ringers for one in ringer.made]
        wrong += audit.wrong_pushes(place)
        wrong += audit.wrong_calls(place, made)
        for app in (*living, *deleted, *drawers):
            wrong += [f"{app.user}: {one}" for one in audit.wrong_life(place, app, is_over=app in drawers)]
        wrong += audit.wrong_contacts(place, living, is_over=False)
        wrong += audit.wrong_contacts(place, drawers + deleted, is_over=True)
        over = dict.fromkeys((app.user for app in drawers), Ended.EXPIRED)
        over |= dict.fromkeys((app.user for app in deleted), Ended.DELETED)
        wrong += await audit.wrong_store(place, over)
        wrong += place.server.tracebacks()
        wrong += audit.told_secrets(place, [*living, *drawers, *deleted])
        assert not wrong, "\n".join(dict.fromkeys(wrong))
        assert len(place.server.kills) == KILLS
        assert len(living) > len(late)
        renewals = sum(len(app.acknowledged) for app in living)
        assert renewals > 100, "there was hardly anything to lose"
        assert any(one.is_hung_up for one in made), "no call was answered"
        assert len(drawers) > len(late)
        assert deleted


def is_told(app: App, push: ReceivedPush) -> bool:
    return push.type == "expired" and push.token == app.notice_token


async def all_over(place: Town, drawers: list[App], deleted: list[App]) -> None:
    """Wait until the forgotten have been told, and the PBX has let go of all that ended."""
    for app in drawers:
        await place.pns.wait_for(partial(is_told, app), ENDS_WITHIN)
    async with asyncio.timeout(ENDS_WITHIN):
        while any(place.pbx.contacts(app.user) for app in drawers + deleted):
            await place.pbx.wait_register(len(place.pbx.registrar.seen) + 1, ENDS_WITHIN)
