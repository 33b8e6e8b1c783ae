"""Calls: SIPp callers through the whole server to SIPp phones, beside Kamailio as native proxy."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from bench.kamailio import PASSWORD, REALM, Kamailio
from bench.machine import OTHERS, OURS
from bench.scale import Scale, app
from bench.serving import Place, serving
from bench.sipp import Result, Sipp
from bench.stock import Stock, contact_user, user
from bench.table import Row
from wakerobin.ports.options import HttpOptions, Options, SipOptions

TITLE = "Calls through the proxy (INVITE, 180, 200, ACK, BYE), both ends SIPp"

_RATE = 120
_WITHIN = 40.0
_SETTLE = 0.5
_UNIT = "calls/CPU-s"


@dataclass(frozen=True, slots=True)
class _Size:
    """A flow of phones for every two accounts, so that no account is called too often."""

    flows: int
    calls: int

    @property
    def accounts(self) -> int:
        return 2 * self.flows


async def run(scale: Scale) -> list[Row]:
    """Call through us, then the same calls through Kamailio."""
    size = _Size(scale.of(16, 4), scale.of(1_800, 100))
    ours, our_result = await _through_us(scale, size)
    theirs, their_result = await _through_kamailio(scale, size)
    return [
        Row(
            what="calls with storage of each; beside a native proxy that stores nothing",
            value=size.calls / ours,
            unit=_UNIT,
            beside="Kamailio",
            beside_value=size.calls / theirs,
            at_least=1500,
            remark=f"{size.calls:,} calls at {_RATE}/s; ours: {_told(our_result)}; "
            f"Kamailio: {_told(their_result)}",
        )
    ]


async def _through_us(scale: Scale, size: _Size) -> tuple[float, Result]:
    caller = scale.place()
    async with Kamailio(*scale.place(), core=OTHERS) as pbx:
        place = Place.new(scale.folder)
        await place.keep(Stock(count=size.accounts, registrar=pbx.address, key=place.key))
        ip, port = scale.place()
        options = Options(
            sip=SipOptions(
                listen=(f"udp:{ip}:{port}",),
                call_sources=(caller[0],),
                register_rate=1000.0,
                live_flow=SipOptions().ring_timeout,  # nobody is to be woken: these phones are awake
            ),
            http=HttpOptions(listen=""),
            apps=app(pbx.ip),
        )
        async with serving(options, place), _phones(scale, size, (ip, port)):
            users = [contact_user(n) for n in range(size.accounts)]
            return await _call(caller, (ip, port), users, size, time.process_time)


async def _through_kamailio(scale: Scale, size: _Size) -> tuple[float, Result]:
    caller = scale.place()
    async with Kamailio(*scale.place(), core=OURS) as proxy:
        target = (proxy.ip, proxy.port)
        async with _phones(scale, size, target):
            users = [user(n) for n in range(size.accounts)]
            return await _call(caller, target, users, size, proxy.cpu_seconds)


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


async def _call(
    caller: tuple[str, int],
    server: tuple[str, int],
    users: Sequence[str],
    size: _Size,
    cpu_seconds: Callable[[], float],
) -> tuple[float, Result]:
    await asyncio.sleep(_SETTLE)
    before = cpu_seconds()
    async with Sipp("caller", caller, target=server, lines=users, count=size.calls, rate=_RATE) as callers:
        result = await callers.finished(_WITHIN)
    if result.successful < size.calls * 0.9:
        raise RuntimeError(f"only {result.successful} of {size.calls} calls went as they should")
    return cpu_seconds() - before, result


def _told(result: Result) -> str:
    return f"{result.failed} failed, {result.retransmissions} retransmissions"
