"""Several accounts in one app: what is due for one of them soon after another's goes out with it.

Renewals and warnings of the others are decided early, by an hour of a week at most; the notice of an end
waits for theirs instead, because no life ends early. The courier makes one push of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from wakerobin.core.lifetime import Decision, Effect, LifetimePolicy, Send
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Life
from wakerobin.ports.store import Standing, Transaction
from wakerobin.services.lives.context import is_renewable
from wakerobin.services.lives.effects import Writing, perform

HOUR = 3600_000
_PARTS = 168
"""An hour is so small a part of a week; of a shorter life it is no more."""
_EARLY = frozenset({PushType.RENEW, PushType.EXPIRY_WARNING})

FireAt: TypeAlias = Callable[[Standing, int], Decision]
"""Decides the firing of a life at a moment, and writes nothing."""


@dataclass(frozen=True, slots=True)
class Breath:
    """One firing, and what it takes along."""

    policy: LifetimePolicy
    fire_at: FireAt
    writing: Writing
    due: Collection[int]
    """Lives that are decided in this transaction anyway."""


def in_one_breath(
    tx: Transaction, standing: Standing, effects: tuple[Effect, ...], breath: Breath
) -> tuple[Effect, ...]:
    """Take along what is due soon for the other accounts of an installation.

    Returns the effects of the life that fires, its notice put off until the last end that is near.
    """
    kinds = {effect.kind for effect in effects if isinstance(effect, Send)}
    window = min(HOUR, standing.life.lifetime // _PARTS)
    now = breath.writing.now
    together_at = now
    for other in _others(tx, standing, now + window, breath.due):
        moment = max(now, other.life.next_at or now)
        life, theirs = breath.fire_at(other, moment)
        if PushType.EXPIRED in kinds and any(_is_notice(effect) for effect in theirs):
            together_at = max(together_at, moment)
        elif _may_go_early(other, theirs, kinds & _EARLY, breath):
            perform(tx, other.account_id, _not_later(life, now), _sent_at(theirs, now), breath.writing)
    return tuple(
        replace(effect, not_before=together_at)
        if isinstance(effect, Send) and effect.kind is PushType.EXPIRED
        else effect
        for effect in effects
    )


def _others(tx: Transaction, standing: Standing, until: int, due: Collection[int]) -> Iterator[Standing]:
    """Yield the other accounts of an installation for which something may be due until then."""
    if standing.is_alone:
        return
    of_it = tx.registrations.of_installation(standing.app, standing.installation)
    ids = [one.id for one in of_it if one.id not in due and one.proven]
    for other in tx.lives.standings(ids) if ids else ():
        if other.life.next_at is not None and other.life.next_at <= until:
            yield other


def _may_go_early(
    other: Standing, theirs: Iterable[Effect], kinds: Collection[PushType], breath: Breath
) -> bool:
    life, now = other.life, breath.writing.now
    sends = [effect for effect in theirs if isinstance(effect, Send) and effect.kind in kinds]
    if not sends or len(sends) != len(tuple(theirs)) or (life.next_at or now) >= life.expires_at:
        return False
    if not any(send.kind is PushType.EXPIRY_WARNING for send in sends):
        return True
    # Law 2 holds for a warning that comes early, too: a silent renewal must have had its chance by now.
    has_had = 0 < life.renewal_sent_at <= now - breath.policy.renewal_every
    return has_had or not is_renewable(other.capabilities, other.kinds)


def _not_later(life: Life, now: int) -> Life:
    return replace(life, warning_tried_at=min(life.warning_tried_at, now))


def _sent_at(effects: Iterable[Effect], now: int) -> list[Effect]:
    return [replace(effect, not_before=now) if isinstance(effect, Send) else effect for effect in effects]


def _is_notice(effect: Effect) -> bool:
    return isinstance(effect, Send) and effect.kind is PushType.EXPIRED
