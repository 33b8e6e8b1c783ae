"""A post office between everybody in a world: it may keep what comes, and hands it out in any order."""

from __future__ import annotations

from tests.system.calls_world import World
from wakerobin.core.values import Flow


class HeldBack:
    """Takes messages over UDP, save REGISTERs and their responses."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.kept: list[tuple[Flow, bytes]] = []
        self.keeps: set[str] = set()
        """Addresses whose messages, to and from, are kept."""
        world.wire.drops = self._takes

    def _takes(self, flow: Flow, data: bytes) -> bool:
        is_kept = not flow.connection and bool(self.keeps & {flow.remote[0], flow.local[0]})
        if is_kept and b"\r\nCSeq: " in data and b" REGISTER\r\n" not in data:
            self.kept.append((flow, data))
            return True
        return False

    def hand_out(self, which: int = 0) -> None:
        """Deliver one of those that are kept."""
        flow, data = self.kept.pop(which % len(self.kept))
        there = self.world.wire.at(flow.remote)
        if there is not None:
            there.arrive(data, Flow(flow.transport, flow.remote, flow.local))

    def hand_out_those(self, start: bytes) -> int:
        """Deliver those that begin so; return how many they were."""
        those = [number for number, (_, data) in enumerate(self.kept) if data.startswith(start)]
        for number in reversed(those):
            self.hand_out(number)
        return len(those)

    def close(self) -> None:
        """Deliver all, and keep nothing any more."""
        self.keeps.clear()
        while self.kept:
            self.hand_out()
