"""What is kept beside the lives, in SQL: troubles, held uses, receipts, tallies."""

# ruff: noqa: D102 - each method is described once, in ports/upkeep.py

from __future__ import annotations

from wakerobin.ports.upkeep import AccountTrouble, ReceiptRow, TallyRow
from wakerobin.store.session import Row, Session
from wakerobin.store.statements import load

_TROUBLES = load("troubles")
_HELD_USES = load("held_uses")
_STEPPED_ASIDE = load("stepped_aside")
_RECEIPTS = load("receipts")
_TALLIES = load("tallies")


class TroubleTable:
    """`ports.upkeep.Troubles` over a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, account_id: int) -> AccountTrouble | None:
        row = self._session.one(_TROUBLES["get"], account_id=account_id)
        return _trouble(row) if row else None

    def put(self, trouble: AccountTrouble) -> None:
        values = {
            "account_id": trouble.account_id,
            "cause": trouble.cause,
            "code": trouble.code,
            "reason": trouble.reason,
            "registrar": trouble.registrar,
            "peers": trouble.peers,
            "since_at": trouble.since_at,
            "refusals": trouble.refusals,
            "refused_at": trouble.refused_at,
            "told": trouble.told,
            "next_at": trouble.next_at,
        }
        self._session.write("troubles", _TROUBLES["put"], values)

    def remove(self, account_id: int) -> None:
        self._session.write("troubles", _TROUBLES["remove"], {"account_id": account_id})

    def due(self, now: int, limit: int) -> list[AccountTrouble]:
        return [_trouble(row) for row in self._session.all(_TROUBLES["due"], now=now, limit=limit)]

    def refused_at(self, registrar: str) -> int:
        count: int = self._session.all(_TROUBLES["refused_at"], registrar=registrar)[0][0]
        return count

    def count(self) -> dict[str, int]:
        return dict(self._session.all(_TROUBLES["count"]))

    def registrars(self) -> list[tuple[str, int, int]]:
        return sorted(self._session.all(_TROUBLES["registrars"]))


class HeldUseTable:
    """`ports.upkeep.HeldUses` over a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, registration_id: int) -> None:
        self._session.write("lives", _HELD_USES["add"], {"registration_id": registration_id})

    def first(self, limit: int) -> list[int]:
        return [row[0] for row in self._session.all(_HELD_USES["first"], limit=limit)]

    def remove(self, registration_id: int) -> None:
        self._session.write("lives", _HELD_USES["remove"], {"registration_id": registration_id})


class SteppedAsideTable:
    """`ports.upkeep.SteppedAside` over a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def put(self, registration_id: int, since_at: int) -> None:
        values = {"registration_id": registration_id, "since_at": since_at}
        self._session.write("stepped_aside", _STEPPED_ASIDE["put"], values)

    def get(self, registration_id: int) -> int:
        row = self._session.one(_STEPPED_ASIDE["get"], registration_id=registration_id)
        return int(row[0]) if row else 0

    def page(self, after: int, limit: int) -> list[tuple[int, int]]:
        rows = self._session.all(_STEPPED_ASIDE["page"], after=after, limit=limit)
        return [(row[0], row[1]) for row in rows]

    def remove(self, registration_id: int) -> None:
        values = {"registration_id": registration_id}
        self._session.write("stepped_aside", _STEPPED_ASIDE["remove"], values)


class ReceiptTable:
    """`ports.upkeep.Receipts` over a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, row: ReceiptRow) -> None:
        values = {
            "registration_id": row.registration_id,
            "at": row.at,
            "push_id": row.push_id,
            "kind": row.kind,
            "push_type": row.push_type,
        }
        self._session.write("receipts", _RECEIPTS["add"], values)

    def of(self, registration_id: int, limit: int = 500) -> list[ReceiptRow]:
        rows = self._session.all(_RECEIPTS["of"], registration_id=registration_id, limit=limit)
        return [
            ReceiptRow(registration_id=id_, at=at, push_id=push_id, kind=kind, push_type=push_type)
            for id_, at, push_id, kind, push_type in reversed(rows)
        ]

    def forget(self, before: int, limit: int) -> int:
        return self._session.write("receipts", _RECEIPTS["forget"], {"before": before, "limit": limit})


class TallyTable:
    """`ports.upkeep.Tallies` over a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, app: str, platform: str, day: int, name: str, count: int = 1) -> None:
        values = {"app": app, "platform": platform, "day": day, "name": name, "count": count}
        self._session.write("tallies", _TALLIES["add"], values)

    def since(self, day: int) -> list[TallyRow]:
        return [
            TallyRow(app=app, platform=platform, day=on, name=name, count=count)
            for app, platform, on, name, count in self._session.all(_TALLIES["since"], day=day)
        ]

    def forget(self, before: int) -> int:
        return self._session.write("tallies", _TALLIES["forget"], {"before": before})


def _trouble(row: Row) -> AccountTrouble:
    return AccountTrouble(
        account_id=row[0],
        cause=row[1],
        code=row[2],
        reason=row[3],
        registrar=row[4],
        peers=row[5],
        since_at=row[6],
        refusals=row[7],
        refused_at=row[8],
        told=row[9],
        next_at=row[10],
    )
