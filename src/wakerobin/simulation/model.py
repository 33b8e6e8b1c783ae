"""What the simulation assumes of people and phones: each number with what it says and where it is from.

Where a maker of phones states a rule, its documentation is the source. Nobody publishes how people use
softphones, or how often a system keeps its promises: those numbers are assumptions of ours, and say so.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

HOUR = 3600_000
DAY = 24 * HOUR

_OURS = "assumed"
_BACKGROUND = "Apple, Pushing background updates to your App"
_SENDING = "Apple, Sending notification requests to APNs"
_VOIP = "Apple, Responding to VoIP notifications from PushKit"
_LOW_POWER = "Apple, Use Low Power Mode: background activity is reduced"
_DOZE = "Google, Optimize for Doze and App Standby"
_POWER = "Google, Power management restrictions"
_PRIORITY = "Google, FCM message priority"
_STOPPED = "firebase/quickstart-android issue 368"
_MAKERS = "dontkillmyapp.com; firebase/quickstart-android issue 368"


def _assume(value: Any, says: str, source: str = _OURS) -> Any:
    return dataclasses.field(default=value, metadata={"says": says, "source": source})


@dataclass(frozen=True, slots=True)
class Custom:
    """How a kind of people uses the app: its share, and on how many days of a hundred."""

    name: str
    share: float
    opens: float
    """The chance that they open the app on a day."""
    is_called: float
    """The chance that somebody calls them on a day."""


@dataclass(frozen=True, slots=True)
class Temper:
    """How people take a warning: their share, and how likely they open the app for it."""

    name: str
    share: float
    acts: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """All assumptions; shares and chances from 0 to 1."""

    customs: tuple[Custom, ...] = _assume(
        (
            Custom("heavy", 0.30, 0.95, 0.90),
            Custom("regular", 0.30, 0.45, 0.40),
            Custom("weekly", 0.20, 0.14, 0.14),
            Custom("monthly", 0.13, 0.035, 0.06),
            Custom("rare", 0.07, 0.01, 0.02),
        ),
        "people by how often they use the app: share, chance to open it and to be called on a day",
    )
    tempers: tuple[Temper, ...] = _assume(
        (Temper("careful", 0.3, 0.95), Temper("usual", 0.5, 0.6), Temper("careless", 0.2, 0.1)),
        "people by how they take a warning: share, chance to open the app for it",
    )
    reaction_hours: float = _assume(2.0, "mean time from reading a warning to opening the app")
    night_from: int = _assume(23, "people sleep from this hour, give or take two, and do nothing then")
    night_hours: int = _assume(8, "…for so many hours")
    notifications_denied: float = _assume(0.12, "people who allow no notifications; the app reports it")
    off_at_night: float = _assume(0.10, "people who switch the phone off at night")
    gaps_a_day: float = _assume(0.04, "chance of 2 to 10 hours a day without network or battery")
    holidays_a_year: float = _assume(2.0, "holidays of one to three weeks in which the app is not opened")
    offline_on_holiday: float = _assume(0.4, "holidays on which the phone is off or has no network")
    uninstalls_a_month: float = _assume(0.02, "chance that the app is removed")
    charges_at_night: float = _assume(0.75, "nights on which the phone is on its charger")
    push_service_busy: float = _assume(0.002, "attempts that a push service answers with 503")

    ios: float = _assume(0.5, "phones that are iPhones; the others run Android")
    in_memory_hours: float = _assume(8.0, "mean time until the system purges an app that was used")
    force_quits: float = _assume(
        0.15, "people who swipe the app away; a background push is then discarded", _BACKGROUND
    )
    force_quit: float = _assume(0.7, "…after so many of their uses; a VoIP push still starts the app", _VOIP)
    refresh_off: float = _assume(
        0.08, "people who switched Background App Refresh off; the app reports it, no silent push is sent"
    )
    low_power: float = _assume(0.15, "people who switch Low Power Mode on from 17:00 until the night")
    low_power_factor: float = _assume(0.1, "…and what that leaves of the chances below", _LOW_POWER)
    runs_in_memory: float = _assume(
        0.5, "chance that a background push runs an app in memory (delivery is not guaranteed)", _BACKGROUND
    )
    runs_charging: float = _assume(0.4, "…a purged app, on the charger at night", _BACKGROUND)
    runs_purged: float = _assume(0.08, "…a purged app at any other time", _BACKGROUND)
    keenness: tuple[float, float] = _assume(
        (0.3, 1.2), "what these chances are multiplied with, a factor of each phone's own"
    )
    held: float = _assume(
        0.5,
        "pushes not run at once that the system holds, only the newest, until it runs or the app is "
        "killed; the others are dropped",
        _BACKGROUND,
    )
    stored: int = _assume(1, "notifications APNs keeps per app for a phone that is offline", _SENDING)

    doze_by_day: float = _assume(0.35, "hours of the day in which an Android phone dozes", _DOZE)
    maintenance: float = _assume(
        0.3, "chance of a maintenance window in an hour of Doze: a normal push waits for it", _DOZE
    )
    rare_after_days: float = _assume(
        7.0, "days without a person's use until the app is in a rare bucket", _POWER
    )
    rare_factor: float = _assume(
        0.3, "…and what that leaves of the chances to run, save on a charger", _POWER
    )
    renews: float = _assume(0.97, "apps woken by a push that reach the server within their time")
    killed: float = _assume(
        0.12, "Android phones whose maker stops apps in the background: nothing arrives until opened", _MAKERS
    )
    kill: float = _assume(0.5, "…after so many of their uses", _MAKERS)
    kill_hours: float = _assume(36.0, "…after a mean time of so long")
    force_stops_a_month: float = _assume(
        0.01, "chance that a person force-stops the app: nothing arrives until opened", _STOPPED
    )
    demoted: float = _assume(
        0.03,
        "Android phones on which high priority was demoted to normal: calls and warnings wait in Doze",
        _PRIORITY,
    )


def described(model: Model) -> dict[str, dict[str, Any]]:
    """Return every assumption as JSON has it: its value, what it says and its source."""
    found = {}
    for field in dataclasses.fields(model):
        value = getattr(model, field.name)
        if isinstance(value, tuple) and dataclasses.is_dataclass(value[0]):
            value = [dataclasses.asdict(one) for one in value]
        elif isinstance(value, tuple):
            value = list(value)
        found[field.name] = {"value": value, **field.metadata}
    return found
