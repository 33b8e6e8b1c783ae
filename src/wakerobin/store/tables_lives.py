"""Lives and stories in SQL: what happens while time passes."""

# ruff: noqa: D102 - each method is described once, in ports/store.py

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from wakerobin.core.values import Duration, Ended, Life, Platform, Provider, Purpose, TargetKind
from wakerobin.ports.store import Standing, StoryRow
from wakerobin.store.session import Row, Session, from_json, to_json
from wakerobin.store.statements import load

_LIVES = load("lives")
_STORIES = load("stories")

_RENEW = _LIVES["renew"]
_GET = _LIVES["get"]
_PLATFORMS = {platform.value: platform for platform in Platform}


class LifeTable:
    """`ports.store.Lives` over a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, registration_id: int) -> Life | None:
        row = self._session.one(_GET, id=registration_id)
        return life_of(row) if row else None

    def add(self, life: Life) -> None:
        self._session.write("lives", _LIVES["add"], _life_values(life))

    def update(self, life: Life) -> None:
        values = _life_values(life)
        # A use begins at the foot of the ladder and stays armed; what climbs it is armed anew.
        is_use = life.step == 0 and life.ended is None
        if not (is_use and self._session.write("lives", _RENEW, values)):
            self._session.change("lives", _LIVES["update"], values)

    def climb(self, lives: Sequence[Life]) -> None:
        values = [
            {
                "id": life.id,
                "step": life.step,
                "next_at": life.next_at,
                "warning_tried_at": life.warning_tried_at,
                "warning_settled": life.warning_settled,
            }
            for life in lives
        ]
        changed = self._session.write_all("lives", _LIVES["climb"], values)
        if lives and changed != len(lives):
            raise ValueError(f"of {len(lives)} lives {changed} are there to update")

    def due(self, now: int, limit: int) -> list[int]:
        return [row[0] for row in self._session.all(_LIVES["due"], now=now, limit=limit)]

    def standings(self, ids: Sequence[int]) -> list[Standing]:
        rows = self._session.all(_LIVES["standings"], ids=json.dumps(list(ids)))
        return [_standing(row) for row in rows]

    def next_due(self) -> int | None:
        row = self._session.one(_LIVES["next_due"])
        return row[0] if row else None

    def ended(self, before: int, limit: int) -> list[Life]:
        return [life_of(row) for row in self._session.all(_LIVES["ended"], before=before, limit=limit)]

    def count(self) -> dict[str, int]:
        total = self._session.all(_LIVES["total"])[0][0]
        ends: dict[str, int] = dict(self._session.all(_LIVES["ends"]))
        return {"living": total - sum(ends.values()), **ends}


class StoryTable:
    """`ports.store.Stories` over a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, row: StoryRow) -> None:
        values = {"subject": row.subject, "at": row.at, "event": row.event, "details": to_json(row.details)}
        self._session.write("stories", _STORIES["add"], values)

    def of(self, subject: str, limit: int = 500) -> list[StoryRow]:
        rows = self._session.all(_STORIES["of"], subject=subject, limit=limit)
        return [
            StoryRow(subject=subject, at=at, event=event, details=from_json(details))
            for _, at, event, details in reversed(rows)
        ]

    def forget(self, before: int, limit: int) -> int:
        return self._session.write("stories", _STORIES["forget"], {"before": before, "limit": limit})

    def erase(self, subject: str) -> int:
        return self._session.write("stories", _STORIES["erase"], {"subject": subject})


def _life_values(life: Life) -> dict[str, Any]:
    return {
        "id": life.id,
        "slot": life.slot,
        "expires_at": life.expires_at,
        "next_at": life.next_at,
        "generation": life.generation,
        "step": life.step,
        "lifetime": life.lifetime,
        "renewed_at": life.renewed_at,
        "renewal_sent_at": life.renewal_sent_at,
        "warning_tried_at": life.warning_tried_at,
        "warned_at": life.warned_at,
        "warning_settled": life.warning_settled,
        "ended": life.ended,
        "ended_at": life.ended_at,
        "opened_at": life.opened_at,
        "noted_at": life.noted_at,
        "trouble_generation": life.trouble_generation,
        "trouble_told_at": life.trouble_told_at,
        "trouble_settled": life.trouble_settled,
        "trouble_cause": life.trouble_cause,
        "habits": life.habits,
    }


def life_of(row: Row) -> Life:
    """Return the life of a row that begins with its columns."""
    return Life(
        id=row[0],
        slot=row[1],
        expires_at=row[2],
        next_at=row[3],
        generation=row[4],
        step=row[5],
        lifetime=Duration(row[6]),
        renewed_at=row[7],
        renewal_sent_at=row[8],
        warning_tried_at=row[9],
        warned_at=row[10],
        warning_settled=bool(row[11]),
        ended=None if row[12] is None else Ended(row[12]),
        ended_at=row[13],
        opened_at=row[14],
        noted_at=row[15],
        trouble_generation=row[16],
        trouble_told_at=row[17],
        trouble_settled=bool(row[18]),
        trouble_cause=row[19],
        habits=row[20],
    )


def _standing(row: Row) -> Standing:
    account_id, app, proven, capabilities, platform, zone, installation, registered, alone, kinds = row[21:]
    return Standing(
        life=life_of(row),
        account_id=account_id,
        app=app,
        proven=bool(proven),
        capabilities=_capabilities(capabilities),
        kinds=_kinds(kinds or ""),
        platform=_PLATFORMS[platform],
        time_zone=zone,
        installation=installation,
        is_registered=bool(registered),
        is_alone=bool(alone),
    )


@functools.lru_cache(maxsize=1024)
def _capabilities(text: str) -> Mapping[str, bool]:
    """Read capabilities; as with the kinds of targets, there are few such texts."""
    return MappingProxyType(from_json(text))


@functools.lru_cache(maxsize=1024)
def _kinds(text: str) -> tuple[TargetKind, ...]:
    """Read `apns call|apns notice`; there are few such texts, whatever the number of phones."""
    found = []
    for one in text.split("|") if text else ():
        provider, *purposes = one.split(" ")
        found.append(TargetKind(Provider(provider), frozenset(map(Purpose, filter(None, purposes)))))
    return tuple(found)
