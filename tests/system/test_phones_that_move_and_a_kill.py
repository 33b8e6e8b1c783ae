"""`kill -9` in mid-call, on SQLite and real sockets, with phones of every transport."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.system.net.test_tls import Files
from tests.system.roaming import RoamingPhone
from tests.system.survival.process import ServerProcess, free_port
from tests.system.test_phones_that_move import FOR_BROWSERS, has_come, has_replies, the_dialog_works
from wakerobin.core.values import Transport
from wakerobin.testing.pbx import FakePbx
from wakerobin.testing.pbx_call import FakeCall
from wakerobin.testing.phone_call import PhoneCall
from wakerobin.testing.pns import FakePns

US, HOME, LTE = "127.56.1.1", "127.56.1.10", "127.56.1.77"
KEY = "enrolment-key-of-the-app"
TRANSPORTS = (Transport.UDP, Transport.TCP, Transport.TLS, Transport.WSS)


class Town:
    """A server that speaks everything, as a process; a user with a phone for each transport, twice."""

    def __init__(
        self, server: ServerProcess, pbx: FakePbx, ports: dict[Transport, int], files: Files
    ) -> None:
        self.server, self.pbx, self.ports = server, pbx, ports
        self._files = files
        self.phones: list[RoamingPhone] = []

    async def talking(self, user: str, transport: Transport) -> tuple[RoamingPhone, FakeCall, PhoneCall]:
        """Enrol a user, let his phone register, and call it."""
        body = {
            "app": "phone",
            "aor": f"sip:{user}@pbx.test",
            "credentials": {"password": f"pw-{user}"},
            "registrar": f"{self.pbx.host}:{self.pbx.port}",
            "targets": [
                {"provider": "apns", "purposes": ["call"], "token": user.encode().hex().ljust(64, "0")}
            ],
            "installation_id": f"installation-of-{user}-0000"[:22],
            "platform": "ios",
        }
        answer = await self.server.api("POST", "/v1/push-registrations?wait=10", bearer=KEY, body=body)
        assert answer is not None
        assert answer.status == 201, answer
        phone = RoamingPhone(f"sip:{user}@pbx.test", f"pw-{user}", trusted=self._files.trust())
        self.phones.append(phone)
        await self.register(phone, transport, HOME)
        call = self.pbx.call(user, body=FOR_BROWSERS)
        at_phone = await phone.wait_call()
        at_phone.answer()
        await at_phone.until(lambda one: one.is_acknowledged)
        return phone, call, at_phone

    async def register(self, phone: RoamingPhone, transport: Transport, host: str) -> None:
        """Let a phone connect from an address, and register."""
        await phone.move(transport, (US, self.ports[transport]), host)
        assert (await phone.register()).status == 200


@contextlib.asynccontextmanager
async def a_town(folder: Path, users: list[str]) -> AsyncIterator[Town]:
    files = Files(folder)
    cert, key = files.issue(US)
    pns_folder = folder / "pns"
    pns_folder.mkdir()
    pbx = FakePbx({user: f"pw-{user}" for user in users})
    async with FakePns(pns_folder, host=US) as pns:
        await pbx.start(US)
        apns = pns.options()
        names = ("key_file", "key_id", "team_id", "topic", "url", "ca_file")
        ports = {transport: free_port(US) for transport in TRANSPORTS}
        listen = [f"{transport}:{US}:{port}" for transport, port in ports.items()]
        tables: dict[str, dict[str, Any]] = {
            "sip": {"listen": listen, "tls_cert": cert, "tls_key": key, "unproven_rate": 100.0},
            "http": {"enrolments_per_hour": 1000},
            "apps.phone": {"enrolment_key": KEY, "registrars": ["pbx.test", US]},
            "apps.phone.apns": {name: getattr(apns, name) for name in names},
        }
        town = Town(ServerProcess(folder, US, tables), pbx, ports, files)
        await town.server.start()
        try:
            yield town
        finally:
            for phone in town.phones:
                await phone.close()
            await town.server.stop()
            await pbx.stop()


async def test_calls_outlive_a_kill_whatever_their_phones_speak(tmp_path: Path) -> None:
    users = [f"{who}-{transport}" for who in ("callee", "caller") for transport in TRANSPORTS]
    async with a_town(tmp_path, users) as town:
        talks = {user: await town.talking(user, Transport(user.partition("-")[2])) for user in users}
        town.server.kill_now()
        await town.server.gone()
        await town.server.start()
        for transport in TRANSPORTS:
            # The PBX ends it. A phone on UDP may notice nothing of the restart; the others come back.
            phone, call, at_phone = talks[f"callee-{transport}"]
            if transport.is_reliable:
                await town.register(phone, transport, LTE)
            await the_dialog_works(call, at_phone)
            # The phone ends it, before it has registered again.
            phone, call, at_phone = talks[f"caller-{transport}"]
            if transport.is_reliable:
                await phone.move(transport, (US, town.ports[transport]), LTE)
            at_phone.hang_up()
            await call.wait(lambda one: one.is_over)
        assert not town.server.tracebacks()


async def test_a_call_that_ends_before_its_phone_is_back_after_the_kill_is_over_when_it_comes(
    tmp_path: Path,
) -> None:
    async with a_town(tmp_path, ["ann"]) as town:
        phone, call, at_phone = await town.talking("ann", Transport.TLS)
        town.server.kill_now()
        await town.server.gone()
        await town.server.start()
        call.hang_up()
        await call.wait(partial(has_replies, 1))
        assert call.replies[0].status == 480
        await town.register(phone, Transport.TLS, LTE)
        await at_phone.until(partial(has_come, "BYE"))
