"""How large a run is, and how a benchmark is told where to put things."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bench.stock import APP
from tests.interop.peers.network import Network
from wakerobin.core.values import Secret
from wakerobin.ports.options import ApnsOptions, AppOptions


@dataclass(frozen=True, slots=True)
class Scale:
    """Given to each benchmark. `quick` only shows that it works: its numbers say little."""

    quick: bool
    folder: Path
    """A new folder of this run."""
    network: Network

    def of(self, whole: int, quick: int) -> int:
        """Return how many, for a whole run and for a quick one."""
        return quick if self.quick else whole

    def place(self) -> tuple[str, int]:
        """Return an address of its own, and the first of four free ports there."""
        ip = self.network.address()
        return ip, self.network.port(ip, 4)


def app(registrar_ip: str, apns: ApnsOptions | None = None) -> dict[str, AppOptions]:
    """Return the one app of every benchmark."""
    registrars = ("pbx.test", registrar_ip)
    return {APP: AppOptions(enrolment_key=Secret("key"), registrars=registrars, apns=apns)}


def network() -> Network:
    """Return loopback addresses that hardly anybody else has."""
    return Network(200 + os.getpid() % 50)
