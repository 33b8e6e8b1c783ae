"""Who is asked: for services always the DNS, for addresses what the whole system would use."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from wakerobin import log
from wakerobin.core.sip.targets import Kind, Question
from wakerobin.net.resolver.files import Hosts
from wakerobin.net.resolver.memory import Found
from wakerobin.net.resolver.name_servers import NameServers

Lookup: TypeAlias = Callable[[str, int, socket.SocketKind], list[tuple[Any, ...]]]
"""`getaddrinfo(host, port, type=kind)`: may block, may raise."""

_SYSTEM_TTL_S = 30.0
"""The system does not say how long its answers hold."""

_ANY_PORT = 9

_log = log.get("net")


def getaddrinfo(host: str, port: int, kind: socket.SocketKind) -> list[tuple[Any, ...]]:
    """Ask the system: /etc/hosts, mDNS, the DNS, whatever its administrator has set up."""
    return list(socket.getaddrinfo(host, port, type=kind))


class System:
    """Services from the system's name servers, addresses through its own resolver.

    What stands in /etc/hosts is there and nowhere else: at home nobody waits for a DNS that is far away.
    """

    def __init__(
        self, name_servers: NameServers, lookup: Lookup = getaddrinfo, hosts: Hosts | None = None
    ) -> None:
        self._name_servers = name_servers
        self._lookup = lookup
        self._hosts = hosts or Hosts()

    async def answer(self, question: Question) -> Found | None:
        """Return the answer; None for none in good time. Never raises."""
        if question.kind is not Kind.ADDRESS:
            is_here = bool(self._hosts.addresses(_domain(question)))
            return Found((), _SYSTEM_TTL_S) if is_here else await self._name_servers.answer(question)
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(None, self._lookup, question.name, 0, socket.SOCK_DGRAM)
        except (OSError, ValueError) as fault:
            # A name that is not there, or cannot be (UnicodeError). Systems whose name servers are out say
            # that, too: it is no answer.
            _log.debug("name_not_resolved", host=question.name, reason=str(fault))
            return None
        return Found(tuple(dict.fromkeys(str(entry[4][0]) for entry in found)), _SYSTEM_TTL_S)


class Configured:
    """Everything from the name servers of the settings, but what stands in /etc/hosts."""

    def __init__(self, name_servers: NameServers, hosts: Hosts) -> None:
        self._name_servers = name_servers
        self._hosts = hosts

    async def answer(self, question: Question) -> Found | None:
        """Return the answer; None for none in good time. Never raises."""
        known = self._hosts.addresses(_domain(question))
        if known:
            return Found(known if question.kind is Kind.ADDRESS else (), _SYSTEM_TTL_S)
        found = await self._name_servers.answer(question)
        if found is None or question.kind is not Kind.ADDRESS:
            return found
        return Found(_reachable_first(str(record) for record in found.records), found.ttl_s)


def _domain(question: Question) -> str:
    """Return the name whose addresses, rules or services are asked for."""
    if question.kind is not Kind.SRV:
        return question.name
    return question.name.split(".", 2)[-1]  # _service._protocol.domain


def _reachable_first(addresses: Iterable[str]) -> tuple[str, ...]:
    """Sort as RFC 6724 has it where it matters most: what this machine has no way to comes last."""
    return tuple(sorted(addresses, key=lambda address: not _has_way(address)))


def _has_way(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((address, _ANY_PORT))  # sends nothing: the kernel looks for a route
        return True
    return False
