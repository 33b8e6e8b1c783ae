"""What becomes of a clock in doubt: the operator hears of it, and what waited for it is made good (law 8)."""

from __future__ import annotations

from wakerobin import log, metrics
from wakerobin.core.story import duration, moment
from wakerobin.ports.alarms import Alarm
from wakerobin.ports.store import Store, Transaction
from wakerobin.services.lives.deciding import Deciding

ALARM = "clock:doubt"
_SLICE = 100

_log = log.get("lives")


class Doubt:
    """Looks at the clock now and then. Lives wait while `deciding.clock` is in doubt."""

    def __init__(self, store: Store, deciding: Deciding) -> None:
        self._store = store
        self._deciding = deciding
        self._clock = deciding.clock
        self._is_told = False
        self._may_be_held = True
        """Whether uses may wait for their end: those of an earlier run, too."""

    async def start(self) -> None:
        """Take up what the last run knew of the clock. To be awaited before any life is looked at."""
        self._store.read(lambda tx: self._clock.restore(tx.kept))
        self._is_told = self._store.read(lambda tx: any(one.name == ALARM for one in tx.alarms.all()))
        await self.look()

    async def look(self) -> None:
        """Notice that a doubt began or is over, and write the ends down that waited for that."""
        clock = self._clock
        if clock.has_agreed:
            _log.info("clock_confirmed", by="dates of push services")
            await self._believe()
        if clock.is_doubtful:
            self._may_be_held = True
            if not self._is_told:
                await self._tell()
        elif self._is_told:
            await self._store.transact(self._over)
            self._is_told = False
            _log.info("clock_believed")
        metrics.CLOCK_STEP.set(clock.step / 1000)
        if not clock.is_doubtful and self._may_be_held:
            while await self._store.transact(lambda tx: self._deciding.settle_held(tx, _SLICE)):
                continue
            self._may_be_held = False

    async def confirm(self) -> bool:
        """Believe what the clock shows, because somebody says so; False: it is believed already."""
        if not self._clock.is_doubtful:
            return False
        _log.info("clock_confirmed", by="operator")
        await self._believe()
        await self.look()
        return True

    async def beat(self) -> None:
        """Keep where the clock stands, and follow its drift; once a minute."""
        self._clock.follow()
        await self._store.transact(lambda tx: self._clock.save(tx.kept))

    async def _believe(self) -> None:
        """Go by the clock again. What it went ahead was an outage: nobody could use that time."""
        before = self._clock.now()
        self._clock.confirm()
        now = self._clock.now()
        await self._deciding.downtime.skip(before, now)
        await self._store.transact(lambda tx: self._clock.save(tx.kept))

    async def _tell(self) -> None:
        clock = self._clock
        step = clock.step
        words = (
            f"The clock of this machine stepped {'ahead' if step > 0 else 'back'} by {duration(abs(step))}, "
            f"to {moment(clock.wall())}. Until that is confirmed nobody is warned and nothing ends. Set the "
            "clock right, or say that it is: wakerobin clock confirm."
        )

        def work(tx: Transaction) -> None:
            clock.save(tx.kept)
            tx.alarms.put(Alarm(ALARM, clock.now(), words))

        await self._store.transact(work)
        self._is_told = True
        _log.error("clock_in_doubt", step_s=round(step / 1000), shows=moment(clock.wall()))

    def _over(self, tx: Transaction) -> None:
        self._clock.save(tx.kept)
        tx.alarms.clear(ALARM)
