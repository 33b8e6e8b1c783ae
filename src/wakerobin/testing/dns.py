"""A small name server that is real enough to find PBXs by: a zone, UDP and TCP, and what goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

_PORT_TRIES = 20
_LENGTH = struct.Struct("!H")
_NOTHING_TTL_S = 5


class FakeDns:
    """`zone` has records by name, each as `TYPE data`: `A 192.0.2.1`, `SRV 0 1 5060 a.pbx.test.`

    It may be changed at any time, as may all that it does wrong.
    """

    def __init__(self, zone: Mapping[str, Sequence[str]] | None = None, ttl_s: int = 60) -> None:
        self.zone: dict[str, Sequence[str]] = dict(zone or {})
        self.ttl_s = ttl_s
        self.is_silent = False
        self.is_failing = False
        """SERVFAIL to everything."""
        self.truncates = False
        """Over UDP nothing fits."""
        self.babbles = b""
        """What it says in place of an answer."""
        self.asked: list[tuple[str, str]] = []
        """Name and type of each question, in order."""
        self.asked_by_tcp = 0
        self.host, self.port = "", 0
        self._transport: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """What `sip.dns` has to say to ask here."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    async def start(self, host: str = "127.0.0.1") -> None:
        """Listen on UDP and TCP of one free port."""
        loop = asyncio.get_running_loop()
        for _ in range(_PORT_TRIES):
            self._server = await asyncio.start_server(self._serve, host, 0)
            port: int = self._server.sockets[0].getsockname()[1]
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with contextlib.suppress(OSError):
                self._transport, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(self), (host, port), family=family
                )
                self.host, self.port = host, port
                return
            self._server.close()
        raise OSError(f"no port of {host} is free for UDP and TCP")

    async def stop(self) -> None:
        """Close its sockets: from now on questions are refused by ICMP."""
        if self._transport is not None:
            self._transport.close()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def answer(self, data: bytes, *, is_stream: bool) -> bytes | None:
        """Return the answer to a message; None for silence."""
        if self.is_silent:
            return None
        try:
            question = dns.message.from_wire(data)
        except dns.exception.DNSException:
            return None
        asked = question.question[0]
        name = asked.name.to_text(omit_final_dot=True).lower()
        self.asked.append((name, dns.rdatatype.to_text(asked.rdtype)))
        self.asked_by_tcp += is_stream
        if self.babbles:
            return data[:2] + self.babbles
        response = dns.message.make_response(question)
        response.flags |= dns.flags.RA
        if self.is_failing:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif self.truncates and not is_stream:
            response.flags |= dns.flags.TC
        else:
            self._fill(response, asked.name, asked.rdtype)
        return response.to_wire()

    def _fill(
        self, response: dns.message.Message, name: dns.name.Name, rdtype: dns.rdatatype.RdataType
    ) -> None:
        lines = self._records(name)
        for _ in range(len(self.zone) + 1):
            alias = next((line for line in lines if line.startswith("CNAME ")), "")
            if not alias:
                break
            response.answer.append(self._rrset(name, [alias]))
            name = dns.name.from_text(alias.removeprefix("CNAME "))
            lines = self._records(name)
        wanted = [line for line in lines if line.partition(" ")[0] == dns.rdatatype.to_text(rdtype)]
        if wanted:
            response.answer.append(self._rrset(name, wanted))
            return
        if not lines:
            response.set_rcode(dns.rcode.NXDOMAIN)
        apex = dns.name.from_text(name.to_text().partition(".")[2] or ".")
        soa = f"SOA ns.test. root.test. 1 3600 600 86400 {_NOTHING_TTL_S}"
        response.authority.append(self._rrset(apex, [soa]))

    def _records(self, name: dns.name.Name) -> Sequence[str]:
        return self.zone.get(name.to_text(omit_final_dot=True).lower(), ())

    def _rrset(self, name: dns.name.Name, lines: Sequence[str]) -> dns.rrset.RRset:
        kind = lines[0].partition(" ")[0]
        datas = [line.partition(" ")[2] for line in lines]
        return dns.rrset.from_text_list(name, self.ttl_s, "IN", kind, datas)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                answer = self.answer(await reader.readexactly(length), is_stream=True)
                if answer is not None:
                    writer.write(_LENGTH.pack(len(answer)) + answer)
        writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: FakeDns) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = self._server.answer(data, is_stream=False)
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)
