"""What a life's decision needs to know beside the record: what can be shown, what can be sent silently."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from wakerobin.core.lifetime import Context, Downtime, LifetimePolicy
from wakerobin.core.values import SILENCE, Purpose, Silence, TargetKind
from wakerobin.ports.options import LifetimeOptions
from wakerobin.ports.store import Standing


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What goes on around the lives at a moment."""

    downtime: Downtime = ()
    held_calls: frozenset[int] = frozenset()
    """Ids of registrations for which a call is held."""


def policy_of(options: LifetimeOptions) -> LifetimePolicy:
    """Return the policy that `[apps.NAME.lifetime]` describes. Raises ConfigurationError in words."""
    return LifetimePolicy(**{field.name: getattr(options, field.name) for field in fields(LifetimePolicy)})


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
    )
