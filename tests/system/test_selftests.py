"""An app tries whether its phone can be woken: what it hears of the push, and how often it may ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.calls_world import KEY, SECOND, TEXTS, World, entropy
from tests.system.served import CALL_TOKEN, PATH, serving
from wakerobin.core.pushes import PushType, Rejected
from wakerobin.core.values import Ended, PushRegistration
from wakerobin.ports.options import LifetimeOptions
from wakerobin.services.lives import policy_of
from wakerobin.services.selftest import SelfTest, SelfTests, TooMany

MINUTE, DAY = 60 * SECOND, 24 * 3600 * SECOND


def selftests(world: World) -> SelfTests:
    policy = policy_of(LifetimeOptions())
    return SelfTests(
        store=world.store,
        clock=world.clock,
        timers=world.clock,
        courier=world.pushes,
        texts=TEXTS,
        lifetime=lambda _app: policy,
        entropy=entropy(KEY.decode()),
    )


async def enrolled(world: World) -> PushRegistration:
    (registration,) = world.registrations(await world.enrol())
    return registration


def begun(tests: SelfTests, registration: PushRegistration, delay_s: float = 0) -> SelfTest:
    asked = tests.ask(registration, delay_s)
    assert isinstance(asked, SelfTest)
    return asked


async def test_a_test_is_sent_to_what_takes_calls_and_tells_how_it_went() -> None:
    world = World()
    async with world.running():
        registration, tests = await enrolled(world), selftests(world)
        test = begun(tests, registration)
        (push,) = world.pushes.sent
        assert (push.type, push.payload["test"]) == (PushType.TEST, test.id)
        assert push.expires_at == world.clock.now() + 30 * SECOND
        assert test.state == "sent"
        await world.clock.settle()
        assert test.state == "accepted"
        tests.received(registration.id, {"another"})
        tests.received(registration.id + 1, {push.id})
        assert test.state == "accepted"
        tests.received(registration.id, {push.id})
        assert (test.state, test.received_at) == ("received", world.clock.now())
        assert tests.of(registration, test.id) is test


async def test_a_test_waits_until_the_phone_is_locked() -> None:
    world = World()
    async with world.running():
        registration, tests = await enrolled(world), selftests(world)
        test = begun(tests, registration, 20)
        await world.run_for(19 * SECOND)
        assert (test.state, world.pushes.sent) == ("waiting", [])
        await world.run_for(2 * SECOND)
        assert test.state == "accepted"


async def test_a_push_service_that_refuses_is_told_in_its_words() -> None:
    world = World()
    world.pushes.outcome = lambda _message: Rejected("BadTopic", ours=True)
    async with world.running():
        test = begun(selftests(world), await enrolled(world))
        await world.clock.settle()
        assert test.state == "failed"
        assert [(one.provider, one.state, one.reason) for one in test.targets] == [
            ("apns", "failed", "BadTopic")
        ]


@pytest.mark.parametrize("obstacle", ["end", "targets"])
async def test_what_cannot_be_pushed_any_more_is_a_failed_test(obstacle: str) -> None:
    world = World()
    async with world.running():
        registration, tests = await enrolled(world), selftests(world)
        test = begun(tests, registration, 5)
        if obstacle == "end":
            await world.lives.end(registration.id, Ended.DELETED)
        for target in world.store.read(lambda tx: tx.targets.of_registration(registration.id)):
            await world.store.transact(lambda tx: tx.targets.remove(target.id))  # noqa: B023 - at once
        await world.run_for(10 * SECOND)
        assert test.state == "failed"
        assert test.targets[0].reason


async def test_once_a_minute_and_ten_times_a_day() -> None:
    world = World()
    async with world.running():
        registration, tests = await enrolled(world), selftests(world)
        begun(tests, registration)
        await world.run_for(20 * SECOND)
        too_many = tests.ask(registration)
        assert isinstance(too_many, TooMany)
        assert 39 < too_many.wait_s <= 40
        for _ in range(9):
            await world.run_for(MINUTE)
            begun(tests, registration)
        await world.run_for(MINUTE)
        too_many = tests.ask(registration)
        assert isinstance(too_many, TooMany)
        assert 23 * 3600 < too_many.wait_s < 24 * 3600
        await world.run_for(DAY)
        begun(tests, registration)


async def test_the_test_of_another_registration_is_unknown() -> None:
    world = World()
    async with world.running():
        account = await world.enrol(registrations=2)
        mine, other = world.registrations(account)
        tests = selftests(world)
        test = begun(tests, mine)
        assert tests.of(other, test.id) is None
        begun(tests, other)  # has a budget of its own


async def test_an_app_asks_for_a_test_and_reports_that_it_came(tmp_path: Path) -> None:
    async with serving(tmp_path, "127.81.3.10") as world:
        anna = (await world.api.enrol(world.fields())).json
        path, secret = f"{PATH}/{anna['id']}", anna["secret"]
        asked = await world.api.send("POST", f"{path}/test", {}, secret)
        assert asked.status == 202
        again = await world.api.send("POST", f"{path}/test", {}, secret)
        assert (again.status, again.problem) == (429, "too-many-requests")
        assert 50 <= int(again.headers["retry-after"]) <= 60
        push = await world.pns.wait_for(lambda one: one.type == "test", 10)
        assert push.token == CALL_TOKEN
        assert push.headers["apns-push-type"] == "voip"
        payload = push.payload["wakerobin"]
        assert (payload["type"], payload["test"]) == ("test", asked.json["id"])
        receipt = {"push_id": payload["id"], "kind": "received", "received_at": payload["sent_at"]}
        await world.api.send("POST", f"{path}/receipts", [receipt], secret)
        found = await world.api.send("GET", f"{path}/tests/{asked.json['id']}", secret=secret)
        assert found.json["state"] == "received"
        assert found.json["targets"][0]["state"] == "accepted"
        unknown = await world.api.send("GET", f"{path}/tests/nothing", secret=secret)
        assert (unknown.status, unknown.problem) == (404, "test-unknown")


async def test_nothing_is_pushed_before_the_pbx_has_accepted_the_password(tmp_path: Path) -> None:
    async with serving(tmp_path, "127.81.3.11") as world:
        await world.pbx.stop()
        anna = (await world.api.enrol(world.fields(), wait=0)).json
        refused = await world.api.send("POST", f"{PATH}/{anna['id']}/test", {}, anna["secret"])
        assert (refused.status, refused.problem) == (422, "target-unusable")
        assert world.pns.pushes == []
