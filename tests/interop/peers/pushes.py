"""The push service of a test: Apple's manners over real HTTP/2, kept by the laboratory like a peer."""

from __future__ import annotations

from pathlib import Path

from tests.interop.peers.network import PATIENCE, until
from wakerobin.testing.pns import FakePns, ReceivedPush


class PushEnd(FakePns):
    """`FakePns` as a peer. Waits are by device token."""

    name = "push service"

    def __init__(self, folder: Path, ip: str) -> None:
        super().__init__(folder, host=ip)

    async def stop(self) -> None:
        """Cut every connection and stop listening."""
        await self.close()

    def log_text(self) -> str:
        """Every push that came."""
        return "\n".join(
            f"{push.at:.3f} {push.status} {push.reason} {push.push_type} {push.token[:8]} {push.payload}"
            for push in self.pushes
        )

    def to(self, token: str, kind: str = "call") -> list[ReceivedPush]:
        """The pushes of a kind that came for a device, refused ones too."""
        return [push for push in self.pushes if push.token == token and push.type == kind]

    async def wait_push(
        self, token: str, kind: str = "call", *, count: int = 1, within: float = PATIENCE
    ) -> ReceivedPush:
        """The `count`-th push of a kind for a device."""
        found = await until(
            lambda: self.to(token, kind) if len(self.to(token, kind)) >= count else None,
            within=within,
            what=f"{count} x {kind} for {token[:8]}",
        )
        return found[count - 1]
