"""The files of the system that say who is where: read anew when they change."""

from __future__ import annotations

import os
from pathlib import Path

from wakerobin.core.sip.targets import is_address, name_of

HOSTS = "/etc/hosts"


class Changes:
    """Tells whether a file is another than at the last look."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = (0, 0, 0)

    def look(self) -> bool:
        """Whether it changed, came or went; True at the first look."""
        try:
            facts = os.stat(self.path)
            present = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
        except OSError:
            present = None
        is_other = present != self._seen
        self._seen = present
        return is_other


class Hosts:
    """The names of /etc/hosts."""

    def __init__(self, path: str = HOSTS) -> None:
        self._changes = Changes(path)
        self._addresses: dict[str, tuple[str, ...]] = {}

    def addresses(self, name: str) -> tuple[str, ...]:
        """Return what the file has for a name; often nothing. Never raises."""
        if self._changes.look():
            self._addresses = _read(self._changes.path)
        return self._addresses.get(name_of(name), ())


def _read(path: str) -> dict[str, tuple[str, ...]]:
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if not is_address(address):
            continue
        for name in map(name_of, names):
            found[name] = (*found.get(name, ()), address)
    return found
