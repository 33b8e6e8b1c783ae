"""Calls: SIPp callers through the whole server to SIPp phones, beside Kamailio as native proxy and sippy."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.kamailio import PASSWORD, REALM, Kamailio
from bench.machine import OTHERS, OURS
from bench.process import Process
from bench.scale import Scale, app
from bench.serving import Place, serving
from bench.sipp import Result, Sipp
from bench.stock import Stock, contact_user, user
from bench.table import Row
from wakerobin.ports.options import HttpOptions, Options, SipOptions

TITLE = "Calls through the proxy (INVITE, 180, 200, ACK, BYE), both ends SIPp"

_SIPPY = Path(__file__).parent.parent / ".venv" / "sippy" / "bin" / "python"
_RATE = 200
"""Fast enough that messages come in batches, as they do where many call, and not all that a core can do."""
_SIPPY_RATE = 60
"""What sippy takes without losing calls."""
_WITHIN = 40.0
_SETTLE = 0.5
_UNIT = "calls/CPU-s"
_OVER = {"UDP": "u1", "TCP": "t1"}


@dataclass(frozen=True, slots=True)
class _Size:
    """A flow of phones for every two accounts, so that no account is called too often."""

    flows: int
    calls: int

    @property
    def accounts(self) -> int:
        return 2 * self.flows


@dataclass(frozen=True, slots=True)
class _Measured:
    """What one run of calls took."""

    calls: int
    cpu_s: float
    result: Result

    @property
    def per_cpu_second(self) -> float:
        return self.calls / self.cpu_s

    def __str__(self) -> str:
        return f"{self.result.failed} failed, {self.result.retransmissions} retransmissions"


async def run(scale: Scale) -> list[Row]:
    """Call through us, by UDP and by TCP, then the same calls through the others, and straight."""
    size = _Size(scale.of(16, 4), scale.of(2_000, 100))
    ours = {name: await _through_us(scale, size, over) for name, over in _OVER.items()}
    theirs = {name: await _through_kamailio(scale, size, over) for name, over in _OVER.items()}
    sippy = await _through_sippy(scale, scale.of(400, 20))
    straight = await _straight(scale, size)
    rows = [
        Row(
            what=f"PBX over {name}, with storage of each call; beside a native proxy that stores nothing",
            value=measured.per_cpu_second,
            unit=_UNIT,
            beside="Kamailio",
            beside_value=theirs[name].per_cpu_second,
            at_least=1500,
            remark=f"{size.calls:,} calls at {_RATE}/s; ours: {measured}; Kamailio: {theirs[name]}",
        )
        for name, measured in ours.items()
    ]
    rows.append(
        Row(
            what="the same over UDP, beside a B2BUA in Python that stores nothing",
            value=ours["UDP"].per_cpu_second,
            unit=_UNIT,
            beside="sippy" if sippy else "sippy is not installed",
            beside_value=sippy.per_cpu_second if sippy else 0.0,
            remark=f"sippy at {_SIPPY_RATE}/s: {sippy}" if sippy else "",
        )
    )
    rows.append(
        Row(
            what="INVITE to 200 over UDP, added by us (mean)",
            value=ours["UDP"].result.setup_ms - straight.setup_ms,
            unit="ms",
            beside="added by Kamailio",
            beside_value=max(0.0, theirs["UDP"].result.setup_ms - straight.setup_ms),
            remark=f"straight from SIPp to SIPp it is {straight.setup_ms:.2f} ms",
        )
    )
    return rows


async def _through_us(scale: Scale, size: _Size, over: str) -> _Measured:
    caller = scale.place()
    folder = scale.folder / f"ours-{over}"
    folder.mkdir()
    async with Kamailio(*scale.place(), core=OTHERS) as pbx:
        place = Place.new(folder)
        await place.keep(Stock(count=size.accounts, registrar=pbx.address, key=place.key))
        ip, port = scale.place()
        options = Options(
            sip=SipOptions(
                listen=(f"udp:{ip}:{port}", f"tcp:{ip}:{port}"),
                call_sources=(caller[0],),
                register_rate=1000.0,
                live_flow=SipOptions().ring_timeout,  # nobody is to be woken: these phones are awake
            ),
            http=HttpOptions(listen=""),
            apps=app(pbx.ip),
        )
        async with serving(options, place), _phones(scale, size, (ip, port)):
            users = [contact_user(n) for n in range(size.accounts)]
            return await _call(caller, (ip, port), users, size, time.process_time, over)


async def _through_kamailio(scale: Scale, size: _Size, over: str) -> _Measured:
    caller = scale.place()
    async with Kamailio(*scale.place(), core=OURS) as proxy:
        target = (proxy.ip, proxy.port)
        async with _phones(scale, size, target):
            users = [user(n) for n in range(size.accounts)]
            return await _call(caller, target, users, size, proxy.cpu_seconds, over)


async def _through_sippy(scale: Scale, calls: int) -> _Measured | None:
    """Call through sippy's B2BUA, which knows one next hop; None: it is not installed."""
    if not _SIPPY.exists():
        return None
    caller, phone, (ip, port) = scale.place(), scale.place(), scale.place()
    b2bua = Process("sippy", core=OURS)
    try:
        script = str(Path(__file__).with_name("sippy_b2bua.py"))
        await b2bua.start([str(_SIPPY), script, ip, str(port), phone[0], str(phone[1])])
        async with Sipp("phone", phone):
            size = _Size(1, calls)
            return await _call(caller, (ip, port), [user(0)], size, b2bua.cpu_seconds, rate=_SIPPY_RATE)
    finally:
        await b2bua.end()


async def _straight(scale: Scale, size: _Size) -> Result:
    """Call with nothing between."""
    caller, phone = scale.place(), scale.place()
    async with Sipp("phone", phone):
        return (await _call(caller, phone, [user(0)], size, time.process_time)).result


@contextlib.asynccontextmanager
async def _phones(scale: Scale, size: _Size, server: tuple[str, int]) -> AsyncIterator[None]:
    """Register each account from the address at which its phone then answers."""
    async with contextlib.AsyncExitStack() as stack:
        for flow in range(size.flows):
            place = scale.place()
            names = [user(2 * flow), user(2 * flow + 1)]
            lines = [f"{name};[authentication username={name} password={PASSWORD}]" for name in names]
            keys: dict[str, str | int] = {"domain": REALM, "contact_port": place[1]}
            client = Sipp("register", place, target=server, lines=lines, count=2, rate=100, keys=keys)
            async with client:
                result = await client.finished(_WITHIN)
            if result.successful != len(names):
                raise RuntimeError("the phones could not register")
            await stack.enter_async_context(Sipp("phone", place))
        yield


async def _call(  # noqa: PLR0913 - what a run of calls is made of
    caller: tuple[str, int],
    server: tuple[str, int],
    users: Sequence[str],
    size: _Size,
    cpu_seconds: Callable[[], float],
    over: str = "u1",
    *,
    rate: int = _RATE,
) -> _Measured:
    await asyncio.sleep(_SETTLE)
    before = cpu_seconds()
    async with Sipp(
        "caller", caller, target=server, lines=users, count=size.calls, rate=rate, transport=over
    ) as callers:
        result = await callers.finished(_WITHIN)
    if result.successful < size.calls * 0.9:
        raise RuntimeError(f"only {result.successful} of {size.calls} calls went as they should")
    return _Measured(size.calls, cpu_seconds() - before, result)
