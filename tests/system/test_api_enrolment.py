"""Enrolling over HTTP, with a PBX that says whose password it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.system.served import INSTALLATION, PATH, World, serving


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with serving(tmp_path, "127.81.0.1") as running:
        yield running


async def test_the_right_password_enrols_and_binds_the_account(world: World) -> None:
    answer = await world.api.enrol(world.fields())
    assert answer.status == 201
    body = answer.json
    assert set(body) == {
        "id",
        "secret",
        "generation",
        "stage",
        "expires_at",
        "plan",
        "warnable",
        "sip",
        "binding",
    }
    assert answer.headers["location"] == f"{PATH}/{body['id']}"
    assert body["stage"] == "active"
    assert body["binding"]["state"] == "registered"
    assert body["sip"]["domain"] == "pbx.test"
    assert body["sip"]["contact_params"] == {"wr-reg": body["id"]}
    assert [route["transport"] for route in body["sip"]["routes"]] == ["tcp", "udp"]
    assert [one["kind"] for one in body["plan"]].count("warning") == 2
    assert len(world.pbx.contacts("anna")) == 1
    assert INSTALLATION not in str(world.pbx.registrar.seen)
