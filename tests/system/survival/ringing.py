"""Calls that ring while the server is killed: a phone that its push wakes, a caller who may be impatient."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from dataclasses import dataclass

from tests.system.survival.town import App, Town
from wakerobin.testing.pbx_call import FakeCall
from wakerobin.testing.phone import FakePhone
from wakerobin.testing.pns import ReceivedPush

PUSHED_WITHIN = 8.0
"""Retransmissions of its INVITE find a server that starts within this time."""
STORED_WITHIN = 0.4
"""A call that lives for so long after its push without a kill is stored."""
WOKEN_WITHIN = 7.0
"""So long does a phone try; its call is waited for a little less."""
CALL_WITHIN = 15.0
"""Every call has ended by then: a few retransmissions to a server that starts, and `TIMEOUTS`."""
TIMEOUTS = {"wake_timeout": "5s", "ring_timeout": "8s"}

MANNERS = ("answers", "answers later", "caller gives up", "declines", "sleeps on")


@dataclass(slots=True)
class MadeCall:
    """A call of the PBX, and what its phone did."""

    call: FakeCall
    manner: str
    at: float
    """When the INVITE left, in seconds of the loop's clock."""
    pushed_at: float = 0.0
    unoffered: int = 0
    """How often its phone registered, and no INVITE came although no kill did."""
    is_talking: bool = False
    """It was answered while its phone and its caller were still there."""
    is_hung_up: bool = False

    def was_cut_early(self, kills: list[float]) -> bool:
        """Whether a kill came before the call could be stored: so early it cannot survive."""
        until = self.pushed_at + STORED_WITHIN if self.pushed_at else self.at + PUSHED_WITHIN
        return any(self.at <= kill <= until for kill in kills)


class Ringer:
    """Calls one user again and again, in every manner."""

    def __init__(self, town: Town, app: App) -> None:
        self.made: list[MadeCall] = []
        self.town = town
        self.app = app
        self._phone = FakePhone(f"sip:{app.user}@{town.pbx.domain}", app.password)
        self._phone.server, self._phone.local_host = town.server.sip, town.server.host
        self._phone.contact_params = f";wr-reg={app.id}"
        self._manners = itertools.cycle(MANNERS)

    async def once(self) -> None:
        """Make one call and see it through, however often the server is killed meanwhile."""
        loop = asyncio.get_running_loop()
        manner = next(self._manners)
        call = self.town.pbx.call(self.app.user)
        made = MadeCall(call, manner, loop.time())
        self.made.append(made)
        with contextlib.suppress(TimeoutError):
            push = await self.town.pns.wait_for(lambda p: is_push_of(p, call), PUSHED_WITHIN)
            made.pushed_at = push.at
            async with asyncio.timeout(WOKEN_WITHIN):
                await self._woken(made)
        await self._end(made)
        await self._phone.sleep()

    async def _woken(self, made: MadeCall) -> None:
        call, manner = made.call, made.manner
        if manner == "caller gives up":
            call.cancel()
            return
        if manner == "sleeps on":
            return
        if manner == "answers later":
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2.0):
                    await self.town.server.next_start()
        self._phone.calls.clear()
        while not (call.final or self._phone.calls):
            # As an app does: it comes up, registers until that works, and waits for its call.
            await self.town.server.ready.wait()
            with contextlib.suppress(TimeoutError, ConnectionError):
                kills = len(self.town.server.kills)
                is_registered = (await self._phone.wake()).status == 200
                try:
                    await self._phone.wait_call(within=1.5)
                except TimeoutError:
                    is_calm = len(self.town.server.kills) == kills
                    is_stored = not made.was_cut_early(self.town.server.kills)
                    made.unoffered += is_registered and is_calm and is_stored and not call.final
        if self._phone.calls and not call.final:
            theirs = self._phone.calls[0]
            theirs.ring()
            if manner == "declines":
                theirs.decline()
            else:
                theirs.answer()

    async def _end(self, made: MadeCall) -> None:
        call = made.call
        patience = 1.0 if made.was_cut_early(self.town.server.kills) else CALL_WITHIN
        with contextlib.suppress(TimeoutError):
            await call.wait(lambda c: c.final > 0 or bool(c.failures), patience)
        if call.answer is None:
            return
        made.is_talking = True
        for _ in range(5):
            await self.town.server.ready.wait()
            with contextlib.suppress(TimeoutError, ConnectionError):
                await self._phone.register()  # its flow died with the server, and it notices that
            call.hang_up()
            answered = len(call.replies)
            with contextlib.suppress(TimeoutError):
                await call.wait(lambda c, seen=answered: len(c.replies) > seen, 5.0)  # type: ignore[misc]
            # Where the 200 to a BYE was lost in a kill, its repetition finds the dialog over.
            is_over = bool(self._phone.calls) and self._phone.calls[-1].is_over
            if any(reply.status == 200 or (reply.status == 481 and is_over) for reply in call.replies):
                made.is_hung_up = True
                return


def is_push_of(push: ReceivedPush, call: FakeCall) -> bool:
    """Whether this push rings for that call."""
    said = push.payload.get("wakerobin", {})
    return push.type == "call" and said.get("sip_call_id") == call.call_id
