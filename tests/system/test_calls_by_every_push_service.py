"""A whole server whose phones are woken through Firebase, a webhook, or the Acrobits push server."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.system.push_doubles import SECRETS, AcrobitsDouble, FcmDouble, Received, WebhookDouble
from tests.system.pushing import LoopClock
from tests.system.served import KEY, PATH, World, serving
from wakerobin import log
from wakerobin.core.values import Secret
from wakerobin.ports.options import AppOptions
from wakerobin.services.push_checks import PushChecks
from wakerobin.testing.phone import FakePhone
from wakerobin.testing.pns_script import Refuse

HOST = "127.81.0.41"
TOKEN = "fcm-token_1:APA91bHPRgkF3JUikC4ENAHEeMrd41Zxv3hVZjC9KtT8OvPVGJ"


@dataclass(slots=True)
class Services:
    """The server, and the push services beside Apple's."""

    world: World
    fcm: FcmDouble
    webhook: WebhookDouble
    acrobits: AcrobitsDouble

    async def enrol(self, *targets: dict[str, Any]) -> dict[str, Any]:
        fields = self.world.fields(platform="android", targets=list(targets))
        answer = await self.world.api.enrol(fields)
        assert answer.status == 201, answer.text
        body = answer.json
        assert isinstance(body, dict)
        return body


@pytest.fixture
def told() -> Iterator[io.StringIO]:
    """What is logged, from the least important event on."""
    output = io.StringIO()
    log.configure("debug", "json", output)
    yield output
    log.configure("info")


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    async with contextlib.AsyncExitStack() as stack:
        doubles: dict[str, Any] = {}
        for name, double in (("fcm", FcmDouble), ("webhook", WebhookDouble), ("acrobits", AcrobitsDouble)):
            folder = tmp_path / name
            folder.mkdir()
            doubles[name] = await stack.enter_async_context(double(folder))
        app = AppOptions(
            enrolment_key=Secret(KEY),
            registrars=("pbx.test", HOST),
            **{name: double.options() for name, double in doubles.items()},
        )
        world = await stack.enter_async_context(serving(tmp_path, HOST, apps={"phone": app}))
        yield Services(world, **doubles)
        for double in doubles.values():
            assert double.thrown_out == []


def target(provider: str, token: str, *purposes: str, **more: str) -> dict[str, Any]:
    return {"provider": provider, "token": token, "purposes": list(purposes or ("call", "notice")), **more}


def payload(push: Received) -> dict[str, Any]:
    value = json.loads(push.body["message"]["data"]["wakerobin"])
    assert isinstance(value, dict)
    return value


@contextlib.asynccontextmanager
async def phone_of(services: Services, enrolled: dict[str, Any]) -> AsyncIterator[FakePhone]:
    phone = FakePhone("sip:anna@pbx.test", "anna-password", instance=enrolled["sip"]["instance"])
    await phone.start(services.world.sip, HOST)
    try:
        yield phone
    finally:
        await phone.sleep()


async def answered(services: Services, enrolled: dict[str, Any], call: Any) -> None:
    """Come up as a woken app, and take the call."""
    async with phone_of(services, enrolled) as phone:
        assert (await phone.wake()).status == 200
        ringing = await phone.wait_call(within=10)
        ringing.answer()
        await call.wait(lambda one: one.final == 200)
        await ringing.until(lambda one: one.is_acknowledged)


async def test_a_sleeping_android_phone_is_woken_through_firebase_and_answers(services: Services) -> None:
    enrolled = await services.enrol(target("fcm", TOKEN))
    call = services.world.pbx.call("anna", display="Ben")
    [push] = await services.fcm.wait()
    message = push.body["message"]
    assert message["token"] == TOKEN
    assert message["android"]["priority"] == "HIGH"
    assert 0 < int(message["android"]["ttl"].removesuffix("s")) <= 30
    assert "collapseKey" not in message["android"]
    assert payload(push)["type"] == "call"
    assert payload(push)["registration"] == enrolled["id"]
    assert payload(push)["caller"]["name"] == "Ben"
    await answered(services, enrolled, call)


async def test_a_phone_with_an_installation_id_is_addressed_by_it(services: Services) -> None:
    enrolled = await services.enrol(target("fcm", "dvJ0wq5MRk2cbR5t3lWl1A", token_kind="fid"))
    call = services.world.pbx.call("anna")
    [push] = await services.fcm.wait()
    assert push.body["message"]["fid"] == "dvJ0wq5MRk2cbR5t3lWl1A"
    await answered(services, enrolled, call)


async def test_a_server_of_the_operators_wakes_a_phone_that_we_know_no_way_to(services: Services) -> None:
    enrolled = await services.enrol(target("webhook", "huawei0815", topic="com.example.hms"))
    call = services.world.pbx.call("anna")
    [push] = await services.webhook.wait()
    assert push.body["type"] == "call"
    assert push.body["target"] == {"token": "huawei0815", "topic": "com.example.hms"}
    await answered(services, enrolled, call)


async def test_an_app_from_the_store_that_knows_nothing_of_us_is_woken(services: Services) -> None:
    enrolled = await services.enrol(target("acrobits", "12AB:34/deadbeef", topic="com.example.softphone"))
    call = services.world.pbx.call("anna", display="Ben")
    [push] = await services.acrobits.wait()
    assert push.body["verb"] == "NotifyIncomingCall"
    assert push.body["Selector"] == "12AB:34"
    assert push.body["DeviceToken"] == "deadbeef"
    assert push.body["UserDisplayName"] == "Ben"
    await answered(services, enrolled, call)


async def test_every_target_of_a_phone_gets_the_call_and_each_by_its_own_service(services: Services) -> None:
    await services.enrol(
        target("fcm", TOKEN), target("webhook", "one"), target("acrobits", "two", topic="com.example.app")
    )
    call = services.world.pbx.call("anna")
    pushes = await asyncio.gather(
        services.fcm.wait(), services.webhook.wait(), services.acrobits.wait(), return_exceptions=False
    )
    assert [len(found) for found in pushes] == [1, 1, 1]
    call.cancel()
    await call.wait(lambda one: one.final == 487)


async def test_no_secret_of_a_push_service_is_logged(told: io.StringIO, services: Services) -> None:
    await services.enrol(
        target("fcm", TOKEN), target("webhook", "hookToken"), target("acrobits", "sel/accToken", topic="app")
    )
    services.fcm.next(Refuse(status=404, reason="UNREGISTERED"))
    services.webhook.next(Refuse(status=401))
    services.acrobits.next(Refuse(status=503))
    call = services.world.pbx.call("anna")
    await asyncio.gather(services.acrobits.wait(), call.wait(lambda one: one.is_ringing))
    call.cancel()
    await call.wait(lambda one: one.final == 487)
    said = told.getvalue()
    assert "fcm_token_fetched" in said
    secrets = (TOKEN, "hookToken", "accToken", *services.fcm.oauth.issued, *SECRETS, "PRIVATE KEY", "eyJ")
    assert [secret for secret in secrets if secret in said] == []


async def test_a_call_that_was_given_up_is_taken_back_from_android_and_not_called_answered(
    services: Services,
) -> None:
    await services.enrol(target("fcm", TOKEN), target("acrobits", "two", topic="com.example.app"))
    call = services.world.pbx.call("anna")
    await services.acrobits.wait()
    [push] = await services.fcm.wait()
    await call.wait(lambda one: one.is_ringing)
    call.cancel()
    _, over = await services.fcm.wait(2)
    assert payload(over)["type"] == "call-over"
    assert payload(over)["call_id"] == payload(push)["call_id"]
    assert over.body["message"]["android"]["priority"] == "HIGH"
    assert int(over.body["message"]["android"]["ttl"].removesuffix("s")) in (29, 30)
    verbs = [one.body["verb"] for one in services.acrobits.received]
    assert "NotifyIncomingCallAnsweredElsewhere" not in verbs


async def test_a_phone_from_which_the_app_was_removed_ends_with_the_first_call(services: Services) -> None:
    enrolled = await services.enrol(target("fcm", TOKEN))
    services.fcm.gone.add(TOKEN)
    call = services.world.pbx.call("anna")
    await call.wait(lambda one: one.final != 0)
    assert call.final == 480
    path = f"{PATH}/{enrolled['id']}"
    async with asyncio.timeout(5):
        while (answer := await services.world.api.send("GET", path, None, enrolled["secret"])).status == 200:
            await asyncio.sleep(0)
    assert answer.status == 410


async def test_the_doctor_asks_each_and_takes_no_such_phone_as_the_good_answer(services: Services) -> None:
    rooms = services.world.server.rooms
    assert rooms is not None
    services.webhook.gone.add("wakerobin-doctor")
    clock = LoopClock()
    checks = PushChecks(
        apps={"phone": AppOptions()},
        service=rooms.pushing.of,
        clock_ahead=lambda: None,
        clock=clock,
        entropy=os.urandom,
    )
    answers = (await checks.all())["checks"]
    assert {one["provider"] for one in answers} == {"fcm", "webhook", "acrobits"}
    assert [one["text"] for one in answers if not one["good"]] == []
    services.fcm.next(Refuse(status=403, reason="SERVICE_DISABLED"))
    services.acrobits.next(Refuse(status=403))
    bad = [one for one in (await checks.all())["checks"] if not one["good"]]
    assert {one["provider"] for one in bad} == {"fcm", "acrobits"}
