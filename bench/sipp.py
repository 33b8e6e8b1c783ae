"""SIPp: callers, phones and a registering client, weighed by their CPU time. Nothing is traced."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.machine import OTHERS
from bench.process import Process
from tests.interop.peers.network import find_program

_SCENARIOS = Path(__file__).with_name("scenarios")
_WEIGH_EVERY = 0.05


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended."""

    successful: int
    failed: int
    retransmissions: int
    cpu_seconds: float
    """As seen last, up to 50 ms before its end; 0.0 where it was not weighed."""
    setup_ms: float
    """From the INVITE to its 200, the mean of all calls; 0.0 where the scenario times nothing."""


class Sipp:
    """One run of a scenario of `scenarios/`, over UDP or (`t1`) one TCP connection.

    `lines` are given to the calls in turn.
    """

    def __init__(  # noqa: PLR0913 - the options of a program, by name
        self,
        scenario: str,
        place: tuple[str, int],
        *,
        target: tuple[str, int] | None = None,
        lines: Sequence[str] = (),
        count: int = 0,
        rate: int = 10,
        keys: Mapping[str, str | int] | None = None,
        transport: str = "u1",
    ) -> None:
        self._process = Process(f"sipp-{scenario}", core=OTHERS)
        ip, port = place
        command = [find_program("sipp")]
        if target is not None:
            command += [f"{target[0]}:{target[1]}"]
        command += ["-sf", str(_SCENARIOS / f"{scenario}.xml"), "-i", ip, "-p", str(port), "-cp", "0"]
        command += [
            "-t",
            transport,
            "-bind_local",
            "-nostdin",
            "-r",
            str(rate),
            "-l",
            "100000",
            "-recv_timeout",
            "8000",
        ]
        command += ["-trace_stat", "-stf", "statistics.csv", "-fd", "1", "-buff_size", "4194304"]
        if count:
            command += ["-m", str(count)]
        for name, value in (keys or {}).items():
            command += ["-key", name, str(value)]
        if lines:
            (self._process.folder / "lines.csv").write_text("\n".join(["SEQUENTIAL", *lines]) + "\n")
            command += ["-inf", "lines.csv"]
        self._command = command

    async def __aenter__(self) -> Sipp:
        await self._process.start(self._command)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._process.end()

    async def finished(self, within: float, *, weighed: bool = False) -> Result:
        """Wait for the end of the run. Raises TimeoutError. Weighing takes CPU time of this process."""
        cpu_seconds = 0.0
        async with asyncio.timeout(within):
            while weighed and self._process.is_running:
                cpu_seconds = self._process.cpu_seconds() or cpu_seconds
                await asyncio.sleep(_WEIGH_EVERY)
            await self._process.ended(within)
        statistics = self._process.folder / "statistics.csv"
        if not statistics.exists():
            raise RuntimeError(f"SIPp did not run: {self._process.output()[-500:]}")
        last = list(csv.DictReader(statistics.read_text().splitlines(), delimiter=";"))[-1]
        return Result(
            successful=int(last["SuccessfulCall(C)"]),
            failed=int(last["FailedCall(C)"]),
            retransmissions=int(last["Retransmissions(C)"]),
            cpu_seconds=cpu_seconds,
            setup_ms=_milliseconds(last.get("ResponseTime1(C)") or ""),
        )


def _milliseconds(text: str) -> float:
    """Read what SIPp writes of a time: hours, minutes, seconds, microseconds."""
    if text.count(":") != 3:
        return 0.0
    hours, minutes, seconds, micros = text.split(":")
    return ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int(micros) / 1000
