"""An app whose push services are not to read names, through a whole server."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.served import KEY, OTHER_INSTALLATION, PATH, World, serving
from wakerobin.core.values import Secret
from wakerobin.push.privacy import opened
from wakerobin.testing.pns import ReceivedPush


@pytest.fixture(params=["encrypted", "none"])
async def served(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[World, str, Path]]:
    privacy: str = request.param
    async with serving(tmp_path, "127.81.3.12", app={"push_privacy": privacy}) as world:
        yield world, privacy, tmp_path


async def a_test_push(world: World, registration: dict[str, Any]) -> ReceivedPush:
    """Have a test pushed."""
    path = f"{PATH}/{registration['id']}/test"
    answer = await world.api.send("POST", path, {}, registration["secret"])
    assert answer.status == 202
    return await world.pns.wait_for(lambda _push: True, 10)


async def test_the_app_gets_a_key_with_which_it_reads_its_pushes(served: tuple[World, str, Path]) -> None:
    world, privacy, folder = served
    fields = world.fields(display_name="Anna's telephone")
    anna = (await world.api.enrol(fields)).json
    push = await a_test_push(world, anna)
    assert "Anna's telephone" not in json.dumps(push.payload)
    if privacy == "none":
        assert anna["payload_key"] is None
        assert push.payload["wakerobin"]["type"] == "test"
        return
    key = anna["payload_key"]
    assert len(base64.urlsafe_b64decode(key + "=")) == 32
    envelope = push.payload["wakerobin"]
    assert set(envelope) == {"v", "registration", "encrypted"}
    inside = json.loads(opened(envelope, Secret(key)))
    assert inside["payload"]["type"] == "test"
    assert "Anna's telephone" in inside["text"]
    for file in (folder / "data").glob("wakerobin.db*"):
        assert key.encode() not in file.read_bytes(), "it is sealed"


async def test_an_app_that_enrols_again_keeps_its_key_and_another_phone_has_another(
    served: tuple[World, str, Path],
) -> None:
    world, privacy, _ = served
    first, again = [(await world.api.enrol(world.fields())).json for _ in range(2)]
    other = (await world.api.enrol(world.fields(installation_id=OTHER_INSTALLATION))).json
    assert first["id"] == again["id"] != other["id"]
    assert first["payload_key"] == again["payload_key"]
    assert (first["payload_key"] != other["payload_key"]) is (privacy == "encrypted")
    read = await world.api.send("GET", f"{PATH}/{first['id']}", secret=again["secret"])
    assert "payload_key" not in read.json, "it is told by enrolments alone"
    known = await world.api.send("GET", "/v1/apps/phone", secret=KEY)
    assert known.json["push_privacy"] == privacy
