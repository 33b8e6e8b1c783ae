"""What is erased is gone from the disk: tokens and credentials, in their sealed form, too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.system.served import OTHER_INSTALLATION, PATH, World, serving
from wakerobin.core.values import Ended
from wakerobin.store import engine


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with serving(tmp_path, "127.81.0.11") as running:
        yield running


def sealed(world: World, *columns: str) -> list[bytes]:
    """Return what the database holds in these columns."""
    reader = engine.connect_reader(world.server.folders.data / "wakerobin.db")
    try:
        found = [row[0] for column in columns for row in reader.execute(f"SELECT {column}")]
    finally:
        reader.close()
    assert found
    return found


async def gone(world: World, secrets: list[bytes]) -> None:
    """Wait until no file of the data folder holds any of these, a second or two."""
    assert world.server.rooms is not None
    store = world.server.rooms.ground.store

    def octets() -> bytes:
        files = [one for one in world.server.folders.data.iterdir() if one.is_file()]
        return b"".join(one.read_bytes() for one in files)

    async with asyncio.timeout(10):
        while any(secret in octets() for secret in secrets):
            await store.transact(lambda _tx: None)


SECRETS = ("sealed FROM credentials", "token FROM target")


async def test_a_deleted_registration_leaves_no_token_and_no_ha1(world: World) -> None:
    body = (await world.api.enrol(world.fields())).json
    secrets = sealed(world, *SECRETS)
    assert len(secrets) == 3
    answer = await world.api.send("DELETE", f"{PATH}/{body['id']}", secret=body["secret"])
    assert answer.status == 202
    await gone(world, secrets)
    async with asyncio.timeout(10):
        while world.pbx.contacts("anna"):
            await asyncio.sleep(0)
    assert world.server.rooms is not None
    store = world.server.rooms.ground.store
    async with asyncio.timeout(10):
        while store.read(lambda tx: tx.binding_work.unregisters()):
            await asyncio.sleep(0)


async def test_at_the_end_the_ha1s_of_the_unregister_go_when_the_pbx_has_answered(world: World) -> None:
    body = (await world.api.enrol(world.fields())).json
    assert world.server.rooms is not None
    store, lives = world.server.rooms.ground.store, world.server.rooms.lives
    world.pbx.rules.is_silent = True
    (row,) = store.read(lambda tx: tx.registrations.page(0, 9))
    await lives.end(row.id, Ended.EXPIRED)
    secrets = sealed(world, "sealed FROM unregister")
    (work,) = store.read(lambda tx: tx.binding_work.unregisters())
    assert [key.ha1 for key in work.credentials.keys], "they are needed to remove our Contact"
    await store.transact(lambda tx: tx.binding_work.remove_unregister(work.id))
    await gone(world, secrets)
    answer = await world.api.send("GET", f"{PATH}/{body['id']}", secret=body["secret"])
    assert answer.problem == "push-registration-expired"


async def test_a_password_waits_no_longer_than_for_its_proof(world: World) -> None:
    world.pbx.rules.is_silent = True
    await world.api.enrol(world.fields(), wait=0)
    await world.api.enrol(world.fields("ben", "wrong", installation_id=OTHER_INSTALLATION), wait=0)
    secrets = sealed(world, "sealed FROM trial")
    assert len(secrets) == 2
    assert world.server.rooms is not None
    store = world.server.rooms.ground.store
    world.pbx.rules.is_silent = False
    for user, password in (("anna", "anna-password"), ("ben", "wrong")):
        await world.api.enrol(world.fields(user, password), wait=10)
    await store.transact(lambda tx: tx.binding_work.forget_trials(1 << 60))
    await gone(world, secrets)


async def test_a_token_that_the_app_replaces_is_gone(world: World) -> None:
    body = (await world.api.enrol(world.fields())).json
    secrets = sealed(world, "token FROM target")
    targets = [{"provider": "apns", "purposes": ["call"], "token": "c3" * 32}]
    path = f"{PATH}/{body['id']}"
    assert (await world.api.send("PATCH", path, {"targets": targets}, body["secret"])).status == 200
    await gone(world, secrets)
