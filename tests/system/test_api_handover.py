"""An app that registers at its PBX itself in the foreground: over the API, and through a `kill -9`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system.served import CALL_TOKEN, PATH, Answer, World, serving
from tests.system.survival.town import APP, App, Town, town

ALTERNATE = {"handover": "alternate"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with serving(tmp_path, "127.51.0.2") as running:
        yield running


def alternate(world: World) -> None:
    """Let the app of a running server step aside."""
    assert world.server.rooms is not None
    app = world.server.rooms.ground.options.apps["phone"]
    object.__setattr__(app, "handover", "alternate")


async def send(world: World, enrolled: Answer, rest: str, method: str = "POST") -> Answer:
    path = f"{PATH}/{enrolled.json['id']}{rest}"
    return await world.api.send(method, path, None, enrolled.json["secret"])


async def test_an_app_steps_aside_and_returns(world: World) -> None:
    alternate(world)
    enrolled = await world.api.enrol(world.fields())
    assert len(world.pbx.contacts("anna")) == 1
    answer = await send(world, enrolled, "/step-aside")
    assert answer.status == 200, answer
    binding = answer.json["binding"]
    assert (binding["state"], binding["expires_at"]) == ("stepped-aside", None)
    assert world.pbx.contacts("anna") == []
    assert answer.json["generation"] == enrolled.json["generation"] + 1, "it is a use"
    again = await send(world, enrolled, "/step-aside")
    assert again.json["binding"]["state"] == "stepped-aside"
    returned = await send(world, enrolled, "/return")
    assert returned.json["binding"]["state"] == "registered"
    assert returned.json["binding"]["expires_at"] is not None
    assert len(world.pbx.contacts("anna")) == 1
    assert (await send(world, enrolled, "/return")).json["binding"]["state"] == "registered"
    assert world.server.rooms is not None
    told = world.server.rooms.ground.store.read(lambda tx: tx.stories.of("registration:1"))
    assert [row.event for row in told if row.event in ("stepped-aside", "returned")] == [
        "stepped-aside",
        "returned",
    ]


async def test_where_the_operator_does_not_allow_it_the_app_is_told_so(world: World) -> None:
    enrolled = await world.api.enrol(world.fields())
    refused = await send(world, enrolled, "/step-aside")
    assert (refused.status, refused.problem, refused.json["action"]) == (409, "handover-unavailable", "none")
    assert len(world.pbx.contacts("anna")) == 1
    assert (await send(world, enrolled, "/return")).status == 200


async def test_only_the_registrations_own_secret_moves_its_binding(world: World) -> None:
    alternate(world)
    anna = await world.api.enrol(world.fields())
    ben = await world.api.enrol(world.fields("ben", "ben-password", installation_id="B" * 22))
    for rest in ("/step-aside", "/return"):
        path = f"{PATH}/{anna.json['id']}{rest}"
        stranger = await world.api.send("POST", path, None, ben.json["secret"])
        assert (stranger.status, stranger.problem) == (401, "secret-refused")
    assert len(world.pbx.contacts("anna")) == 1


async def test_an_app_that_enrols_again_is_called_through_us_again(world: World) -> None:
    alternate(world)
    enrolled = await world.api.enrol(world.fields())
    await send(world, enrolled, "/step-aside")
    assert world.pbx.contacts("anna") == []
    again = await world.api.enrol(world.fields())
    assert (again.status, again.json["binding"]["state"]) == (200, "registered")
    assert len(world.pbx.contacts("anna")) == 1


async def test_a_call_that_still_comes_to_us_is_served_as_always(world: World) -> None:
    alternate(world)
    enrolled = await world.api.enrol(world.fields())
    (contact,) = world.pbx.contacts("anna")
    await send(world, enrolled, "/step-aside")
    # The PBX had begun to call before it let go of us.
    world.pbx.registrar.add_desk_phone("anna", contact.uri, contact.flow)
    world.pbx.call("anna")
    push = await world.pns.wait_for(lambda push: push.type == "call", 5.0)
    assert push.token == CALL_TOKEN


async def until(condition: Callable[[], Any], place: Town, within: float = 20.0) -> None:
    """Wait for what a REGISTER brings about."""
    async with asyncio.timeout(within):
        while not condition():
            seen = len(place.pbx.registrar.seen)
            try:
                await place.pbx.wait_register(seen + 1, 1.0)
            except TimeoutError:
                continue


async def posted(place: Town, app: App, rest: str) -> Any:
    answer = await place.promised("POST", f"{PATH}/{app.id}/{rest}", app.secret)
    assert answer.status == 200, answer
    return answer.body["binding"]


@pytest.mark.timeout(120)
async def test_killed_while_an_app_is_aside_the_server_leaves_it_there_and_brings_it_back_in_time(
    tmp_path: Path,
) -> None:
    options = {f"apps.{APP}": {**ALTERNATE, "handover_limit": "8s"}}
    async with town(tmp_path, "127.51.0.3", **options) as place:
        await place.start()
        app, other = await place.enrol(), await place.enrol()
        assert (await posted(place, app, "step-aside"))["state"] == "stepped-aside"
        assert place.pbx.contacts(app.user) == []
        place.server.kill_now()
        await place.server.gone()
        await place.start()
        shown = await place.promised("GET", f"{PATH}/{app.id}", app.secret)
        assert shown.body["binding"]["state"] == "stepped-aside"
        assert place.pbx.contacts(app.user) == []
        assert len(place.pbx.contacts(other.user)) == 1
        assert (await posted(place, app, "return"))["state"] == "registered"
        # Killed at the moment at which the PBX lets go of us: the removal is not taken back.
        stepping = asyncio.ensure_future(posted(place, app, "step-aside"))
        await until(lambda: not place.pbx.contacts(app.user), place)
        place.server.kill_now()
        await place.server.gone()
        await place.start()
        await stepping
        assert place.pbx.contacts(app.user) == []
        await until(lambda: place.pbx.contacts(app.user), place)
        assert not place.server.tracebacks()
