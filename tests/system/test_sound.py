"""Calls without sound, said in words before anybody complains: browsers, and private addresses (sip 23)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.system.calls_world import DOMAIN, PBX, World
from tests.system.on_the_wire import finals, to_phone
from tests.system.stories import events, nothing_is_left, records, rows
from tests.unit.test_sdp import PLAIN, WEBRTC
from wakerobin.core.pushes import PushMessage
from wakerobin.core.story import words
from wakerobin.core.values import Account, Provider, Secret, Transport
from wakerobin.ports.alarms import Alarm


def alarms(world: World) -> list[Alarm]:
    return world.store.read(lambda tx: tx.alarms.all())


async def test_a_browser_is_not_rung_for_a_call_that_it_could_not_hear() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered(transport=Transport.WSS)
        call = world.pbx.call("alice", body=PLAIN.encode())
        await world.until(lambda: call.final > 0, within=100)
        assert call.final == 488
        (refused,) = [one.message for one in call.responses if one.status == 488]
        assert "no DTLS-SRTP with ICE" in (refused.get("reason") or "")
        assert not phone.calls
        assert not world.pushes.sent
        await nothing_is_left(world)
        assert [words(row.event, row.details) for row in rows(world)][1:] == [
            "The phone is a browser and the PBX offered no DTLS-SRTP with ICE, without which it has no "
            "sound: set webrtc=yes for this account (Asterisk), or have something between them that does it.",
            "Nobody answered: The phone is a browser and the offer has no DTLS-SRTP with ICE.",
        ]


@pytest.mark.parametrize("transport", [Transport.WS, Transport.WSS])
async def test_a_browser_answers_what_it_can_hear(transport: Transport) -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered(transport=transport)
        call = world.pbx.call("alice", body=WEBRTC.encode())
        await world.until(lambda: bool(phone.calls))
        phone.calls[0].answer()
        await world.until(lambda: phone.calls[0].is_acknowledged)
        call.hang_up()
        await world.until(lambda: phone.calls[0].is_over)
        assert finals(world) == [200]
        await nothing_is_left(world)


async def browser_asleep(world: World) -> Account:
    """Enrol, and let the only target be one of a browser."""
    account = await world.enrol()
    (registration,) = world.registrations(account)
    (target,) = world.store.read(lambda tx: tx.targets.of_registration(registration.id))
    await world.store.transact(lambda tx: tx.targets.remove(target.id))
    browsers = replace(target, id=0, provider=Provider.WEBPUSH, token=Secret("https://push.example/1"))
    await world.store.transact(lambda tx: tx.targets.add(browsers))
    return account


async def test_a_browser_that_sleeps_is_woken_only_for_what_it_can_hear() -> None:
    world = World()
    async with world.running():
        await browser_asleep(world)
        call = world.pbx.call("alice", body=PLAIN.encode())
        await world.until(lambda: call.final == 488, within=100)
        assert not world.pushes.sent
        fit = world.pbx.call("alice", body=WEBRTC.encode())
        await world.until(lambda: bool(world.pushes.sent))
        assert isinstance(world.pushes.sent[0], PushMessage)
        fit.cancel()
        await nothing_is_left(world)


async def test_a_private_address_for_a_phone_outside_is_told_in_words_and_stands_as_an_alarm() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call = world.pbx.call("alice", body=PLAIN.encode())
        await world.until(lambda: bool(phone.calls))
        call.cancel()
        await nothing_is_left(world)
        (told,) = [row for row in rows(world) if row.event == "no-sound-likely"]
        assert words(told.event, told.details) == (
            "No sound is likely: the PBX offers the private address 192.168.1.10 to a phone outside its "
            "network. Set external_media_address (Asterisk) or ext-rtp-ip (FreeSWITCH) there."
        )
        (alarm,) = alarms(world)
        assert alarm.name == f"no-sound:{DOMAIN}"
        assert "private address 192.168.1.10" in alarm.words
        assert "alice" not in alarm.words
        mended = world.pbx.call("alice")
        await world.until(lambda: len(phone.calls) == 2)
        mended.cancel()
        await nothing_is_left(world)
        assert alarms(world) == [], "the PBX offers a public one now"


@pytest.mark.parametrize(
    ("address", "body"),
    [
        ("192.168.7.7", PLAIN),
        (PBX[0], PLAIN),
        ("2a00:1::5", PLAIN),
        ("203.0.113.5", WEBRTC),
        ("203.0.113.5", PLAIN.replace("c=IN IP4 192.168.1.10", "c=IN IP4 198.51.100.9")),
        ("203.0.113.5", ""),
    ],
    ids=["inside", "behind the same address", "the other family", "ice", "public", "delayed offer"],
)
async def test_where_sound_may_arrive_nobody_is_troubled(address: str, body: str) -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = world.phone(address=address, port=6060)
        await world.do(phone.register())
        call = world.pbx.call("alice", body=body.encode())
        await world.until(lambda: bool(phone.calls))
        call.cancel()
        await nothing_is_left(world)
        assert "no-sound-likely" not in events(world)
        assert alarms(world) == []
        assert to_phone(world, "INVITE", address)[0].body == body.encode()
        assert len(records(world)) == 1
