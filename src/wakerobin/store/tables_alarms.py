"""Alarms in SQL: what an operator has to know until it is over."""

# ruff: noqa: D102 - each method is described once, in ports/alarms.py

from __future__ import annotations

from wakerobin.ports.alarms import Alarm
from wakerobin.store.session import Session
from wakerobin.store.statements import load

_ALARMS = load("alarms")


class AlarmTable:
    """`ports.alarms.Alarms` over a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def put(self, alarm: Alarm) -> None:
        values = {"name": alarm.name, "since_at": alarm.since_at, "words": alarm.words}
        self._session.write("alarms", _ALARMS["put"], values)

    def clear(self, name: str) -> bool:
        return self._session.write("alarms", _ALARMS["clear"], {"name": name}) > 0

    def all(self) -> list[Alarm]:
        return [Alarm(*row) for row in self._session.all(_ALARMS["all"])]
