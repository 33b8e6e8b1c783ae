"""A phone that never enrolled: linphone with its own push parameters, through us (RFC 8599).

linphone knows nothing of Wakerobin but its address, as outbound proxy. Kamailio keeps our Path, Asterisk
needs none.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from tests.interop.peers.asterisk import Asterisk
from tests.interop.peers.baresip import Baresip, PhoneAccount
from tests.interop.peers.debian import NoMirrorError
from tests.interop.peers.kamailio import Kamailio
from tests.interop.peers.lab import Lab
from tests.interop.peers.linphone import Linphone
from tests.interop.peers.pjsua import Pjsua
from tests.interop.peers.pushes import PushEnd
from tests.interop.peers.scene import USERS, Scene
from tests.interop.peers.wakerobin import Wakerobin
from tests.interop.peers.webphone import WebPhone
from tests.interop.peers.wire import final_statuses
from wakerobin.testing.dns import FakeDns

TOKEN, NOTICE = "ab" * 32, "cd" * 32


@dataclass(frozen=True, slots=True)
class Street:
    """A scene whose PBX is found by DNS, as that of a phone which names nothing but its domain is."""

    scene: Scene
    team: str
    topic: str

    @property
    def voip(self) -> str:
        """Alice's push resource for calls."""
        return f"pn-provider=apns;pn-param={self.team}.{self.topic}.voip;pn-prid={TOKEN}"

    def phone(self, transport: str = "udp", params: str = "") -> Linphone:
        """Make alice's linphone."""
        app = f"{self.team}.{self.topic}"
        return a_linphone(self.scene.lab, self.scene.server, app, transport, params)


@contextlib.asynccontextmanager
async def street(lab: Lab, *, max_expires: int = 3600) -> AsyncIterator[Street]:
    pbx = await lab.start(Kamailio(*lab.place(), USERS, max_expires=max_expires))
    async with serving(lab, *pbx.place) as (server, pns):
        options = pns.options()
        yield Street(Scene(lab, pbx, pns, server), options.team_id, options.topic)


@contextlib.asynccontextmanager
async def serving(lab: Lab, pbx: str, port: int) -> AsyncIterator[tuple[Wakerobin, PushEnd]]:
    """Run a server that finds pbx.test at this place, WebSocket on its third port, and a push service."""
    srv = [f"SRV 0 0 {port} pbx.test."]
    dns = FakeDns({"pbx.test": [f"A {pbx}"], "_sip._udp.pbx.test": srv})
    ip, _ = lab.place()
    await dns.start(ip)
    pns = await lab.start(PushEnd(lab.folder(f"pns-{secrets.token_hex(4)}"), ip))
    host, first = lab.place()
    listen = [f"udp:{host}:{first}", f"tcp:{host}:{first}", f"ws:{host}:{first + 2}"]
    sip, app = {"dns": [dns.address], "listen": listen}, {"plain_8599": True}
    server = Wakerobin(host, first, pns.options(), ["pbx.test", pbx], sip=sip, app=app)
    await lab.start(server)
    try:
        yield server, pns
    finally:
        await dns.stop()


def a_linphone(lab: Lab, server: Wakerobin, app: str, transport: str = "udp", params: str = "") -> Linphone:
    """Make alice's linphone: a client that is asleep until it is woken."""
    both = f"pn-provider=apns;pn-param={app}.voip&remote;pn-prid={TOKEN}:voip&{NOTICE}:remote"
    ip, port = lab.place()
    made = Linphone(ip, port, "alice", "pw-alice", server.address, transport=transport, pn=params or both)
    return lab.keep(made)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_linphone_s_own_push_parameters_are_enough_to_be_woken(lab: Lab, transport: str) -> None:
    async with street(lab) as here:
        scene, phone = here.scene, here.phone(transport)
        await phone.wake()
        await phone.wait_registered()
        accepted = await phone.wait_message("SIP/2.0 200")
        [caps] = accepted.headers("Feature-Caps")
        assert caps.startswith('*;+sip.pns="apns"')
        [contact] = await scene.pbx.contacts("alice")
        assert scene.server.address in (contact.path or "")
        await phone.vanish()  # its system has put it to sleep

        caller = await scene.calls("uac_answer", delay_ms=300)
        push = await scene.pns.wait_push(TOKEN)
        assert (push.status, push.push_type) == (200, "voip")
        assert push.payload["wakerobin"]["caller"]["uri"] == "sip:bob@pbx.test"
        await phone.wake()
        await phone.wait_ringing()
        await phone.answer()
        result = await caller.succeeded()
        assert final_statuses(result.messages, "INVITE") == [200]
        assert final_statuses(result.messages, "BYE") == [200]
        assert len(scene.pns.to(TOKEN)) == 1


async def test_pjsua_s_push_parameters_are_enough_as_well(lab: Lab) -> None:
    async with street(lab) as here:
        scene, server = here.scene, here.scene.server
        phone = lab.keep(
            Pjsua(*lab.place(), "alice", "pw-alice", server.address, transport="tcp", pn=here.voip)
        )
        await phone.wake()
        await phone.wait_registered()
        await phone.vanish()
        caller = await scene.calls("uac_answer", delay_ms=300)
        await scene.pns.wait_push(TOKEN)
        await phone.wake()
        await phone.wait_ringing()
        await phone.answer()
        result = await caller.succeeded()
        assert final_statuses(result.messages, "INVITE") == [200]
        assert final_statuses(result.messages, "BYE") == [200]


@pytest.mark.parametrize("library", ["jssip", "sipjs"])
async def test_a_web_phone_is_woken_and_spared_a_call_that_would_be_silent(lab: Lab, library: str) -> None:
    """It comes back as another instance at another Contact; its push resource says that it is the same."""
    async with street(lab) as here:
        scene, server = here.scene, here.scene.server
        url = f"ws://{server.ip}:{server.port + 2}/"
        phone = lab.keep(WebPhone(library, "alice", "pw-alice", url, ca_file="", pn=here.voip))
        await phone.wake()
        await phone.wait_registered()
        await phone.vanish()
        caller = await scene.calls("uac_expect", status=488)  # SIPp offers no DTLS-SRTP
        await scene.pns.wait_push(TOKEN)
        await phone.wake()
        await phone.wait_registered()
        result = await caller.succeeded()
        assert final_statuses(result.messages, "INVITE") == [488]


async def test_a_push_service_that_is_not_ours_is_refused_by_us(lab: Lab) -> None:
    async with street(lab) as here:
        phone = here.phone(params="pn-provider=fcm;pn-param=another;pn-prid=x:y")
        await phone.wake()
        refused = await phone.wait_message("SIP/2.0 555")
        assert refused.method == "REGISTER"
        assert await here.scene.pbx.contacts("alice") == []


async def test_a_sleeping_linphone_is_pushed_to_refresh_and_stays_registered(lab: Lab) -> None:
    async with street(lab, max_expires=8) as here:  # the PBX grants 8 s: the first push after 4
        scene, phone = here.scene, here.phone()
        await phone.wake()
        await phone.wait_registered()
        await phone.vanish()
        push = await scene.pns.wait_push(NOTICE, "renew")
        assert (push.status, push.push_type) == (200, "background")
        assert scene.pns.to(TOKEN) == []
        await phone.wake()
        await phone.wait_registered()
        [contact] = await scene.pbx.contacts("alice")
        assert contact.expires > 4


async def test_linphone_calls_through_us_with_its_pbx_s_password_alone(lab: Lab) -> None:
    async with street(lab) as here:
        scene, phone = here.scene, here.phone()
        await scene.pbx.option("invite_auth", 1)
        desk = await scene.desk_phone("uas_answer", user="bob")
        await phone.wake()
        await phone.wait_registered()
        await phone.dial("sip:bob@pbx.test")
        await phone.wait_established()
        await phone.hang_up()
        await phone.wait_idle()
        await desk.succeeded()


async def test_asterisk_which_rewrites_contacts_is_understood_by_the_push_resource(lab: Lab) -> None:
    try:
        pbx = await lab.start(Asterisk(*lab.place(), USERS))
    except NoMirrorError as nowhere:
        pytest.skip(f"without Asterisk: {nowhere}")
    async with serving(lab, *pbx.place) as (server, pns):
        options = pns.options()
        app = f"{options.team_id}.{options.topic}"
        # One resource only: to Dial(${PJSIP_DIAL_CONTACTS(…)}) the & between two would begin another phone.
        params = f"pn-provider=apns;pn-param={app}.voip;pn-prid={TOKEN}"
        phone = a_linphone(lab, server, app, params=params)
        await phone.wake()
        await phone.wait_registered()
        accepted = await phone.wait_message("SIP/2.0 200")
        [caps] = accepted.headers("Feature-Caps")
        assert caps.startswith('*;+sip.pns="apns"')
        assert len(await pbx.contacts("alice")) == 1
        await phone.vanish()

        caller = lab.keep(Baresip(*lab.place(), [PhoneAccount("bob", "pw-bob", pbx.address)]))
        await caller.wake()
        await caller.wait_registered()
        await caller.dial("sip:alice@pbx.test")
        await pns.wait_push(TOKEN)
        await phone.wake()
        await phone.wait_ringing()
        await phone.answer()
        await caller.wait_established()
        await caller.hang_up()
        await phone.wait_idle()
