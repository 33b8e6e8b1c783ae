"""`wakerobin doctor` against a push service that judges: what is wrong comes with how it is mended."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path

from tests.system.served import KEY, serving
from tests.system.test_cli import Shell
from wakerobin.core.values import Secret, Transport
from wakerobin.ports.alarms import Alarm
from wakerobin.ports.options import ApnsOptions, AppOptions
from wakerobin.testing.pbx import FakePbx
from wakerobin.testing.pbx_call import FakeCall
from wakerobin.testing.pbx_registrar import PbxContact
from wakerobin.testing.pns import FakePns
from wakerobin.testing.pns_script import Refuse

HOST = "127.81.9.3"
NOBODY = "0" * 64


def configuration(folder: Path, apns: ApnsOptions, **changes: str) -> Path:
    """Write what the server runs with, for the command line."""
    values = {name: value for name, value in dataclasses.asdict(apns).items() if value} | changes
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items() if isinstance(value, str)]
    file = folder / "wakerobin.toml"
    head = f'[apps.phone]\nenrolment_key = "{KEY}"\nregistrars = ["pbx.test"]\n[apps.phone.apns]\n'
    file.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
    return file


async def test_a_running_server_asks_its_push_service_and_disturbs_no_phone(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    async with serving(tmp_path, HOST) as world:
        config = configuration(tmp_path, world.pns.options())
        world.pns.of(NOBODY, Refuse(status=400, reason="BadDeviceToken"))
        good = await shell("doctor", "push", "--config", str(config))
        assert good.exit_code == 0, good.output
        assert "ok    phone apns: It takes our pushes" in good.output
        assert [push.token for push in world.pns.pushes] == [NOBODY]
        world.pns.of(NOBODY, Refuse(status=400, reason="TopicDisallowed"))
        bad = await shell("doctor", "push", "phone", "--config", str(config), "--json")
        assert bad.exit_code == 1
        check, _clock = json.loads(bad.stdout)["checks"]
        assert not check["good"]
        assert "topic" in check["text"]


async def test_without_a_server_the_settings_are_tried_from_here(tmp_path: Path) -> None:
    async with serving(tmp_path, HOST):
        pass  # its data is there
    shell = Shell(tmp_path)
    async with FakePns(tmp_path / "pns", host=HOST) as pns:
        wrong = configuration(tmp_path, pns.options(), key_id="ZZZZZ99999")
        refused = await shell("doctor", "push", "--config", str(wrong))
        assert refused.exit_code == 1
        assert (
            "`key_file`, `key_id` and `team_id` in [apps.phone.apns] do not belong together" in refused.output
        )
        right = configuration(tmp_path, pns.options())
        pns.of(NOBODY, Refuse(status=400, reason="BadDeviceToken"))
        assert (await shell("doctor", "push", "--config", str(right))).exit_code == 0
    down = await shell("doctor", "push", "--config", str(right))
    assert down.exit_code == 1
    assert "reaches it by HTTPS" in down.output


async def test_a_key_that_cannot_be_read_is_told_with_its_setting(tmp_path: Path) -> None:
    async with serving(tmp_path, HOST) as world:
        apns = world.pns.options()
    file = configuration(tmp_path, apns, key_file=str(tmp_path / "none.p8"))
    done = await Shell(tmp_path)("doctor", "push", "--config", str(file))
    assert done.exit_code == 2
    assert "key_file" in done.output


async def test_an_app_that_wakes_nobody_is_told(tmp_path: Path) -> None:
    apps = {"phone": AppOptions(enrolment_key=Secret(KEY), registrars=("pbx.test",))}
    async with serving(tmp_path, HOST, apps=apps):
        file = tmp_path / "wakerobin.toml"
        file.write_text(f'[apps.phone]\nenrolment_key = "{KEY}"\n', encoding="utf-8")
        done = await Shell(tmp_path)("doctor", "push", "--config", str(file))
        assert done.exit_code == 1
        assert "It has no push service" in done.output


async def test_alarms_that_stand_are_listed_until_they_are_mended(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    async with serving(tmp_path, HOST) as world:
        assert (await shell("doctor", "alarms")).exit_code == 0
        assert world.server.rooms is not None
        store = world.server.rooms.ground.store
        await store.transact(
            lambda tx: tx.alarms.put(Alarm("push-x:phone", 1_700_000_000_000, "Mend the key."))
        )
        listed = await shell("doctor", "alarms")
        assert listed.exit_code == 1
        assert "since 2023-11-14 22:13:20 UTC: Mend the key." in listed.output
        await store.transact(lambda tx: tx.alarms.clear("push-x:phone"))
        assert "Nothing is wrong." in (await shell("doctor", "alarms")).output


async def test_a_clock_that_is_off_is_told_by_the_push_services_own(tmp_path: Path) -> None:
    async with serving(tmp_path, HOST):
        pass
    shell = Shell(tmp_path)
    # Within what Apple takes of a token's age, so that only the clock is wrong.
    async with FakePns(tmp_path / "pns", host=HOST, now=lambda: time.time() + 20 * 60) as pns:
        pns.of(NOBODY, Refuse(status=400, reason="BadDeviceToken"))
        told = await shell("doctor", "push", "--config", str(configuration(tmp_path, pns.options())))
        assert told.exit_code == 1
        assert "WRONG clock: This machine's clock is 20 min behind the push services'" in told.output
    async with FakePns(tmp_path / "pns", host=HOST) as pns:
        pns.of(NOBODY, Refuse(status=400, reason="BadDeviceToken"))
        told = await shell("doctor", "push", "--config", str(configuration(tmp_path, pns.options())))
        assert "ok    clock: It agrees" in told.output


async def test_what_pbxs_have_shown_is_told_with_what_to_do_and_a_name_that_they_cannot_resolve(
    tmp_path: Path,
) -> None:
    shell = Shell(tmp_path)
    async with serving(tmp_path, HOST) as world:
        config = configuration(tmp_path, world.pns.options())
        good = await shell("doctor", "pbx", "--config", str(config))
        assert good.exit_code == 0, good.output
        assert "WRONG" not in good.output
        assert world.server.rooms is not None
        store = world.server.rooms.ground.store
        enrolled = await world.api.enrol(world.fields())
        assert enrolled.status == 201
        account = store.read(lambda tx: tx.accounts.by_aor("sip:anna@pbx.test"))[0]
        # A call from an address that is not the PBX's.
        stranger = FakePbx({}, domain="elsewhere.test")
        await stranger.start("127.81.9.4")
        try:
            call = FakeCall(stranger, "sip:ben@elsewhere.test", "sip:anna@elsewhere.test", "Ben")
            stranger.calls[call.call_id] = call
            sip_host, sip_port = world.sip
            uri = f"sip:{account.contact_user}@{sip_host}:{sip_port};transport=udp"
            flow = stranger.endpoint.flow_to(Transport.UDP, sip_host, sip_port)
            call.ring(PbxContact(uri, {}, 1e12, flow, "x", 1))
            await world.pns.wait_for(lambda push: push.type == "call", 5.0)
        finally:
            await stranger.stop()
        await store.transact(lambda tx: tx.alarms.put(Alarm("push-paused:phone/apns", 1, "Other things.")))
        named = tmp_path / "named.toml"
        named.write_text(f'{config.read_text()}[sip]\ntowards = {{"192.168.1.0/24" = "push.home"}}\n')
        wrong = await shell("doctor", "pbx", "--config", str(named))
        assert wrong.exit_code == 1
        assert 'call_sources = ["127.81.9.4"]' in wrong.output
        assert "'push.home' for 192.168.1.0/24 is a name" in wrong.output
        assert "Other things" not in wrong.output
        assert account.contact_user not in wrong.output
        as_json = await shell("doctor", "pbx", "--config", str(config), "--json")
        assert [check["good"] for check in json.loads(as_json.stdout)["checks"]] == [True, False, True]
