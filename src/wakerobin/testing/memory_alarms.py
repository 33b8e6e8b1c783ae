"""Alarms of `MemoryStore`."""

# ruff: noqa: D102 - each method is described once, in ports/alarms.py

from __future__ import annotations

from dataclasses import replace

from wakerobin.ports.alarms import Alarm
from wakerobin.testing.memory_tables import Tables


class MemoryAlarms:
    """`ports.alarms.Alarms` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._rows = tables.alarm

    def put(self, alarm: Alarm) -> None:
        standing = self._rows.rows.get(alarm.name, alarm)
        changed = replace(alarm, since_at=standing.since_at)
        if changed != self._rows.rows.get(alarm.name):
            self._rows.put(alarm.name, changed)

    def clear(self, name: str) -> bool:
        stood = name in self._rows.rows
        self._rows.drop(name)
        return stood

    def all(self) -> list[Alarm]:
        return sorted(self._rows.rows.values(), key=lambda alarm: (alarm.since_at, alarm.name))
