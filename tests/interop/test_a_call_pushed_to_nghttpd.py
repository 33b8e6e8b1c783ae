"""A whole call whose push ends at an HTTP/2 server that is not ours."""

from __future__ import annotations

from pathlib import Path

from tests.interop.peers.baresip import Baresip, PhoneAccount
from tests.interop.peers.kamailio import Kamailio
from tests.interop.peers.lab import Lab
from tests.interop.peers.nghttpd import Nghttpd
from tests.interop.peers.sipp import Call, Sipp
from tests.interop.peers.wakerobin import Wakerobin
from wakerobin.ports.options import ApnsOptions
from wakerobin.testing.pns_certificates import make_signing_key


async def test_the_push_is_accepted_the_phone_wakes_and_the_call_is_answered(
    lab: Lab, tmp_path: Path
) -> None:
    ip, port = lab.place()
    certificate = lab.certificate(ip)
    pns = await lab.start(Nghttpd(ip, port, certificate.chain, certificate.key))
    apns = ApnsOptions(
        key_file=str(tmp_path / "key.p8"),
        key_id="ABCDEFGH12",
        team_id="TEAMTEAM12",
        topic="com.example.phone",
        url=f"https://{ip}:{port}",
        ca_file=str(certificate.authority),
    )
    make_signing_key(Path(apns.key_file))
    pbx = await lab.start(Kamailio(*lab.place(), {"alice": "pw-alice", "bob": "pw-bob"}))
    server = await lab.start(Wakerobin(*lab.place(), apns, ["pbx.test", pbx.ip]))
    alice = await server.enrol("alice", "pw-alice", pbx.address)

    calls = [Call("bob", "pw-bob", "alice")]
    caller = await lab.start(Sipp("uac_answer", *lab.place(), target=pbx.place, calls=calls, delay_ms=100))
    [request] = await pns.wait_requests()
    assert request.headers[":path"] == f"/3/device/{alice.call_token}"
    assert request.headers["apns-push-type"] == "voip"
    assert request.headers["apns-priority"] == "10"
    assert request.headers["apns-topic"] == "com.example.phone.voip"
    assert request.headers["authorization"].startswith("bearer ey")
    await caller.wait_message("SIP/2.0 180")

    account = PhoneAccount("alice", "pw-alice", server.address, answers=True)
    phone = lab.keep(Baresip(*lab.place(), [account]))
    await phone.wake()
    await caller.succeeded()
    call = await server.call_of(alice)
    assert call["state"] == "answered"
    assert len(pns.requests()) == 1
