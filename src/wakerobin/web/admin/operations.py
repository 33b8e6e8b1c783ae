"""What operators change: push registrations extended, warned and ended; and what stands in their way."""

from __future__ import annotations

from collections import defaultdict

from wakerobin.core.values import Ended, Life, PushRegistration
from wakerobin.ports.clock import Clock
from wakerobin.ports.store import Store
from wakerobin.services.lives import Lives
from wakerobin.services.lives.tallies import DAY, first_day, last_days
from wakerobin.web.admin.inspection import Json


class Operations:
    """Over the store and the lives, with or without a server around them."""

    def __init__(self, store: Store, clock: Clock, lives: Lives) -> None:
        self._store = store
        self._clock = clock
        self._lives = lives

    async def end(self, public_id: str) -> bool:
        """End a push registration as its app can. False: there is none."""
        found = self._find(public_id)
        if found is None:
            return False
        await self._lives.end(found.id, Ended.DELETED)
        return True

    async def extend(self, public_id: str, by_s: int) -> Json | None:
        """Let one live for so many seconds from now. None: there is none living."""
        found = self._find(public_id)
        if found is None:
            return None
        return _end_of(await self._lives.extend(found.id, self._clock.now() + by_s * 1000))

    async def warn(self, public_id: str) -> Json | None:
        """Warn its user now, once. None: there is none living."""
        found = self._find(public_id)
        if found is None:
            return None
        return _end_of(await self._lives.rewarn(found.id))

    def statistics(self, days: int) -> Json:
        """Return what became of lives in the last days, today among them, by app and platform."""
        now = self._clock.now()
        counts: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        for (app, platform, name), count in self._store.read(lambda tx: last_days(tx, now, days)).items():
            counts[app, platform][name] = count
        return {
            "since_at": first_day(now, days) * DAY,
            "lives": [
                {"app": app, "platform": platform, "counts": dict(sorted(found.items()))}
                for (app, platform), found in sorted(counts.items())
            ],
        }

    def alarms(self) -> Json:
        """Return what has to be mended by a person, the oldest first."""
        alarms = self._store.read(lambda tx: tx.alarms.all())
        return {
            "alarms": [
                {"name": alarm.name, "since_at": alarm.since_at, "text": alarm.words} for alarm in alarms
            ]
        }

    async def confirm_clock(self) -> bool:
        """Believe what the clock shows; False: it was not in doubt."""
        return await self._lives.confirm_clock()

    def _find(self, public_id: str) -> PushRegistration | None:
        return self._store.read(lambda tx: tx.registrations.by_public_id(public_id))


def _end_of(life: Life | None) -> Json | None:
    return {"expires_at": life.expires_at} if life is not None and life.ended is None else None
