"""Web Push against ends that are not ours: npm's web-push-testing decrypts, nginx terminates TLS."""

from __future__ import annotations

import asyncio
import http.client
import json
import urllib.parse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.interop.peers.lab import Lab
from tests.interop.peers.nginx_front import NginxFront
from tests.interop.peers.node import NodeScript, modules
from tests.system.pushing import message, soon, target
from tests.system.webpush_double import sending
from wakerobin.core.pushes import Accepted, PushMessage, PushType, Rejected, TargetGone
from wakerobin.core.values import Provider, Secret
from wakerobin.ports.options import WebPushOptions
from wakerobin.push.webpush import make_key_file

_TLS = """
server {{
    listen {ip}:{port} ssl{http2};
    ssl_certificate {chain};
    ssl_certificate_key {key};
    location / {{ proxy_pass http://{behind}; }}
}}
"""


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A subscription at web-push-testing, as it describes it."""

    hash: str
    p256dh: str
    auth: str


class Foreign:
    """npm's web-push-testing behind nginx, which speaks HTTP/2 and HTTP/1.1 over TLS."""

    def __init__(self, options: WebPushOptions, public_key: str, behind: tuple[str, int], url: str) -> None:
        self.options = options
        self.public_key = public_key
        self._behind = behind
        self._url = url

    async def ask(self, path: str, **fields: str) -> Any:
        """Ask its own interface."""

        def send() -> Any:
            connection = http.client.HTTPConnection(*self._behind, timeout=10)
            try:
                kind = {"Content-Type": "application/x-www-form-urlencoded"}
                connection.request("POST", path, urllib.parse.urlencode(fields), kind)
                text = connection.getresponse().read().decode()
            finally:
                connection.close()
            return json.loads(text) if text.startswith("{") else text

        return await asyncio.to_thread(send)

    async def subscribe(self, key: str = "") -> Subscribed:
        """Subscribe as a page with that key would."""
        fields = {"userVisibleOnly": "true", "applicationServerKey": key or self.public_key}
        made = (await self.ask("/subscribe", **fields))["data"]
        return Subscribed(made["clientHash"], made["keys"]["p256dh"], made["keys"]["auth"])

    async def read(self, subscribed: Subscribed) -> list[dict[str, Any]]:
        """Return what it has decrypted."""
        answer = await self.ask("/get-notifications", clientHash=subscribed.hash)
        return [json.loads(text) for text in answer["data"]["messages"]]

    def to(self, subscribed: Subscribed, type_: PushType, **changes: Any) -> PushMessage:
        """Return a push to a subscription."""
        values: dict[str, Any] = {
            "provider": Provider.WEBPUSH,
            "p256dh": subscribed.p256dh,
            "auth": Secret(subscribed.auth),
        }
        where = target(f"{self._url}/notify/{subscribed.hash}", **(values | changes))
        words: dict[str, Any] = {"title": "Anna", "text": "Über 7 Tage …"}
        return message(type_, target=where, **words)


@pytest.fixture(params=["h2", "http/1.1"])
async def foreign(request: pytest.FixtureRequest, lab: Lab, tmp_path: Path) -> Foreign:
    ip, port = lab.place()
    certificate = lab.certificate(ip)
    behind = (ip, port + 1)
    arguments = (str(await modules()), ip, str(port + 1))
    await lab.start(NodeScript("webpush_testing.cjs", *arguments, ready="Server running"))
    servers = _TLS.format(
        ip=ip,
        port=port,
        http2=" http2" if request.param == "h2" else "",
        chain=certificate.chain,
        key=certificate.key,
        behind=f"{ip}:{port + 1}",
    )
    await lab.start(NginxFront(servers, (ip, port)))
    key_file = tmp_path / "vapid.pem"
    public_key = make_key_file(key_file)
    options = WebPushOptions(
        vapid_key_file=str(key_file),
        subject="mailto:ops@example.com",
        hosts=(f"{ip}:{port}",),
        ca_file=str(certificate.authority),
    )
    return Foreign(options, public_key, behind, f"https://{ip}:{port}")


async def test_other_peoples_code_reads_what_we_encrypt_and_accepts_our_key(foreign: Foreign) -> None:
    subscribed = await foreign.subscribe()
    types = [type_ for type_ in PushType if type_ is not PushType.RENEW]
    async with sending(foreign.options) as service:
        for type_ in types:
            assert await service.send(foreign.to(subscribed, type_), soon()) == Accepted()
    read = await foreign.read(subscribed)
    assert [one["wakerobin"]["type"] for one in read] == [type_.value for type_ in types]
    assert {one["notification"]["title"] for one in read} == {"Anna"}
    assert {one["notification"]["body"] for one in read} == {"Über 7 Tage …"}
    assert {one["web_push"] for one in read} == {8030}


async def test_an_app_behind_unifiedpush_reads_silent_pushes_too(foreign: Foreign) -> None:
    subscribed = await foreign.subscribe()
    silent = foreign.to(subscribed, PushType.RENEW, provider=Provider.UNIFIEDPUSH)
    async with sending(foreign.options, Provider.UNIFIEDPUSH) as service:
        assert await service.send(replace(silent, title="", text=""), soon()) == Accepted()
    assert await foreign.read(subscribed) == [{"wakerobin": silent.payload}]


async def test_fifty_pushes_at_once_all_arrive(foreign: Foreign) -> None:
    subscribed = await foreign.subscribe()
    async with sending(foreign.options) as service:
        ones = [foreign.to(subscribed, PushType.CALL) for _ in range(50)]
        outcomes = await asyncio.gather(*(service.send(one, soon(20)) for one in ones))
    assert outcomes == [Accepted()] * 50
    assert len(await foreign.read(subscribed)) >= 50  # a call may be repeated where nobody answers for long


async def test_an_expired_subscription_is_gone(foreign: Foreign) -> None:
    subscribed = await foreign.subscribe()
    await foreign.ask(f"/expire-subscription/{subscribed.hash}")
    async with sending(foreign.options) as service:
        outcome = await service.send(foreign.to(subscribed, PushType.EXPIRED), soon())
    assert isinstance(outcome, TargetGone)
    assert outcome.certain


async def test_another_key_than_that_of_the_subscription_is_refused(foreign: Foreign, tmp_path: Path) -> None:
    other = make_key_file(tmp_path / "other.pem")
    subscribed = await foreign.subscribe(other)
    async with sending(foreign.options) as service:
        outcome = await service.send(foreign.to(subscribed, PushType.EXPIRED), soon())
    assert outcome == Rejected("status 400")
    assert await foreign.read(subscribed) == []


async def test_what_is_encrypted_for_another_is_read_by_nobody(foreign: Foreign) -> None:
    one, other = await foreign.subscribe(), await foreign.subscribe()
    crossed = foreign.to(Subscribed(one.hash, other.p256dh, other.auth), PushType.EXPIRED)
    async with sending(foreign.options) as service:
        assert await service.send(crossed, soon()) == Rejected("status 400")
    assert await foreign.read(one) == []
    assert await foreign.read(other) == []
