"""Phones that come over TLS, as phones on mobile networks do."""

from __future__ import annotations

import dataclasses

import trustme

from tests.interop.peers.baresip import Baresip, PhoneAccount
from tests.interop.peers.kamailio import Kamailio
from tests.interop.peers.lab import Lab
from tests.interop.peers.pushes import PushEnd
from tests.interop.peers.scene import USERS, Scene
from tests.interop.peers.wakerobin import Wakerobin
from tests.interop.peers.wire import final_statuses


@dataclasses.dataclass(frozen=True, slots=True)
class Certificates:
    """What the server shows and the phone trusts, as files."""

    cert: str
    key: str
    ca: str


def certificates(lab: Lab, ip: str) -> Certificates:
    folder = lab.folder(f"tls-{ip}")
    authority = trustme.CA()
    issued = authority.issue_cert(ip)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    (folder / "cert.pem").write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
    return Certificates(str(folder / "cert.pem"), str(folder / "key.pem"), str(folder / "ca.pem"))


async def a_tls_scene(lab: Lab) -> tuple[Scene, Baresip]:
    """A PBX by UDP, the server with a TLS listener, and a phone that sleeps and knows only that."""
    pbx = await lab.start(Kamailio(*lab.place(), USERS))
    push_ip, _ = lab.place()
    pns = await lab.start(PushEnd(lab.folder("pns-tls"), push_ip))
    ip, port = lab.place()
    files = certificates(lab, ip)
    listen = [f"udp:{ip}:{port}", f"tcp:{ip}:{port}", f"tls:{ip}:{port + 2}"]
    sip = {"listen": listen, "tls_cert": files.cert, "tls_key": files.key}
    server = await lab.start(Wakerobin(ip, port, pns.options(), ["pbx.test", pbx.ip], sip=sip))
    account = PhoneAccount("alice", USERS["alice"], f"{ip}:{port + 2}", transport="tls")
    phone = lab.keep(Baresip(*lab.place(), [account], ca_file=files.ca))
    return Scene(lab, pbx, pns, server), phone


async def test_a_phone_over_tls_is_woken_by_a_call_of_a_pbx_that_speaks_udp(lab: Lab) -> None:
    scene, phone = await a_tls_scene(lab)
    alice = await scene.enrol()
    routes = {route["transport"] for route in alice.answer["sip"]["routes"]}
    assert routes == {"udp", "tcp", "tls"}
    caller = await scene.calls("uac_answer", delay_ms=300)
    await scene.pns.wait_push(alice.call_token)
    await phone.wake()
    await phone.wait_ringing()
    await phone.answer()
    result = await caller.succeeded()
    await phone.wait_event("CALL_CLOSED")
    assert final_statuses(result.messages, "INVITE") == [200]
    assert final_statuses(result.messages, "BYE") == [200]
    invite = await phone.wait_message("INVITE")
    [ours] = [one for one in invite.headers("Record-Route") if "transport=tls" in one]
    assert scene.server.ip in ours
    assert invite.headers("Via")[0].startswith("SIP/2.0/TLS")
