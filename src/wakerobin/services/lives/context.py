"""What a life's decision needs to know beside the record: what can be shown, what can be sent silently."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from wakerobin.core.lifetime import Context, Downtime, LifetimePolicy
from wakerobin.core.values import Provider, Purpose, PushRegistration, PushTarget
from wakerobin.ports.options import LifetimeOptions

MAY_BE_SILENT: dict[Provider, bool] = {
    Provider.APNS: True,  # background pushes, rationed by Apple
}
"""Whether a kind of target may get a push that shows nothing."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What goes on around the lives at a moment."""

    downtime: Downtime = ()
    held_calls: frozenset[int] = frozenset()
    """Ids of registrations for which a call is held."""


def policy_of(options: LifetimeOptions) -> LifetimePolicy:
    """Return the policy that `[apps.NAME.lifetime]` describes. Raises ConfigurationError in words."""
    return LifetimePolicy(**{field.name: getattr(options, field.name) for field in fields(LifetimePolicy)})


def is_warnable(registration: PushRegistration, targets: Iterable[PushTarget]) -> bool:
    """Whether a warning can be shown: there is a notice target, and notifications were not denied."""
    return registration.capabilities.get("notifications", True) and any(
        Purpose.NOTICE in target.purposes for target in targets
    )


def is_renewable(registration: PushRegistration, targets: Iterable[PushTarget]) -> bool:
    """Whether a silent push can make the app renew: a VoIP token cannot, and the user may forbid it."""
    return registration.capabilities.get("background_refresh", True) and any(
        Purpose.NOTICE in target.purposes and MAY_BE_SILENT[target.provider] for target in targets
    )


def context_of(
    registration: PushRegistration, targets: list[PushTarget], around: Surroundings = Surroundings()
) -> Context:
    """Return the context of one life."""
    return Context(
        warnable=is_warnable(registration, targets),
        renewable=is_renewable(registration, targets),
        held_call=registration.id in around.held_calls,
        has_call_target=any(Purpose.CALL in target.purposes for target in targets),
        is_proven=registration.proven,
        downtime=around.downtime,
    )
