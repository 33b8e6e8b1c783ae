"""A whole server and a browser: calls reach it, warnings are shown, and it is never pushed for nothing."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.system.served import KEY, PATH, World, serving
from tests.system.webpush_double import Subscription, WebPushDouble
from wakerobin.core.values import Duration, Provider, Secret
from wakerobin.ports.options import AppOptions, LifetimeOptions
from wakerobin.testing.phone import FakePhone
from wakerobin.testing.phone_call import PhoneCall

HOST = "127.83.3.1"
SECOND = 1000


@contextlib.asynccontextmanager
async def woken(folder: Path, **life: Any) -> AsyncIterator[tuple[World, WebPushDouble]]:
    """Run a server that pushes to a double of a Web Push service."""
    push_folder = folder / "webpush"
    push_folder.mkdir()
    async with WebPushDouble(push_folder, HOST) as double:
        app = AppOptions(
            enrolment_key=Secret(KEY),
            registrars=("pbx.test", HOST),
            webpush=double.options(page="https://phone.example/"),
            lifetime=LifetimeOptions(**life),
        )
        async with serving(folder, HOST, apps={"phone": app}) as world:
            world.pbx.rules.webrtc = True
            yield world, double
        assert double.thrown_out == []


async def enrolled(world: World, double: WebPushDouble, where: Subscription) -> dict[str, Any]:
    answer = await world.api.enrol(world.fields(targets=[double.fields(where)], platform="web"))
    assert answer.status == 201, answer.text
    made = answer.json
    assert isinstance(made, dict)
    return made


async def test_a_browser_is_woken_by_a_push_and_answers(tmp_path: Path) -> None:
    async with woken(tmp_path) as (world, double):
        made = await enrolled(world, double, double.subscribe("browser"))
        call = world.pbx.call("anna", display="Ben")
        push = await double.wait_for(lambda one: one.type == "call")
        assert push.is_accepted
        assert push.headers["urgency"] == "high"
        assert "topic" not in push.headers
        assert 0 < int(push.headers["ttl"]) <= 30
        assert "Ben" in push.shown["title"] + push.shown["body"]
        phone = FakePhone("sip:anna@pbx.test", "anna-password", instance=made["sip"]["instance"])
        phone.on_call = PhoneCall.answer
        await phone.start(world.sip, HOST)
        try:
            await phone.register()
            await call.wait(lambda one: one.final == 200)
        finally:
            await phone.sleep()


async def test_a_call_that_nobody_takes_is_replaced_on_the_screen(tmp_path: Path) -> None:
    async with woken(tmp_path) as (world, double):
        await enrolled(world, double, double.subscribe("browser"))
        call = world.pbx.call("anna", display="Ben")
        push = await double.wait_for(lambda one: one.type == "call")
        call.cancel()
        over = await double.wait_for(lambda one: one.type == "call-over")
        assert over.shown["tag"] == push.shown["tag"]
        assert over.shown["title"]
        assert over.shown["silent"]


async def test_a_call_that_a_browser_reported_as_shown_is_replaced_all_the_same(tmp_path: Path) -> None:
    """The receipt says that its user knows of the call, not that anybody took the notification away."""
    async with woken(tmp_path) as (world, double):
        made = await enrolled(world, double, double.subscribe("browser"))
        call = world.pbx.call("anna", display="Ben")
        push = await double.wait_for(lambda one: one.type == "call")
        said = push.message["wakerobin"]
        receipt = {"push_id": said["id"], "kind": "shown", "received_at": said["sent_at"]}
        path = f"{PATH}/{made['id']}/receipts"
        assert (await world.api.send("POST", path, [receipt], made["secret"])).status == 204
        call.cancel()
        over = await double.wait_for(lambda one: one.type == "call-over")
        assert over.shown["tag"] == push.shown["tag"]


async def test_over_a_whole_life_a_browser_is_never_pushed_without_something_to_show(tmp_path: Path) -> None:
    life = {
        "lifetime": Duration(6 * SECOND),
        "lifetime_min": Duration(SECOND),
        "renewal": "ladder",
        "renewal_from": Duration(5 * SECOND),
        "renewal_every": Duration(SECOND // 2),
        "warnings": (Duration(3 * SECOND), Duration(SECOND)),
    }
    async with woken(tmp_path, **life) as (world, double):
        await enrolled(world, double, double.subscribe("browser"))
        call = world.pbx.call("anna", display="Ben")
        await double.wait_for(lambda one: one.type == "call")
        call.cancel()
        await double.wait_for(lambda one: one.type == "expired", within=20)
        assert [one.type for one in double.pushes if one.shown.get("tag") == "life"] == [
            "expiry-warning",
            "expiry-warning",
            "expired",
        ]
    for push in double.pushes:
        assert push.is_accepted
        assert push.type != "renew"
        assert push.message["web_push"] == 8030
        assert push.shown["title"].strip()
        assert push.shown["body"].strip()


async def test_an_app_behind_unifiedpush_is_renewed_silently(tmp_path: Path) -> None:
    life = {
        "lifetime": Duration(6 * SECOND),
        "lifetime_min": Duration(SECOND),
        "renewal": "ladder",
        "renewal_from": Duration(5 * SECOND),
        "renewal_every": Duration(SECOND // 2),
        "warnings": (Duration(SECOND),),
    }
    async with woken(tmp_path, **life) as (world, double):
        app = double.subscribe("app", Provider.UNIFIEDPUSH)
        made = await enrolled(world, double, app)
        push = await double.wait_for(lambda one: one.type == "renew", within=15)
        assert push.message.keys() == {"wakerobin"}
        assert push.headers["urgency"] == "low"
        path = f"{PATH}/{made['id']}/renew"
        renewed = await world.api.send("POST", path, {"cause": "renewal-push"}, made["secret"])
        assert renewed.json["expires_at"] > made["expires_at"]
