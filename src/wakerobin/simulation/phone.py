"""A phone between the push service and the app: what it stores, holds back, runs, shows and discards.

Two systems, each by what its maker documents; the numbers are in `simulation.model`.
"""

from __future__ import annotations

import enum
import math
from typing import TypeAlias

from wakerobin.core.pushes import PushType
from wakerobin.simulation.fate import Fate
from wakerobin.simulation.luck import Purpose
from wakerobin.simulation.model import DAY, HOUR, Model

NEVER = 1 << 60


class Answer(enum.Enum):
    """What came of a push."""

    RENEWED = "renewed"
    """The app ran and renewed its registration; nobody saw anything."""
    RENEWED_FIRST = "renewed-first"
    """A warning ran the app, which renewed instead of showing it."""
    SHOWN = "shown"
    NOTICED = "noticed"
    """The notice of the end was shown."""


Phone: TypeAlias = "IPhone | AndroidPhone"


class IPhone:
    """Alerts are shown; background pushes run the app at the system's pleasure.

    Offline, the push service keeps the newest push only. A background push is discarded where the app was
    force-quit, held at times (the newest), and dropped when the app is killed meanwhile.
    """

    def __init__(self, fate: Fate, model: Model) -> None:
        traits = fate.traits
        self.warnable = traits.notifications
        self.renewable = not traits.refresh_off
        self.deaf_at = NEVER
        """From when on nothing reaches the app; a VoIP push starts it in any case."""
        self.is_settled = True
        """Whether a skipped use changes nothing but what the last one of each kind leaves."""
        self.due = NEVER
        """When something may happen by itself."""
        self._fate = fate
        self._model = model
        self._in_memory_until = 0
        self._is_quit = False
        self._stored: tuple[PushType, int] | None = None
        self._held_at = NEVER

    def opened(self, now: int) -> None:
        """The owner uses the app: what was held or stored is of no more use."""
        traits, luck = self._fate.traits, self._fate.luck
        self._is_quit = traits.force_quits and luck.at(Purpose.FORCE_QUIT, now) < self._model.force_quit
        self._in_memory_until = 0 if self._is_quit else self._stays(now)
        self._stored, self._held_at, self.due = None, NEVER, NEVER

    def called(self, now: int) -> None:
        """A VoIP push starts the app, even a force-quit one; background pushes stay discarded."""
        if not self._is_quit:
            self._in_memory_until = self._stays(now)

    def renewed(self, now: int) -> None:
        """The app renewed: it removes its warnings."""
        self._in_memory_until = self._stays(now)
        self._stored, self._held_at, self.due = None, NEVER, NEVER

    def push(self, kind: PushType, now: int, deadline_at: int) -> Answer | None:
        """Take a push that the push service accepted; `deadline_at` 0: not stored."""
        back = self._fate.off.end_of(now)
        if back > now:
            if deadline_at > now:
                self._stored = kind, deadline_at
                self.due = min(self.due, back)
            return None
        return self._received(kind, now)

    def look(self, now: int) -> Answer | None:
        """Do what is due: deliver what was stored, run the app for a push that was held."""
        self.due = NEVER
        back = self._fate.off.end_of(now)
        if back > now:
            self.due = back
            return None
        stored, self._stored = self._stored, None
        if stored is not None and stored[1] > now and (answer := self._received(stored[0], now)):
            return answer
        if self._held_at == NEVER:
            return None
        if self._held_at < self._in_memory_until <= now:
            self._held_at = NEVER  # the app was killed meanwhile, and with it went the push
            return None
        if self._fate.luck.at(Purpose.RUNS, now) < self._chance(now):
            self._held_at = NEVER
            return Answer.RENEWED
        self.due = _next_hour(now)
        return None

    def rings_outside(self, start: int, end: int) -> int:
        """Return for how long no call would ring although the phone is on and the app installed."""
        return 0

    def _received(self, kind: PushType, now: int) -> Answer | None:
        if kind is not PushType.RENEW:
            return Answer.NOTICED if kind is PushType.EXPIRED else Answer.SHOWN
        if self._is_quit or self._fate.traits.refresh_off:
            return None
        luck = self._fate.luck
        if luck.at(Purpose.RUNS, now) < self._chance(now):
            return Answer.RENEWED
        if luck.at(Purpose.HELD, now) < self._model.held:
            self._held_at = now
            self.due = min(self.due, _next_hour(now))
        return None

    def _chance(self, now: int) -> float:
        model, fate = self._model, self._fate
        if now < self._in_memory_until:
            chance = model.runs_in_memory
        elif fate.is_charging(now):
            chance = model.runs_charging
        else:
            chance = model.runs_purged
        if fate.traits.low_power and now % DAY >= 17 * HOUR:
            chance *= model.low_power_factor
        return chance * fate.traits.keenness

    def _stays(self, now: int) -> int:
        left = 1.0 - self._fate.luck.at(Purpose.STAYS, now)
        return now - round(math.log(left) * self._model.in_memory_hours * HOUR)


class AndroidPhone:
    """High priority arrives at once and runs the app; normal priority waits for Doze to pause.

    A stopped app, whether by a person or by the maker's battery saver, gets nothing until it is opened.
    """

    def __init__(self, fate: Fate, model: Model) -> None:
        traits = fate.traits
        self.warnable = traits.notifications
        self.renewable = True
        self.deaf_at = NEVER
        self.is_settled = not traits.killed and not fate.force_stops
        self.due = NEVER
        self._fate = fate
        self._model = model
        self._opened_at = 0
        self._waiting: dict[PushType, int] = {}
        """What the push service keeps, and until when."""

    def opened(self, now: int) -> None:
        """The owner uses the app: it is stopped no more, for a while."""
        fate, model = self._fate, self._model
        self._opened_at = now
        stops = [at for at in fate.force_stops if at > now]
        self.deaf_at = stops[0] if stops else NEVER
        if fate.traits.killed and fate.luck.at(Purpose.FORCE_QUIT, now) < model.kill:
            left = 1.0 - fate.luck.at(Purpose.STAYS, now)
            self.deaf_at = min(self.deaf_at, now - round(math.log(left) * model.kill_hours * HOUR))
        self._waiting.clear()
        self.due = NEVER

    def called(self, now: int) -> None:
        """A call is shown: the app counts as used."""
        self._opened_at = now

    def renewed(self, now: int) -> None:
        """The app renewed: it removes its warnings."""
        self._waiting.clear()
        self.due = NEVER

    def push(self, kind: PushType, now: int, deadline_at: int) -> Answer | None:
        """Take a push that the push service accepted; `deadline_at` 0: not stored."""
        if now >= self.deaf_at:
            return None
        back = self._fate.off.end_of(now)
        if back > now or not self._arrives(kind, now):
            if deadline_at > now:
                self._waiting[kind] = deadline_at
                self.due = min(self.due, back if back > now else _next_hour(now))
            return None
        return self._received(kind, now)

    def look(self, now: int) -> Answer | None:
        """Deliver what waits, if it may be delivered now."""
        self.due = NEVER
        if now >= self.deaf_at:
            self._waiting.clear()
            return None
        back = self._fate.off.end_of(now)
        if back > now:
            self.due = back
            return None
        for kind, deadline_at in list(self._waiting.items()):
            if deadline_at <= now:
                del self._waiting[kind]
            elif self._arrives(kind, now):
                del self._waiting[kind]
                if self._waiting:
                    self.due = _next_hour(now)
                return self._received(kind, now)
        if self._waiting:
            self.due = _next_hour(now)
        return None

    def rings_outside(self, start: int, end: int) -> int:
        """Return for how long no call would ring although the phone is on and the app installed."""
        if not self._fate.traits.demoted:
            return 0
        hours = range(start // HOUR * HOUR, end, HOUR)
        return sum(
            self._fate.off.outside(max(start, hour), min(end, hour + HOUR))
            for hour in hours
            if self._dozes(hour)
        )

    def _arrives(self, kind: PushType, now: int) -> bool:
        if kind is not PushType.RENEW and not self._fate.traits.demoted:
            return True
        fate, model = self._fate, self._model
        if fate.is_charging(now):
            return True
        chance = model.maintenance if self._dozes(now) else 1.0
        if now - self._opened_at >= model.rare_after_days * DAY:
            chance *= model.rare_factor
        return chance >= 1.0 or fate.luck.at(Purpose.RUNS, now) < chance

    def _dozes(self, now: int) -> bool:
        fate = self._fate
        if fate.is_night(now):
            return not fate.is_charging(now)
        return fate.luck.at(Purpose.DOZES, now) < self._model.doze_by_day

    def _received(self, kind: PushType, now: int) -> Answer | None:
        if kind is PushType.EXPIRED:
            return Answer.NOTICED
        if self._fate.luck.at(Purpose.HELD, now) < self._model.renews:
            return Answer.RENEWED if kind is PushType.RENEW else Answer.RENEWED_FIRST
        return None if kind is PushType.RENEW else Answer.SHOWN


def phone_of(fate: Fate, model: Model) -> Phone:
    """Return a phone at the moment of its enrolment."""
    return IPhone(fate, model) if fate.traits.is_ios else AndroidPhone(fate, model)


def _next_hour(now: int) -> int:
    return (now // HOUR + 1) * HOUR
