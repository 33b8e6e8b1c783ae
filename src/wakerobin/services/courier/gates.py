"""The gate before each push service: how fast bulk may go through, and whether it is open at all.

A service that fails is not asked any more, save for a probe now and then; calls go past the gates, and
what becomes of them is heard here too. There is a gate for each app and provider, and where a provider
has many hosts (Web Push), one for each of them.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from wakerobin import log, metrics
from wakerobin.core.delivery import refused_in_bulk, refused_key, service_down
from wakerobin.core.pacing import Breaker, Pace
from wakerobin.core.pushes import Accepted, Outcome, Rejected, TargetGone, Throttled, Unavailable
from wakerobin.core.values import Provider, PushTarget
from wakerobin.ports.store import Queue
from wakerobin.services.courier.alarms import PushAlarms
from wakerobin.services.courier.around import Around

_log = log.get("courier")

_OF_MANY_HOSTS: Final = frozenset((Provider.WEBPUSH, Provider.UNIFIEDPUSH))
# Of these an operator wants to hear; what else is a host, an app's user has chosen.
_KNOWN_HOSTS: Final = frozenset(
    ("fcm.googleapis.com", "updates.push.services.mozilla.com", "web.push.apple.com", "wns.windows.com")
)
_MOST_GATES = 2000
_ALARM_AFTER_S = 60.0
"""A service that is away for less is nobody's concern."""
_CALM_S = 3600.0
"""So long after the last refusals in bulk, an accepted push takes the alarm back."""
_SPREAD_S = 10.0
"""What waited for a service comes back within this time, not all at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceOptions:
    """How fast bulk goes to one push service of one app."""

    rate: float = 1000.0
    """Pushes a second."""
    ramp_s: float = 60.0
    """How long after a start or an outage it takes to reach that."""
    in_flight: int = 200
    """How many are out at once."""

    @property
    def burst(self) -> float:
        """How many may go at once after a pause."""
        return max(1.0, self.rate / 10)


class Gates:
    """Every gate."""

    def __init__(self, around: Around, options: PaceOptions, alarms: PushAlarms) -> None:
        self._around = around
        self._options = options
        self._alarms = alarms
        self._breakers: OrderedDict[tuple[str, Provider, str], Breaker] = OrderedDict()
        self._paces: dict[tuple[str, str], Pace] = {}
        self._refused_at: dict[str, float] = {}

    # For whole queues.

    def pace(self, queue: Queue) -> Pace:
        """Return the pace of an app at the provider of a queue."""
        key = (queue.app, queue.provider)
        pace = self._paces.get(key)
        if pace is None:
            options = self._options
            now = self._around.clock.monotonic()
            pace = self._paces[key] = Pace(options.rate, options.ramp_s, options.burst, now)
        return pace

    def queue_wait(self, queue: Queue) -> float:
        """Return the seconds until the service of a queue may be asked; 0 for now, by a probe at least."""
        breaker = self._of_queue(queue)
        return breaker.wait(self._around.clock.monotonic()) if breaker else 0.0

    def is_probing_only(self, queue: Queue) -> bool:
        """Whether no more than one push of the queue may go."""
        breaker = self._of_queue(queue)
        return breaker is not None and breaker.is_open

    # For each push.

    def park(self, app: str, target: PushTarget) -> int:
        """Return 0 where a push may go to this target now, else the milliseconds for which it has to wait.

        Tell with `heard` or `gave_up` what became of one that may go.
        """
        breaker = self._breakers.get(_key(app, target))
        if breaker is None:
            return 0
        now = self._around.clock.monotonic()
        wait = breaker.wait(now)
        if wait <= 0 and breaker.admit(now):
            return 0
        return round((wait + _SPREAD_S * self._around.jitter()) * 1000) + 1

    def gave_up(self, app: str, target: PushTarget) -> None:
        """Say that a push that might go did not leave."""
        breaker = self._breakers.get(_key(app, target))
        if breaker is not None:
            breaker.gave_up()

    def heard(self, app: str, target: PushTarget, outcome: Outcome) -> None:
        """Take in what a push service said."""
        key = _key(app, target)
        now = self._around.clock.monotonic()
        match outcome:
            case Throttled(reason=reason):
                self._throttled(key, now, reason)
            case Unavailable(reason=reason):
                self._failed(key, now, reason, is_refusal=False)
            case Rejected(reason=reason, ours=True):
                # A topic that the app names itself is refused for that app's phone, not for all.
                self._failed(key, now, reason, is_refusal=not target.topic)
            case _:
                self._succeeded(key, now)
        if isinstance(outcome, Accepted):
            self._calm(app, target, now)

    def refused_in_bulk(self, app: str, target: PushTarget, outcome: TargetGone) -> None:
        """Take in that so many tokens are refused that it must be our fault (law 5)."""
        name = _alarm("targets-refused", (app, target.provider, ""))
        self._refused_at[name] = self._around.clock.monotonic()
        if self._alarms.put(name, refused_in_bulk(app, target.provider, outcome.reason)):
            metrics.PUSH_REFUSED_IN_BULK.labels(app, target.provider.value).inc()

    # Opening and closing.

    def _failed(self, key: tuple[str, Provider, str], now: float, reason: str, *, is_refusal: bool) -> None:
        app, provider, host = key
        breaker = self._breakers.setdefault(key, Breaker())
        self._breakers.move_to_end(key)
        if breaker.failed(now, self._around.jitter(), is_refusal=is_refusal):
            metrics.PUSH_PAUSED.labels(app, provider.value).inc()
            _log.warning("push_service_paused", app=app, provider=provider, reason=reason)
        if host and host not in _KNOWN_HOSTS:
            self._forget_some()
            return
        if is_refusal:
            self._alarms.put(_alarm("key-refused", key), refused_key(app, provider, reason))
        elif breaker.is_open and now - breaker.opened_at >= _ALARM_AFTER_S:
            name = _alarm("paused", key)
            if not self._alarms.stands(name):
                self._alarms.put(name, service_down(app, provider, host, reason))

    def _throttled(self, key: tuple[str, Provider, str], now: float, reason: str) -> None:
        """It serves, but not now: the row waits by itself, and a probe has found out nothing."""
        breaker = self._breakers.get(key)
        if breaker is not None and breaker.is_open:
            self._failed(key, now, reason, is_refusal=False)

    def _succeeded(self, key: tuple[str, Provider, str], now: float) -> None:
        app, provider, _ = key
        breaker = self._breakers.get(key)
        if breaker is not None:
            if breaker.succeeded(now):
                metrics.PUSH_PAUSED.labels(app, provider.value).dec()
                _log.warning("push_service_resumed", app=app, provider=provider)
                for queue, pace in self._paces.items():
                    if queue == (app, provider.value):
                        pace.restart(now)
            if breaker.is_open:
                return
        if self._alarms.any:
            self._alarms.clear(_alarm("paused", key))
            self._alarms.clear(_alarm("key-refused", key))

    def _calm(self, app: str, target: PushTarget, now: float) -> None:
        if not self._alarms.any:
            return
        name = _alarm("targets-refused", (app, target.provider, ""))
        if self._alarms.stands(name) and now >= self._refused_at.setdefault(name, now) + _CALM_S:
            self._alarms.clear(name)
            del self._refused_at[name]

    def _of_queue(self, queue: Queue) -> Breaker | None:
        if not queue.provider or Provider(queue.provider) in _OF_MANY_HOSTS:
            return None
        return self._breakers.get((queue.app, Provider(queue.provider), ""))

    def _forget_some(self) -> None:
        """Forget hosts that nobody has asked for long: users choose them, so there is no end of them."""
        while len(self._breakers) > _MOST_GATES:
            (app, provider, _), breaker = self._breakers.popitem(last=False)
            if breaker.is_open:
                metrics.PUSH_PAUSED.labels(app, provider.value).dec()


def _key(app: str, target: PushTarget) -> tuple[str, Provider, str]:
    if target.provider not in _OF_MANY_HOSTS:
        return app, target.provider, ""
    try:
        host = urlsplit(target.token.reveal()).hostname or "?"
    except ValueError:
        host = "?"
    return app, target.provider, host


def _alarm(kind: str, key: tuple[str, Provider, str]) -> str:
    app, provider, host = key
    return f"push-{kind}:{app}/{provider.value}" + (f"/{host}" if host else "")
