"""The database is full (`[store] max_pages`): calls go on, the API says so, and with room nothing is lost."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.served import CALL_TOKEN, NOTICE_TOKEN, PATH, Answer, World
from tests.system.survival.around import surroundings
from tests.system.survival.logs import logged
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.values import Duration
from wakerobin.ports.options import LifetimeOptions, StoreOptions
from wakerobin.ports.store import Store, StoryRow, Transaction
from wakerobin.testing.phone import FakePhone

PAGES = 200
LONG_AGO = 1
BEN = {
    "installation_id": "AAAAAAAAAAAAAAAAAAAAAA",
    "targets": [{"provider": "apns", "purposes": ["call", "notice"], "token": "c3" * 32}],
}
LIFE = LifetimeOptions(
    lifetime=Duration(6000),
    renewal_from=Duration(3000),
    renewal_every=Duration(500),
    warnings=(Duration(2000), Duration(1000)),
    grace_limit=Duration(60_000),
)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    with logged() as caught:
        yield caught


def room(max_pages: int) -> dict[str, Any]:
    return {"store": StoreOptions(max_pages=max_pages)}


def filler(number: int, octets: int) -> Any:
    row = StoryRow(subject=f"filler:{number}", at=LONG_AGO, event="invite", details={"caller": "x" * octets})
    return lambda tx: tx.stories.add(row)


async def fill(store: Store) -> None:
    """Write until nothing fits, large things first."""
    number = 0
    for octets in (100_000, 3000, 10):
        while True:
            number += 1
            try:
                await store.transact(filler(number, octets))
            except StoreUnavailableError:
                break


async def make_room(store: Store) -> None:
    await store.transact(lambda tx: tx.stories.forget(LONG_AGO + 1, 1_000_000))


def store_of(world: World) -> Store:
    assert world.server.rooms is not None
    return world.server.rooms.ground.store


async def enrolled(world: World, **fields: Any) -> Any:
    answer = await world.api.enrol(world.fields(**fields))
    assert answer.status == 201, answer.text
    return answer.json


async def woken_call(world: World) -> str:
    """Ring anna, wake her phone by the push, answer, and hang up; return the Call-ID."""
    call = world.pbx.call("anna")
    await world.pns.wait_for(
        lambda push: (
            push.type == "call"
            and push.payload["wakerobin"]["sip_call_id"] == call.call_id
            and push.token == CALL_TOKEN
        )
    )
    phone = FakePhone("sip:anna@pbx.test", "anna-password")
    await phone.start(world.sip, world.pbx.host)
    assert (await phone.register()).status == 200
    theirs = await phone.wait_call()
    theirs.answer()
    await call.wait(lambda c: c.final == 200)
    await theirs.until(lambda c: c.is_acknowledged)
    call.hang_up()
    await call.wait(lambda c: bool(c.replies))
    assert [reply.status for reply in call.replies] == [200]
    await phone.sleep()
    return call.call_id


async def renewed(world: World, held: Any) -> Answer:
    return await world.api.send("POST", f"{PATH}/{held['id']}/renew", {"cause": "opened"}, held["secret"])


def ended_calls(tx: Transaction) -> list[str]:
    return [record.sip_call_id for record in tx.calls.of_account(0, 100) if record.ended_at]


async def until_written(store: Store, call_id: str) -> None:
    """Wait for the commit that writes a call's record."""
    written = asyncio.Event()

    def look(_groups: object = None) -> None:
        if call_id in store.read(ended_calls):
            written.set()

    store.on_commit(look)
    look()
    async with asyncio.timeout(10):
        while not written.is_set():
            look()
            await asyncio.wait([asyncio.create_task(written.wait())], timeout=0.1)


async def test_a_full_database_costs_no_call_and_no_promise(tmp_path: Path, log: io.StringIO) -> None:
    async with surroundings(tmp_path, "127.82.0.1") as around:
        async with around.server(**room(PAGES)) as world:
            store = store_of(world)
            anna = await enrolled(world)
            await fill(store)

            refused = await world.api.enrol(world.fields("ben", "ben-password", **BEN))
            assert (refused.status, refused.problem) == (503, "store-unavailable")
            assert int(refused.headers["retry-after"]) > 0
            assert refused.json["action"] == "retry"
            assert world.pbx.contacts("ben") == []

            call_id = await woken_call(world)
            seen = await renewed(world, anna)
            assert seen.status == 200 or seen.problem == "store-unavailable"

            await make_room(store)
            await until_written(store, call_id)
            again = await renewed(world, anna)
            assert again.status == 200, again.text
            assert seen.status != 200 or again.json["generation"] > seen.json["generation"]
            ben = await enrolled(world, user="ben", password="ben-password", **BEN)
            assert len(world.pbx.contacts("ben")) == 1
        assert "no room left" in log.getvalue(), "nobody tells the operator"

        async with around.server(**room(10 * PAGES)) as world:
            for held, generation in ((anna, again.json["generation"]), (ben, ben["generation"])):
                answer = await renewed(world, held)
                assert answer.status == 200, answer.text
                assert answer.json["generation"] == generation + 1
            assert call_id in store_of(world).read(ended_calls)
            calls = await world.api.send("GET", f"{PATH}/{anna['id']}/calls", None, anna["secret"])
            assert [call["state"] for call in calls.json["calls"]] == ["answered"]
    assert "Traceback" not in log.getvalue()


async def test_a_database_that_is_full_when_the_end_comes_cuts_nobody_off_unwarned(
    tmp_path: Path, log: io.StringIO
) -> None:
    """A restart with more room is the operator's answer to what the log says."""
    async with surroundings(tmp_path, "127.82.0.2") as around:
        loop = asyncio.get_running_loop()
        async with around.server(**room(PAGES), lifetime=LIFE) as world:
            anna = await enrolled(world)
            await fill(store_of(world))
            # The life passes its end while nothing, or hardly anything, can be written.
            past = loop.create_future()
            loop.call_later(LIFE.lifetime / 1000 + 1, past.set_result, None)
            await past
        async with around.server(**room(10 * PAGES), lifetime=LIFE) as world:
            await world.pns.wait_for(lambda push: push.type == "expired", 30)
            assert (await renewed(world, anna)).problem == "push-registration-expired"
            async with asyncio.timeout(10):
                while world.pbx.contacts("anna"):
                    await world.pbx.wait_register(len(world.pbx.registrar.seen) + 1)
        notices = [push for push in around.pns.pushes if push.token == NOTICE_TOKEN]
    warned = {push.headers["apns-id"]: push.at for push in notices if push.type == "expiry-warning"}
    expired = {push.headers["apns-id"]: push.at for push in notices if push.type == "expired"}
    assert len(expired) == 1
    assert 1 <= len(warned) <= len(LIFE.warnings) + 1
    assert min(expired.values()) >= max(warned.values()) + LIFE.warnings[-1] / 1000 - 0.1
    assert "Traceback" not in log.getvalue()
    assert "no room left" in log.getvalue(), "it was not full when it mattered"
