"""What a life's decision needs to know beside the record: what can be shown, what can be sent silently."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from wakerobin.core.errors import ConfigurationError
from wakerobin.core.lifetime import Context, Downtime, LifetimePolicy, QuietHours, Renewal
from wakerobin.core.values import SILENCE, Duration, Platform, Purpose, Silence, TargetKind
from wakerobin.ports.options import LifetimeOptions
from wakerobin.ports.store import Standing

_RENEWALS = frozenset({Renewal.ADAPTIVE, Renewal.LADDER})
_AT_END = frozenset({"forget", "dormant"})


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What goes on around the lives at a moment."""

    downtime: Downtime = ()
    held_calls: frozenset[int] = frozenset()
    """Ids of registrations for which a call is held."""


def policy_of(options: LifetimeOptions) -> LifetimePolicy:
    """Return the policy that `[apps.NAME.lifetime]` describes. Raises ConfigurationError in words."""
    if options.renewal not in _RENEWALS:
        raise ConfigurationError("lifetime.renewal must be `adaptive` or `ladder`")
    if options.at_end not in _AT_END:
        raise ConfigurationError("lifetime.at_end must be `forget` or `dormant`")
    return LifetimePolicy(
        lifetime=options.lifetime,
        renewal_from=options.renewal_from,
        renewal_every=options.renewal_every,
        warnings=options.warnings,
        grace_limit=options.grace_limit,
        renewal=Renewal(options.renewal),
        lifetime_min=options.lifetime_min,
        lifetime_max=options.lifetime_max,
        unregistered_limit=options.unregistered_limit,
        quiet_hours=QuietHours.parse(options.quiet_hours) if options.quiet_hours else None,
        dormant_for=options.dormant_for if options.at_end == "dormant" else Duration(0),
        monthly_note=options.monthly_note,
    )


def is_warnable(capabilities: Mapping[str, bool], kinds: Iterable[TargetKind]) -> bool:
    """Whether a warning can be shown: there is a notice target, and notifications were not denied."""
    return capabilities.get("notifications", True) and any(Purpose.NOTICE in kind.purposes for kind in kinds)


def is_renewable(capabilities: Mapping[str, bool], kinds: Iterable[TargetKind]) -> bool:
    """Whether a silent push can make the app renew: a VoIP token cannot, and the user may forbid it."""
    return capabilities.get("background_refresh", True) and any(
        Purpose.NOTICE in kind.purposes and SILENCE[kind.provider] is Silence.ALLOWED for kind in kinds
    )


def context_of(standing: Standing, around: Surroundings = Surroundings()) -> Context:
    """Return the context of one life."""
    return Context(
        warnable=is_warnable(standing.capabilities, standing.kinds),
        renewable=is_renewable(standing.capabilities, standing.kinds),
        held_call=standing.life.id in around.held_calls,
        has_call_target=any(Purpose.CALL in kind.purposes for kind in standing.kinds),
        is_proven=standing.proven,
        downtime=around.downtime,
        zone=standing.time_zone,
        is_registered=standing.is_registered,
        is_android=standing.platform is Platform.ANDROID,
    )
