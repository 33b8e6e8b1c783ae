"""What operators do to one push registration, and what they count."""

from __future__ import annotations

import json
from pathlib import Path

from tests.system.served import CALL_TOKEN, PATH, serving
from tests.system.test_cli import Shell

HOST = "127.81.9.4"
DAY = 24 * 3600_000


async def test_a_life_is_extended_warned_and_ended_by_the_operator(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    async with serving(tmp_path, HOST) as world:
        body = (await world.api.enrol(world.fields())).json
        id_ = str(body["id"])
        extended = await shell("registrations", "extend", id_, "--by", "30d")
        assert extended.exit_code == 0, extended.output
        shown = json.loads((await shell("registrations", "show", id_, "--json")).stdout)
        assert world.server.rooms is not None
        now = world.server.rooms.ground.clock.now()
        assert abs(shown["life"]["expires_at"] - now - 30 * DAY) < 60_000
        warned = await shell("registrations", "warn", id_)
        assert warned.exit_code == 0, warned.output
        warning = await world.pns.wait_for(lambda one: one.type == "expiry-warning")
        assert warning.push_type == "alert"
        told = (await shell("registrations", "timeline", id_)).output
        assert "who runs the server" in told
        used = await world.api.send(
            "POST", f"{PATH}/{id_}/renew", {"cause": "tapped-warning"}, secret=body["secret"]
        )
        assert used.status == 200
        (counted,) = json.loads((await shell("registrations", "stats", "--json")).stdout)["lives"]
        assert (counted["app"], counted["platform"]) == ("phone", "ios")
        assert counted["counts"]["saved-by-warning"] == 1
        assert counted["counts"]["warnings"] == 1
        ended = await shell("registrations", "delete", id_, "--yes")
        assert ended.exit_code == 0
        for word in ("extend", "warn"):
            late = await shell("registrations", word, id_)
            assert late.exit_code == 1, late.output
        table = (await shell("registrations", "stats")).output
        assert "SAVED SILENTLY" in table
        assert "phone" in table


async def test_a_duration_that_is_none_is_explained(tmp_path: Path) -> None:
    async with serving(tmp_path, HOST):
        done = await Shell(tmp_path)("registrations", "extend", "pr_x", "--by", "long")
        assert done.exit_code == 2
        assert "--by" in done.output
        unknown = await Shell(tmp_path)("registrations", "extend", "pr_x", "--by", "7d")
        assert unknown.exit_code == 1
        assert "there is no push registration pr_x" in unknown.output


async def test_the_operator_tries_a_push_and_reads_what_became_of_it(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    async with serving(tmp_path, HOST) as world:
        id_ = str((await world.api.enrol(world.fields())).json["id"])
        tried = await shell("push", "test", id_, "--wait", "0")
        assert tried.exit_code == 0, tried.output
        assert "apns: accepted after" in tried.output
        (push,) = world.pns.pushes
        assert (push.type, push.push_type, push.token) == ("test", "voip", CALL_TOKEN)
        again = await shell("push", "test", id_)
        assert again.exit_code == 1
        assert "ten a day" in again.output
        unknown = await shell("push", "test", "pr_x")
        assert unknown.exit_code == 1
    alone = await shell("push", "test", id_)
    assert alone.exit_code == 1
    assert "no server runs" in alone.output
