"""The far end of many idle phones: `python -m bench.flow_server KIND COUNT IP PORT FOLDER`.

KIND is a transport of the whole server, or `plain` for a TLS server of asyncio's own that does nothing.
It makes its certificate, and the file `ready` in the folder when it listens. It serves until it is ended.
"""

from __future__ import annotations

import asyncio
import resource
import ssl
import sys
from pathlib import Path

import trustme

from bench.serving import Place, serving
from bench.stock import Stock
from wakerobin.core.values import Transport
from wakerobin.ports.options import HttpOptions, LimitOptions, Options, SipOptions

NAME = "push.example.com"
_MANY = 1_000_000


async def _serve(kind: str, count: int, ip: str, port: int, folder: Path) -> None:
    cert, key = _issue(folder)
    if kind == "plain":
        await _plain(ip, port, cert, key)
    else:
        place = Place.new(folder)
        await place.keep(Stock(count=count, registrar=f"{ip}:9", key=place.key, bound=0))
        sip = SipOptions(listen=(f"udp:{ip}:{port}", f"{kind}:{ip}:{port}"), tls_cert=cert, tls_key=key)
        # All these phones come from one address.
        limits = LimitOptions(
            connections_per_source=_MANY,
            unproven_per_source=_MANY,
            source_rate=float(_MANY),
            source_burst=_MANY,
            strangers_rate=float(_MANY),
        )
        async with serving(Options(sip=sip, limits=limits, http=HttpOptions(listen="")), place):
            (folder / "ready").touch()
            await asyncio.get_running_loop().create_future()
    (folder / "ready").touch()
    await asyncio.get_running_loop().create_future()


async def _plain(ip: str, port: int, cert: str, key: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    class Idle(asyncio.Protocol):
        def data_received(self, _data: bytes) -> None:
            """Read, and forget."""

    await asyncio.get_running_loop().create_server(Idle, ip, port, ssl=context, backlog=512)


def _issue(folder: Path) -> tuple[str, str]:
    authority = trustme.CA()
    issued = authority.issue_cert(NAME)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    cert, key = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(key))
    return str(cert), str(key)


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    kind_, count_, ip_, port_, folder_ = sys.argv[1:]
    assert kind_ == "plain" or Transport(kind_)
    asyncio.run(_serve(kind_, int(count_), ip_, int(port_), Path(folder_)))
