"""The laboratory of one test: gives peers their places, remembers them, and ends them all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import trustme

from tests.interop.peers.network import Network, Peer

P = TypeVar("P", bound=Peer)


class Startable(Peer, Protocol):
    """A peer that runs from `start` on."""

    async def start(self) -> None:
        """Return when it can be used."""
        ...


S = TypeVar("S", bound=Startable)


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files of a server, signed by the laboratory's authority."""

    chain: Path
    key: Path
    authority: Path


class Lab:
    """Made by the fixture `lab`; its peers end with the test, and their logs join its failure."""

    def __init__(self, network: Network, authority: trustme.CA, folder: Path) -> None:
        self.network = network
        self._authority = authority
        self._folder = folder
        self._peers: list[Peer] = []

    def place(self) -> tuple[str, int]:
        """An address of its own, and the first of four free ports there."""
        ip = self.network.address()
        return ip, self.network.port(ip, 4)

    def keep(self, peer: P) -> P:
        """Take charge of a peer without starting it, such as a phone that sleeps."""
        self._peers.append(peer)
        return peer

    async def start(self, peer: S) -> S:
        """Take charge of a peer and start it."""
        await self.keep(peer).start()
        return peer

    def folder(self, name: str) -> Path:
        """A new folder, gone with the test."""
        made = self._folder / name
        made.mkdir()
        return made

    def certificate(self, *names: str) -> Certificate:
        """A certificate for these addresses and host names."""
        issued = self._authority.issue_cert(*names)
        stem = names[0].replace(".", "-")
        made = Certificate(*(self._folder / f"{stem}.{end}" for end in ("pem", "key", "ca")))
        made.chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        made.key.write_bytes(issued.private_key_pem.bytes())
        made.authority.write_bytes(self._authority.cert_pem.bytes())
        return made

    async def stop(self) -> None:
        """End all peers, the newest first; one that fails to stop does not spare the others."""
        failures: list[Exception] = []
        for peer in reversed(self._peers):
            try:
                await peer.stop()
            except Exception as failure:
                failures.append(failure)
        if failures:
            raise ExceptionGroup("peers that did not stop", failures)

    def logs(self) -> list[tuple[str, str]]:
        """What each peer said and saw."""
        return [(peer.name, peer.log_text()) for peer in self._peers]
