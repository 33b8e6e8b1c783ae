"""The example's service worker in a real browser: it shows the pushes of a real server, and acts on them.

Only the way through the browser maker's push service is cut short: what the server sent is decrypted by
the double and handed to Chromium through its DevTools protocol.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.interop.peers.chromium import Chromium, Page
from tests.interop.peers.lab import Lab
from tests.interop.peers.network import until
from tests.interop.peers.nginx_front import NginxFront
from tests.system.served import KEY, PATH, World, serving
from tests.system.webpush_double import Arrived, WebPushDouble
from wakerobin.core.values import Duration, Secret
from wakerobin.ports.options import AppOptions, LifetimeOptions

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "web"
HOST = "127.83.5.1"
SECOND = 1000

# As docs/webpush.md says: the page and the API under one host.
_SITE = """
server {{
    listen {ip}:{port};
    root {root};
    location /v1/ {{
        proxy_pass http://{api};
        proxy_set_header Host $host;
        proxy_read_timeout 60s;
    }}
}}
"""

_SHOWN = """
navigator.serviceWorker.ready
  .then((registration) => registration.getNotifications())
  .then((all) => all.map(({ title, body, tag, actions, silent, requireInteraction, data }) =>
    ({ title, body, tag, silent, requireInteraction, data, actions: actions.map((one) => one.action) })))
"""
_KEEP = "keep({ id: %s, secret: %s, api: location.origin }).then(() => true)"
# To ask for notifications while one is on its way to the screen makes Chromium forget it, so that nobody
# asks before the service worker has been told that it is there.
_COUNT = """
self.shows = 0;
const show = ServiceWorkerRegistration.prototype.showNotification;
ServiceWorkerRegistration.prototype.showNotification = async function (...words) {
  await show.apply(this, words);
  self.shows += 1;
};
true;
"""
# A tap cannot be made from outside; the same event made inside runs the same code.
_TAP = """
self.registration.getNotifications().then(([notification]) => {
  self.dispatchEvent(new NotificationEvent("notificationclick", { notification, action: %s }));
  return true;
})
"""


@dataclass(slots=True)
class Browser:
    """A page of the example with its service worker, and the server that pushes to it."""

    world: World
    double: WebPushDouble
    page: Page
    origin: str
    worker: Page
    """The service worker."""
    number: str
    """Of the service worker's registration in the browser."""
    body: dict[str, Any]
    """The push registration."""
    site: NginxFront

    async def deliver(self, push: Arrived) -> None:
        """Hand over what the server sent, as the browser would after decryption."""
        await self.deliver_text(json.dumps(push.message))

    async def deliver_text(self, text: str) -> None:
        """Hand over the text of a push; return when something was shown for it."""
        before = await self.worker.run("self.shows")
        await self.page.call(
            "ServiceWorker.deliverPushMessage", origin=self.origin, registrationId=self.number, data=text
        )
        async with asyncio.timeout(10):
            while await self.worker.run("self.shows") == before:
                pass

    async def shown(self) -> list[dict[str, Any]]:
        """Return what is on the screen."""
        found = await self.page.run(_SHOWN)
        assert isinstance(found, list)
        return found

    async def tap(self, action: str) -> None:
        """Tap the notification or one of its buttons."""
        assert await self.worker.run(_TAP % json.dumps(action)) is True

    async def life(self) -> dict[str, Any]:
        """Read the push registration without using it: from the story, not with its secret."""
        assert self.world.server.rooms is not None
        store = self.world.server.rooms.ground.store
        row = store.read(lambda tx: tx.registrations.by_public_id(self.body["id"]))
        assert row is not None
        life = store.read(lambda tx: tx.lives.get(row.id))
        assert life is not None
        return {"generation": life.generation, "expires_at": life.expires_at}


@pytest.fixture
async def browser(lab: Lab, tmp_path: Path) -> AsyncIterator[Browser]:
    ip, port = lab.place()
    origin = f"http://{ip}:{port}"
    (tmp_path / "webpush").mkdir()
    life = LifetimeOptions(
        lifetime=Duration(8 * SECOND), lifetime_min=Duration(SECOND), warnings=(Duration(6 * SECOND),)
    )
    async with WebPushDouble(tmp_path / "webpush", HOST) as double:
        app = AppOptions(
            enrolment_key=Secret(KEY),
            registrars=("pbx.test", HOST),
            webpush=double.options(page=f"https://{ip}/"),
            lifetime=life,
        )
        async with serving(tmp_path, HOST, apps={"phone": app}) as world:
            world.pbx.rules.webrtc = True
            site = _SITE.format(ip=ip, port=port, root=EXAMPLE, api=f"{world.api.host}:{world.api.port}")
            nginx = await lab.start(NginxFront(site, (ip, port)))
            chromium = await lab.start(Chromium())
            await chromium.call("Browser.grantPermissions", origin=origin, permissions=["notifications"])
            page = await Page.open(chromium, f"{origin}/index.html")
            await page.call("ServiceWorker.enable")
            event = await chromium.event("ServiceWorker.workerVersionUpdated", is_activated, within=20)
            where = double.fields(double.subscribe("browser"))
            answer = await world.api.enrol(world.fields(targets=[where], platform="web"))
            assert answer.status == 201, answer.text
            body = answer.json
            assert await page.run(_KEEP % (json.dumps(body["id"]), json.dumps(body["secret"])))
            number = event["versions"][-1]["registrationId"]
            worker = await service_worker(chromium)
            yield Browser(world, double, page, origin, worker, number, body, nginx)


async def service_worker(chromium: Chromium) -> Page:
    """Attach to the service worker, and have it count what it shows."""
    targets = (await chromium.call("Target.getTargets"))["targetInfos"]
    found = next(one["targetId"] for one in targets if one["type"] == "service_worker")
    answer = await chromium.call("Target.attachToTarget", targetId=found, flatten=True)
    worker = Page(chromium, answer["sessionId"])
    assert await worker.run(_COUNT) is True
    return worker


def is_activated(event: dict[str, Any]) -> bool:
    return any(version["status"] == "activated" for version in event["versions"])


async def test_a_call_is_shown_with_its_buttons_and_declined_from_the_notification(browser: Browser) -> None:
    call = browser.world.pbx.call("anna", display="Ben")
    push = await browser.double.wait_for(lambda one: one.type == "call")
    await browser.deliver(push)
    (shown,) = await browser.shown()
    assert "Ben" in shown["title"] + shown["body"]
    assert shown["actions"] == ["answer", "decline"]
    assert shown["requireInteraction"]
    await browser.tap("decline")
    await call.wait(lambda one: one.final == 486, within=10)
    async with asyncio.timeout(10):
        while await browser.shown():
            pass


async def test_a_call_that_is_answered_is_handed_to_the_open_page(browser: Browser) -> None:
    browser.world.pbx.call("anna", display="Ben")
    await browser.deliver(await browser.double.wait_for(lambda one: one.type == "call"))
    await browser.tap("answer")
    async with asyncio.timeout(10):
        while await browser.page.run("document.getElementById('state').textContent") != "Answering …":
            pass


async def test_a_call_that_is_over_is_replaced_on_the_screen(browser: Browser) -> None:
    call = browser.world.pbx.call("anna", display="Ben")
    await browser.deliver(await browser.double.wait_for(lambda one: one.type == "call"))
    (ringing,) = await browser.shown()
    call.cancel()
    over = await browser.double.wait_for(lambda one: one.type == "call-over")
    await browser.deliver(over)
    (shown,) = await browser.shown()
    assert shown["title"] == over.shown["title"] != ringing["title"]
    assert shown["actions"] == []
    assert not shown["requireInteraction"]


async def test_a_warning_renews_first_and_then_shows_that_all_is_well(browser: Browser) -> None:
    before = await browser.life()
    push = await browser.double.wait_for(lambda one: one.type == "expiry-warning", within=10)
    await browser.deliver(push)
    (shown,) = await browser.shown()
    assert shown["body"] == "You can be reached."
    assert shown["silent"]
    after = await browser.life()
    assert after["generation"] == before["generation"] + 1
    assert after["expires_at"] > before["expires_at"]


async def test_a_warning_that_cannot_renew_is_shown_in_its_words(browser: Browser) -> None:
    push = await browser.double.wait_for(lambda one: one.type == "expiry-warning", within=10)
    path = f"{PATH}/{browser.body['id']}"
    ended = await browser.world.api.send("DELETE", path, secret=browser.body["secret"])
    assert ended.status == 202
    await browser.deliver(push)
    (shown,) = await browser.shown()
    assert shown["title"] == push.shown["title"]
    assert shown["body"] == push.shown["body"]
    assert not shown["silent"]


async def test_even_what_cannot_be_read_shows_something(browser: Browser) -> None:
    await browser.deliver_text("{")
    (shown,) = await browser.shown()
    assert shown["title"] == "Phone"


async def test_the_server_learns_that_a_push_was_shown(browser: Browser) -> None:
    browser.world.pbx.call("anna", display="Ben")
    push = await browser.double.wait_for(lambda one: one.type == "call")
    await browser.deliver(push)
    await browser.shown()
    receipt = f'"POST {PATH}/{browser.body["id"]}/receipts HTTP/1.1" 204'
    await until(lambda: receipt in browser.site.log_text(), what="a receipt")
