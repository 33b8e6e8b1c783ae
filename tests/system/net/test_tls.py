"""SIP over TLS on real sockets: what phones see of us, and what a PBX has to show."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.system.net.sockets import PATIENCE, PEER, POLICY, US, Dial, Server, Start, message_from, options
from wakerobin.core.errors import ConfigurationError
from wakerobin.core.values import Flow, Transport
from wakerobin.net.clock import SystemClock
from wakerobin.net.endpoint import Endpoint
from wakerobin.net.limits import StreamLimits
from wakerobin.net.tls import ServerCertificate
from wakerobin.net.wheel import Wheel
from wakerobin.ports.options import SipOptions
from wakerobin.testing.clock import ManualClock

NAME = "push.example.com"


class Files:
    """A certificate authority, and what it has issued, in files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.ca = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))

    def issue(self, *names: str, stem: str = "server") -> tuple[str, str]:
        """Write chain and key for these names over what is there; return their paths."""
        issued = self.authority.issue_cert(*names)
        chain, key = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        chain.write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        return str(chain), str(key)

    def trust(self) -> ssl.SSLContext:
        """Return a client that trusts this authority and nobody else."""
        return ssl.create_default_context(cafile=str(self.ca))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def tls_options(files: Files, *names: str) -> dict[str, Any]:
    cert, key = files.issue(*(names or (NAME,)))
    return {
        "listen": (f"udp:{US}:0", f"tls:{US}:0"),
        "tls_cert": cert,
        "tls_key": key,
        "tls_ca_file": str(files.ca),
    }


async def connect(
    server: Server, context: ssl.SSLContext, name: str = NAME
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(*server.tcp, ssl=context, server_hostname=name, local_addr=(PEER, 0))


async def close(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    await asyncio.sleep(0)


async def test_a_phone_is_heard_and_answered_over_tls(start: Start, files: Files) -> None:
    server = await start(**tls_options(files))
    reader, writer = await connect(server, files.trust())
    data = options(f"SIP/2.0/TLS {PEER};branch=z9hG4bK1", body=b"x" * 20_000)
    writer.write(b"\r\n\r\n" + data)
    async with asyncio.timeout(PATIENCE):
        assert await reader.readexactly(2) == b"\r\n"
    await server.witness.until(lambda: server.witness.messages)
    message, flow = server.witness.messages[0]
    assert len(message.body) == 20_000
    assert flow.transport is Transport.TLS
    assert server.endpoint.send(flow, options(f"SIP/2.0/TLS {US};branch=z9hG4bK2"))
    assert (await message_from(reader)).branch == "z9hG4bK2"
    assert server.endpoint.is_open(flow)
    await close(writer)
    await server.witness.until(lambda: server.witness.closed)
    assert not server.endpoint.send(flow, data)


async def test_who_speaks_no_tls_is_turned_away_and_hinders_nobody(
    start: Start, files: Files, dial: Dial
) -> None:
    server = await start(**tls_options(files))
    reader, writer = await dial(server)
    writer.write(options(f"SIP/2.0/TCP {PEER};branch=z9hG4bK1"))
    async with asyncio.timeout(PATIENCE):
        await reader.read()
    assert server.witness.messages == []
    _, phone = await connect(server, files.trust())
    phone.write(options(f"SIP/2.0/TLS {PEER};branch=z9hG4bK2"))
    await server.witness.until(lambda: server.witness.messages)
    await close(phone)


async def test_old_tls_is_refused(start: Start, files: Files) -> None:
    server = await start(**tls_options(files))
    context = files.trust()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await connect(server, context)


async def test_a_changed_certificate_is_seen_by_the_next_phone_and_the_old_connection_stays(
    start: Start, files: Files
) -> None:
    clock = ManualClock()
    server = await start(clock=clock, **tls_options(files, "old.example"))
    _, old = await connect(server, files.trust(), "old.example")
    files.issue(NAME)
    _stamp_later(files.folder)
    clock.advance(61_000)
    _, new = await connect(server, files.trust(), NAME)
    old.write(options(f"SIP/2.0/TLS {PEER};branch=z9hG4bK1"))
    new.write(options(f"SIP/2.0/TLS {PEER};branch=z9hG4bK2"))
    await server.witness.until(lambda: len(server.witness.messages) == 2)
    await close(old)
    await close(new)


def _stamp_later(folder: Path) -> None:
    for path in folder.iterdir():
        facts = path.stat()
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1_000_000_000))


def test_half_a_change_of_the_files_waits_for_the_other_half(files: Files) -> None:
    cert, key = files.issue("old.example")
    kept_key = Path(key).read_bytes()
    certificate = ServerCertificate(cert, key)
    files.issue(NAME)
    new_key = Path(key).read_bytes()
    Path(key).write_bytes(kept_key)
    assert not certificate.look()  # the new certificate with the old key
    Path(key).unlink()
    assert not certificate.look()
    Path(key).write_bytes(new_key)
    assert certificate.look()
    assert not certificate.look()


async def test_a_listener_without_a_certificate_is_explained(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    wheel = Wheel(loop)
    nothing = str(tmp_path / "none.pem")
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({}, "sip.tls_cert and sip.tls_key"),
        ({"tls_cert": nothing, "tls_key": nothing}, "No such file"),
        ({"tls_cert": str(broken), "tls_key": str(broken)}, "PEM"),
    )
    for given, word in cases:
        sip = replace(SipOptions(listen=(f"tls:{US}:0",)), **given)
        with pytest.raises(ConfigurationError, match=word):
            Endpoint(sip, POLICY, SystemClock(loop), wheel)
    with pytest.raises(ConfigurationError, match=r"sip\.tls_ca_file"):
        Endpoint(SipOptions(listen=(), tls_ca_file=nothing), POLICY, SystemClock(loop), wheel)
    wheel.close()


class Pbx:
    """A TLS server of somebody else, at a port of its own."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self.seen: list[dict[str, object]] = []
        self.received = asyncio.Event()
        self.data = b""
        self.port = 0

    async def __aenter__(self) -> Pbx:
        self._server = await asyncio.start_server(self._serve, PEER, 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen.append(writer.get_extra_info("peercert") or {})
        self.data += await reader.readuntil(b"\r\n\r\n")
        self.received.set()
        await reader.read()
        writer.close()


def pbx_context(files: Files, name: str, *, asks: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files.issue(name, stem="pbx"))
    if asks:
        context.load_verify_locations(str(files.ca))
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def refused(server: Server, flow_to: Callable[[], Flow]) -> str:
    flow = flow_to()
    server.endpoint.send(flow, options(f"SIP/2.0/TLS {US};branch=z9hG4bK1"))
    await server.witness.until(lambda: server.witness.closed)
    closed, reason = server.witness.closed.pop()
    assert closed == flow
    return reason


async def test_a_pbx_is_asked_for_by_its_name_and_the_connection_is_shared(
    start: Start, files: Files
) -> None:
    server = await start(**tls_options(files))
    async with Pbx(pbx_context(files, "pbx.example")) as pbx:
        flow = server.endpoint.flow_to(Transport.TLS, PEER, pbx.port, name="pbx.example")
        assert flow.transport is Transport.TLS
        server.endpoint.send(flow, options(f"SIP/2.0/TLS {US};branch=z9hG4bK1"))
        async with asyncio.timeout(PATIENCE):
            await pbx.received.wait()
        assert b"z9hG4bK1" in pbx.data
        # Whoever knows its address alone goes the same way, also after the connection is gone.
        assert server.endpoint.flow_to(Transport.TLS, PEER, pbx.port) == flow
        server.endpoint.close_flow(flow)
        await server.witness.until(lambda: server.witness.closed)
        pbx.received.clear()
        again = server.endpoint.flow_to(Transport.TLS, PEER, pbx.port)
        assert again != flow
        server.endpoint.send(again, options(f"SIP/2.0/TLS {US};branch=z9hG4bK2"))
        async with asyncio.timeout(PATIENCE):
            await pbx.received.wait()
        server.endpoint.close_flow(again)
        await server.witness.until(lambda: len(server.witness.closed) == 2)


async def test_a_pbx_with_another_name_or_another_authority_is_refused_in_words(
    start: Start, files: Files, tmp_path: Path
) -> None:
    server = await start(**tls_options(files))
    endpoint = server.endpoint
    async with Pbx(pbx_context(files, "other.example")) as pbx:
        reason = await refused(
            server, lambda: endpoint.flow_to(Transport.TLS, PEER, pbx.port, name="pbx.example")
        )
        assert "Hostname mismatch" in reason
        assert pbx.data == b""
    strangers = tmp_path / "strangers"
    strangers.mkdir()
    async with Pbx(pbx_context(Files(strangers), "pbx.example")) as pbx:
        reason = await refused(
            server, lambda: endpoint.flow_to(Transport.TLS, PEER, pbx.port, name="pbx.example")
        )
        assert "self-signed certificate" in reason or "unable to get local issuer" in reason
        assert pbx.data == b""


async def test_a_pbx_that_asks_for_a_certificate_gets_ours(start: Start, files: Files) -> None:
    cert, key = files.issue("wakerobin.example", stem="client")
    server = await start(**tls_options(files), tls_client_cert=cert, tls_client_key=key)
    async with Pbx(pbx_context(files, "pbx.example", asks=True)) as pbx:
        flow = server.endpoint.flow_to(Transport.TLS, PEER, pbx.port, name="pbx.example")
        server.endpoint.send(flow, options(f"SIP/2.0/TLS {US};branch=z9hG4bK1"))
        async with asyncio.timeout(PATIENCE):
            await pbx.received.wait()
        assert ("DNS", "wakerobin.example") in pbx.seen[0]["subjectAltName"]  # type: ignore[operator]  # as ssl gives it
        server.endpoint.close_flow(flow)
        await server.witness.until(lambda: server.witness.closed)


async def test_a_peer_that_never_shakes_hands_is_let_go(start: Start, files: Files, dial: Dial) -> None:
    server = await start(limits=StreamLimits(handshake=0.2), **tls_options(files))
    reader, _ = await dial(server)
    async with asyncio.timeout(PATIENCE):
        assert await reader.read() == b""
    assert server.witness.closed == []
