"""Kamailio registers us over IPv6, and calls over it a phone that has only IPv4; and the reverse way."""

from __future__ import annotations

import contextlib
import socket

import pytest

from tests.interop.peers.kamailio import Kamailio
from tests.interop.peers.lab import Lab
from tests.interop.peers.pushes import PushEnd
from tests.interop.peers.scene import USERS, Scene
from tests.interop.peers.wakerobin import Wakerobin
from tests.interop.peers.wire import final_statuses


def place_on_both(lab: Lab) -> tuple[str, int]:
    """A place of one's own whose port is free on [::1], too, which is everybody's."""
    while True:
        ip, port = lab.place()
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as stream:
            stream.bind(("::1", port))
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as datagram:
                datagram.bind(("::1", port))
                return ip, port


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_phone_on_ipv4_is_called_by_a_pbx_on_ipv6(lab: Lab, transport: str) -> None:
    pbx = Kamailio(*place_on_both(lab), USERS, ipv6=True)
    await lab.start(pbx)
    ip, _ = lab.place()
    pns = await lab.start(PushEnd(lab.folder("pns"), ip))
    ours, port = place_on_both(lab)
    listen = [f"{kind}:{host}:{port}" for host in (ours, "[::1]") for kind in ("udp", "tcp")]
    sip = {"listen": listen}
    server = await lab.start(Wakerobin(ours, port, pns.options(), ["pbx.test", "::1"], sip=sip))
    scene = Scene(lab, pbx, pns, server)
    alice = await server.enrol("alice", "pw-alice", f"[::1]:{pbx.port}", transport=transport)
    [contact] = await pbx.contacts("alice")
    assert contact.uri.partition("@")[2] == f"[::1]:{port};transport={transport}"

    phone = scene.sleeping_phone(transport=transport)
    caller = await scene.calls("uac_answer", delay_ms=300)
    await pns.wait_push(alice.call_token)
    await phone.wake()
    await phone.wait_ringing()
    invite = await phone.wait_message("INVITE")
    routes = invite.headers("Record-Route")
    assert any(f"@{server.address}" in one for one in routes)
    assert any(f"@[::1]:{port}" in one for one in routes)
    await phone.answer()
    result = await caller.succeeded()
    await phone.wait_event("CALL_CLOSED")
    assert final_statuses(result.messages, "INVITE") == [200]
    assert final_statuses(result.messages, "BYE") == [200]
    await phone.wait_requests("INVITE", "ACK", "BYE")
