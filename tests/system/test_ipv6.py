"""Calls over IPv6, and between IPv6 and IPv4: the server joins what cannot speak to each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.system.net.sockets import can_bind
from tests.system.served import CALL_TOKEN, serving
from wakerobin.core.sip.message import Message
from wakerobin.core.values import Transport
from wakerobin.ports.options import SipOptions
from wakerobin.testing.dns import FakeDns
from wakerobin.testing.pbx import FakePbx
from wakerobin.testing.phone import FakePhone

V4, V6 = "127.51.4.1", "::1"
_BARE_V6 = re.compile(r"[@ ;:/]::1")


def is_bracketed(message: Message) -> bool:
    """Whether every IPv6 address in the header fields that hold hosts stands in brackets."""
    names = ("Via", "Contact", "Record-Route", "Route")
    values = [
        message.uri if message.is_request else "",
        *(one for name in names for one in message.values(name)),
    ]
    # `received` is an address alone, with or without brackets (RFC 5118, 4.5).
    return not any(_BARE_V6.search(re.sub(r";received=[^;]*", "", value)) for value in values)


@pytest.mark.skipif(not can_bind(V6), reason="this machine has no IPv6")
@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
@pytest.mark.parametrize(("pbx_host", "phone_host"), [(V6, V4), (V4, V6), (V6, V6)])
async def test_a_call_reaches_a_phone_of_the_other_family(
    tmp_path: Path, pbx_host: str, phone_host: str, transport: Transport
) -> None:
    dns, pbx = FakeDns(), FakePbx({"anna": "anna-password"})
    await dns.start(V4)
    await pbx.start(pbx_host)
    dns.zone = {
        f"_sip._{transport}.pbx.test": [f"SRV 0 0 {pbx.port} host.pbx.test."],
        "host.pbx.test": [f"AAAA {V6}" if pbx_host == V6 else f"A {V4}"],
    }
    listen = tuple(f"{kind}:{host}:0" for host in (V4, f"[{V6}]") for kind in ("udp", "tcp"))
    sip = SipOptions(listen=listen, dns=(dns.address,))
    async with serving(tmp_path, V4, sip=sip, app={"registrars": ("pbx.test", V4, V6)}) as world:
        enrolled = await world.api.enrol(world.fields(registrar=""))
        assert enrolled.json["binding"]["state"] == "registered", enrolled.text
        contact = pbx.contacts("anna")[0].uri
        shown = f"[{V6}]" if pbx_host == V6 else V4
        assert f"@{shown}:" in contact
        assert contact.endswith(f";transport={transport}")

        phone = FakePhone(
            "sip:anna@pbx.test",
            "anna-password",
            instance=enrolled.json["sip"]["instance"],
            transport=transport,
        )
        assert world.server.rooms is not None
        listeners = world.server.rooms.endpoint.listeners
        there = next(one for one in listeners if one.transport is transport and one.address == phone_host)
        call = pbx.call("anna")
        await world.pns.wait_for(lambda push: push.token == CALL_TOKEN)
        await phone.start((there.address, there.port), phone_host)
        assert (await phone.wake()).status == 200
        ringing = await phone.wait_call(within=10)
        ringing.answer()
        await call.wait(lambda one: one.final == 200)
        await ringing.until(lambda one: one.is_acknowledged)
        assert ringing.invite is not None
        assert is_bracketed(ringing.invite)
        assert all(is_bracketed(one.message) for one in call.responses)
        ringing.hang_up()
        await call.wait(lambda one: one.is_over)

        dialled = phone.dial("500")
        await dialled.until(lambda one: one.status == 200)
        assert all(is_bracketed(one) for one in dialled.responses)
        dialled.hang_up()
        # Nobody but the PBX that took the call can answer this.
        await dialled.until(lambda one: any(r.cseq.method == "BYE" for r in one.responses))
        assert [one.is_over for one in pbx.taken.values()] == [True]
        await phone.sleep()
    await pbx.stop()
    await dns.stop()
