"""A PBX that calls phones at a steady rate, in rounds.

`python -m bench.flood_calls PBX_IP PBX_PORT PHONE_IP SERVER_IP SERVER_PORT RATE SECONDS ACCOUNTS FOLDER`. The
file `ready` is in the folder once all phones are registered and all accounts bound. Each SIGUSR1 begins a
round, at whose end `round.json` says how many calls were made, how many answered, and after how long.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

from bench.kamailio import PASSWORD, REALM
from bench.process import quantile
from bench.stock import user
from wakerobin.testing.pbx import FakePbx
from wakerobin.testing.phone import FakePhone
from wakerobin.testing.phone_call import PhoneCall

_PATIENCE = 5.0


class _World:
    def __init__(self, accounts: int, rate: int, seconds: int) -> None:
        self._rate, self._seconds = rate, seconds
        self._users = [user(number) for number in range(accounts)]
        self.pbx = FakePbx(dict.fromkeys(self._users, PASSWORD), domain=REALM)
        self._phones = [FakePhone(f"sip:{name}@{REALM}", PASSWORD) for name in self._users]

    async def begin(self, phone_ip: str, server: tuple[str, int]) -> None:
        """Let every phone register, as soon as the server is there, and the server bind every account."""
        for phone in self._phones:
            phone.on_call = PhoneCall.answer
            await phone.start(server, phone_ip)
            while not await _is_registered(phone):
                await asyncio.sleep(0.2)
        while not all(self.pbx.contacts(name) for name in self._users):
            await asyncio.sleep(0.05)

    async def ring(self) -> dict[str, float]:
        """Make the calls of a round."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        delays: list[float] = []

        async def call(number: int) -> None:
            await asyncio.sleep(began + number / self._rate - loop.time())
            at = loop.time()
            one = self.pbx.call(self._users[number % len(self._users)])
            try:
                await one.wait(lambda c: c.final != 0, _PATIENCE)
            except TimeoutError:
                one.cancel()
                return
            if one.final == 200:
                delays.append((loop.time() - at) * 1000)
                one.hang_up()

        count = self._rate * self._seconds
        await asyncio.gather(*(call(number) for number in range(count)))
        return {
            "calls": count,
            "answered": len(delays),
            "p50": quantile(delays, 0.5) if delays else 0.0,
            "p99": quantile(delays, 0.99) if delays else 0.0,
        }


async def _is_registered(phone: FakePhone) -> bool:
    try:
        return (await phone.register(within=2.0)).status == 200
    except (OSError, TimeoutError):
        return False


async def _run(world: _World, pbx: tuple[str, int], phone_ip: str, server: tuple[str, int], to: Path) -> None:
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, asked.set)
    await world.pbx.start(*pbx)
    (to / "listening").touch()
    await world.begin(phone_ip, server)
    (to / "ready").touch()
    while True:
        await asked.wait()
        asked.clear()
        told = await world.ring()
        (to / "round.part").write_text(json.dumps(told))
        (to / "round.part").replace(to / "round.json")


if __name__ == "__main__":
    pbx_ip, pbx_port, phone_ip_, server_ip, server_port, rate_, seconds_, accounts_, folder_ = sys.argv[1:]
    world_ = _World(int(accounts_), int(rate_), int(seconds_))
    place = (server_ip, int(server_port))
    asyncio.run(_run(world_, (pbx_ip, int(pbx_port)), phone_ip_, place, Path(folder_)))
