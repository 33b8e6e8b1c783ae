"""Names to addresses, through the real resolver and through one that fails."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from wakerobin.core.values import Transport
from wakerobin.net.resolver import Resolver
from wakerobin.testing.clock import ManualClock


async def test_address_literals_need_no_resolver() -> None:
    def fail(host: str, port: int, kind: socket.SocketKind) -> list[tuple[Any, ...]]:
        raise AssertionError("nothing is to be looked up")

    resolver = Resolver(ManualClock(), fail)
    assert await resolver.resolve("192.0.2.1", None, Transport.UDP) == [("192.0.2.1", 5060)]
    assert await resolver.resolve("[2001:db8::1]", 5070, Transport.TCP) == [("2001:db8::1", 5070)]


async def test_this_machine_has_a_name_and_nonsense_has_no_address() -> None:
    resolver = Resolver(ManualClock())
    assert ("127.0.0.1", 5060) in await resolver.resolve("localhost", None, Transport.UDP)
    for nonsense in ("", "no.such.name.invalid", "a" * 300, "x\0y", "ü" * 70, "a..b"):
        assert await resolver.resolve(nonsense, None, Transport.UDP) == []


async def test_a_name_is_asked_for_once_in_half_a_minute_and_served_while_dns_is_out() -> None:
    clock = ManualClock()
    lookups = 0
    is_out = False

    def lookup(host: str, port: int, kind: socket.SocketKind) -> list[tuple[Any, ...]]:
        nonlocal lookups
        lookups += 1
        if is_out:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, kind, 0, "", (address, 0)) for address in ("192.0.2.1", "192.0.2.2")]

    resolver = Resolver(clock, lookup)
    wanted = [("192.0.2.1", 5080), ("192.0.2.2", 5080)]
    answers = await asyncio.gather(*(resolver.resolve("PBX.test.", 5080, Transport.UDP) for _ in range(50)))
    assert answers == [wanted] * 50
    assert await resolver.resolve("pbx.test", 5080, Transport.UDP) == wanted
    assert lookups == 1
    clock.advance(31_000)
    is_out = True
    assert await resolver.resolve("pbx.test", 5080, Transport.UDP) == wanted
    assert lookups == 2
    clock.advance(3_600_000)
    assert await resolver.resolve("pbx.test", 5080, Transport.UDP) == []
    is_out = False
    assert await resolver.resolve("pbx.test", 5080, Transport.UDP) == []
    clock.advance(6_000)
    assert await resolver.resolve("pbx.test", 5080, Transport.UDP) == wanted
