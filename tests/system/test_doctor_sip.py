"""`wakerobin doctor sip`: where requests go, in order, and whether somebody is there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from wakerobin.cli.commands import wakerobin_command
from wakerobin.testing.dns import FakeDns
from wakerobin.testing.pbx import FakePbx

HOST = "127.51.3.1"
KEY = "0123456789abcdef0123456789abcdef"


class Doctor:
    """A name server and a PBX, and the command that looks for them."""

    def __init__(self, folder: Path) -> None:
        self.dns, self.pbx = FakeDns(), FakePbx({})
        self.config = folder / "wakerobin.toml"

    async def start(self) -> None:
        await self.dns.start(HOST)
        await self.pbx.start(HOST)
        self.dns.zone = {
            "_sip._udp.pbx.test": [
                f"SRV 20 5 {self.pbx.port} two.pbx.test.",
                f"SRV 10 5 {self.pbx.port} one.pbx.test.",
            ],
            "one.pbx.test": [f"A {HOST}"],
            "two.pbx.test": ["A 127.51.3.2"],
        }
        self.config.write_text(
            f'[sip]\ndns = ["{self.dns.address}"]\n[apps.phone]\nenrolment_key = "{KEY}"\n'
            f'registrars = ["{HOST}", "127.51.3.2"]\n'
        )

    async def ask(self, *words: str) -> Result:
        command = ["doctor", "sip", *words, "--config", str(self.config)]
        return await asyncio.to_thread(lambda: CliRunner().invoke(wakerobin_command, command))

    async def stop(self) -> None:
        await self.pbx.stop()
        await self.dns.stop()


@pytest.fixture
async def doctor(tmp_path: Path) -> AsyncIterator[Doctor]:
    made = Doctor(tmp_path)
    await made.start()
    yield made
    await made.stop()


async def test_it_prints_what_dns_says_and_the_places_in_order(doctor: Doctor) -> None:
    shown = await doctor.ask("pbx.test")
    port = doctor.pbx.port
    assert shown.exit_code == 1
    lines = shown.output.splitlines()
    assert "NAPTR pbx.test: nothing" in lines
    assert f"SRV _sip._udp.pbx.test: priority 10, weight 5, one.pbx.test port {port}" in lines
    assert f"address one.pbx.test: {HOST}" in lines
    assert lines[-3:] == [
        f"1. ok    udp:{HOST}:{port} (one.pbx.test, weight 5): answers OPTIONS with 200",
        f"2. WRONG udp:127.51.3.2:{port} (two.pbx.test, weight 5): connection refused",
        "wakerobin: 1 of 2 places cannot be used",
    ]


async def test_a_place_is_asked_as_it_is_written(doctor: Doctor) -> None:
    for written in (f"{HOST}:{doctor.pbx.port}", f"sip:anna@{HOST}:{doctor.pbx.port};transport=tcp"):
        shown = await doctor.ask(written, "--json")
        assert shown.exit_code == 0, shown.output
        (place,) = json.loads(shown.stdout)["places"]
        assert place["good"]
        assert place["transport"] == ("tcp" if "tcp" in written else "udp")
        assert (place["address"], place["port"], place["name"]) == (HOST, doctor.pbx.port, HOST)


async def test_what_the_configuration_forbids_is_said_and_not_asked(doctor: Doctor) -> None:
    doctor.config.write_text(f'[sip]\ndns = ["{doctor.dns.address}"]\n')
    shown = await doctor.ask(HOST)
    assert shown.exit_code == 1
    assert "may not go there: 127.51.3.1 is a loopback address" in shown.output


@pytest.mark.parametrize(
    ("words", "said", "status"),
    [
        (("nowhere.test",), "nowhere.test leads nowhere", 1),
        (("pbx test",), "is no domain", 1),
        (("pbx.test", "--sip-dns", "nonsense"), "is no name server", 2),
    ],
)
async def test_what_cannot_be_found_or_read_is_one_line(
    doctor: Doctor, words: tuple[str, ...], said: str, status: int
) -> None:
    shown = await doctor.ask(*words)
    assert (shown.exit_code, said in shown.output) == (status, True), shown.output
    assert "Traceback" not in shown.output
