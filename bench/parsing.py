"""Reading, checking and writing one SIP message, beside sippy and sipmessage."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from bench.machine import OURS
from bench.messages import INVITE, OK
from bench.process import Process
from bench.scale import Scale
from bench.table import Row
from wakerobin.core.sip.message import check, parse

TITLE = "SIP messages: read, checked, Via From To CSeq Contact looked at, written"

_SIPPY = Path(__file__).parent.parent / ".venv" / "sippy" / "bin" / "python"
_TURN = 200
_WITHIN = 60.0
_MESSAGES = {"INVITE": INVITE, "200": OK}
_UNIT = "messages/CPU-s"


async def run(scale: Scale) -> list[Row]:
    """Measure ours, then the others on the same core."""
    seconds = scale.of(4, 1) / 4
    ours = {name: _rate(_read_and_write, data, seconds) for name, data in _MESSAGES.items()}
    theirs = await _peers(scale, seconds)
    rows = []
    for name, data in _MESSAGES.items():
        beside = {library: rates[name] for library, rates in theirs.items()}
        best = max(beside, key=lambda library: beside[library], default="")
        told = ", ".join(f"{library} {rate:,.0f}" for library, rate in beside.items())
        rows.append(
            Row(
                what=f"{name} of {len(data):,} octets",
                value=ours[name],
                unit=_UNIT,
                beside=best or "the other libraries are not installed",
                beside_value=beside.get(best, 0.0),
                remark=told,
            )
        )
    return rows


def _read_and_write(data: bytes) -> bytes:
    message = parse(data)
    check(message)
    _ = message.top_via, message.from_, message.to, message.cseq, message.contacts
    return message.encode()


def _rate(work: Callable[[bytes], bytes], data: bytes, seconds: float) -> float:
    """Return messages per CPU second, the best of the turns: what disturbs only makes it slower."""
    best, until = 0.0, time.process_time() + seconds
    while time.process_time() < until:
        began = time.process_time()
        for _ in range(_TURN):
            work(data)
        best = max(best, _TURN / (time.process_time() - began))
    return best


async def _peers(scale: Scale, seconds: float) -> dict[str, dict[str, float]]:
    """Return the rates of the other libraries, by library and message; empty: they are not installed."""
    if not _SIPPY.exists():
        return {}
    folder = scale.folder / "messages"
    folder.mkdir()
    for name, data in _MESSAGES.items():
        (folder / name).write_bytes(data)
    peers = Process("parse-peers", core=OURS)
    try:
        script = str(Path(__file__).with_name("parse_peers.py"))
        await peers.start([str(_SIPPY), script, str(folder), str(seconds)])
        await peers.ended(_WITHIN)
        told: dict[str, dict[str, float]] = json.loads(peers.output().splitlines()[-1])
    except (TimeoutError, ValueError, IndexError):
        raise RuntimeError(f"the other libraries failed: {peers.output()[-500:]}") from None
    finally:
        await peers.end()
    return told
