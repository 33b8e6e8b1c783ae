"""`kill -9` in the middle of outages: of the server itself, of the push service, and of the PBX.

Lives are as in `test_kill_nine`: a week passes in seconds. What the push service did not take is as if it had
not been sent; what it took is held against the same promises.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.system.survival import audit
from tests.system.survival.town import LADDER, SMALLEST_LEAD_S, App, Town, town
from wakerobin.core.values import Ended
from wakerobin.testing.pns import ReceivedPush
from wakerobin.testing.pns_script import Refuse

pytestmark = pytest.mark.alone

HOST = "127.81.8.1"
OUTAGES = 9
PATIENT: dict[str, Any] = {**LADDER, "grace_limit": "5m"}
"""After an outage a push service is probed in pauses that are short beside real lives, not beside these."""
TOLD_WITHIN = 100.0
BREATH = SMALLEST_LEAD_S / 7
"""Two warnings of the plan are 1.5 s apart; a busy machine may be late with the first."""


@dataclass
class Taken:
    """The pushes of a town that the push service took, and whatever else an audit asks a town for."""

    town: Town

    @property
    def pns(self) -> Taken:
        return self

    @property
    def pushes(self) -> list[Any]:
        return [push for push in self.town.pns.pushes if push.is_accepted]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.town, name)


class Outages:
    """Chooses what fails, for how long, and when the server is killed meanwhile."""

    def __init__(self, place: Town, seed: int) -> None:
        self._town = place
        self._random = random.Random(seed)
        self.had: Counter[str] = Counter()

    async def have(self, number: int) -> None:
        """Have one outage of each kind in turn."""
        kinds: list[Callable[[], Awaitable[None]]] = [self._server, self._pushes, self._pbx]
        kind = kinds[number % len(kinds)]
        self.had[kind.__name__] += 1
        await kind()

    async def _server(self) -> None:
        """Killed, and away for so long that warnings and ends pass by."""
        self._town.server.kill_now()
        await self._town.server.gone()
        await self._pass(2.0, 9.0)
        await self._town.start()

    async def _pushes(self) -> None:
        """503 for seconds, with a kill in the middle."""
        self._town.pns.always(Refuse(status=503, reason="ServiceUnavailable", retry_after="1"))
        await self._pass(0.5, 3.0)
        await self._kill()
        await self._pass(0.5, 3.0)
        self._town.pns.always(None)

    async def _pbx(self) -> None:
        """Silence for seconds, with a kill in the middle."""
        self._town.pbx.rules.is_silent = True
        await self._pass(0.5, 2.0)
        await self._kill()
        await self._pass(0.5, 2.0)
        self._town.pbx.rules.is_silent = False

    async def _kill(self) -> None:
        self._town.server.kill_now()
        await self._town.server.gone()
        await self._town.start()

    async def _pass(self, least: float, most: float) -> None:
        """Let real time pass: the server is a process of its own."""
        waited = [asyncio.get_running_loop().create_future()]
        await asyncio.wait(waited, timeout=self._random.uniform(least, most))


@pytest.mark.timeout(300)
async def test_nobody_is_cut_off_unwarned_or_warned_twice_by_kills_in_outages(tmp_path: Path) -> None:
    async with town(tmp_path, HOST, **{"apps.phone.lifetime": PATIENT}) as place:
        await place.start()
        used = [await place.enrol() for _ in range(3)]
        drawers = [await place.enrol() for _ in range(4)]
        using = place.keep_using(*used)
        outages = Outages(place, 7)
        for number in range(OUTAGES):
            await outages.have(number)
            drawers.append(await place.enrol())
        await all_over(place, drawers)
        await using.end()
        living = [app for app in used if await place.renew(app)]
        late = [app for app in used if app not in living]
        await all_over(place, late)
        drawers += late
        for app in drawers:
            app.broken = [
                said for said in app.broken if said != "a renewal got 410 push-registration-expired"
            ]
        await place.server.stop()

        seen: Any = Taken(place)
        wrong = list(audit.wrong_pushes(seen))
        for app in (*living, *drawers):
            wrong += [f"{app.user}: {one}" for one in audit.wrong_life(seen, app, is_over=app in drawers)]
            wrong += [f"{app.user}: {one}" for one in in_one_breath(seen, app)]
        wrong += audit.wrong_contacts(place, drawers, is_over=True)
        wrong += await audit.wrong_store(place, dict.fromkeys((app.user for app in drawers), Ended.EXPIRED))
        wrong += place.server.tracebacks()
        assert not wrong, "\n".join(dict.fromkeys(wrong))
        assert min(outages.had.values()) >= OUTAGES // 3
        assert any(push.status == 503 for push in place.pns.pushes), "nothing was refused"


async def all_over(place: Town, drawers: list[App]) -> None:
    """Wait until the forgotten have been told, and the PBX has let go of them."""
    for app in drawers:
        await place.pns.wait_for(partial(is_told, app), TOLD_WITHIN)
    async with asyncio.timeout(TOLD_WITHIN):
        while any(place.pbx.contacts(app.user) for app in drawers):
            await place.pbx.wait_register(len(place.pbx.registrar.seen) + 1, TOLD_WITHIN)


def is_told(app: App, push: ReceivedPush) -> bool:
    return push.is_accepted and push.type == "expired" and push.token == app.notice_token


def in_one_breath(seen: Taken, app: App) -> list[str]:
    """Return what was warned twice in one breath."""
    at: dict[str, float] = {}
    for push in seen.pushes:
        if push.token == app.notice_token and push.type == "expiry-warning":
            at.setdefault(push.headers["apns-id"], push.at)
    moments = sorted(at.values())
    gaps = [later - before for before, later in itertools.pairwise(moments)]
    return [f"two warnings within {gap:.2f} s" for gap in gaps if gap < BREATH]
