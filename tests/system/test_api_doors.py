"""What stands before the routes, over real sockets: limits, JSON, faults, health and metrics."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.served import KEY, PATH, World, serving
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.ports.options import HttpOptions
from wakerobin.web.health import LOOK_AGAIN_S

HOST = "127.81.0.4"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    http = HttpOptions(
        listen=f"{HOST}:0",
        hosts=(HOST, "push.example"),
        trusted_proxies=(HOST, "127.0.0.1"),
        enrolments_per_hour=3,
    )
    async with serving(tmp_path, HOST, http=http) as running:
        yield running


async def test_one_address_may_enrol_only_so_often(world: World) -> None:
    https = {"X-Forwarded-Proto": "https"}
    first = {**https, "X-Forwarded-For": "203.0.113.1"}
    for _ in range(3):
        answer = await world.api.send("POST", PATH, world.fields(), "guess", first)
        assert answer.problem == "enrolment-key-refused"
    answer = await world.api.send("POST", PATH, world.fields(), KEY, first)
    assert (answer.status, answer.problem) == (429, "too-many-requests")
    assert 1000 < int(answer.headers["retry-after"]) <= 1200
    second = {**https, "X-Forwarded-For": "203.0.113.2"}
    other = await world.api.send("POST", PATH, world.fields(), KEY, second)
    assert other.status == 201


async def test_credentials_sent_by_patch_count_as_enrolments(world: World) -> None:
    body = (await world.api.enrol(world.fields())).json
    change = {"credentials": {"password": "anna-password"}}
    states = [
        (await world.api.send("PATCH", f"{PATH}/{body['id']}?wait=5", change, body["secret"])).status
        for _ in range(3)
    ]
    assert states == [200, 200, 429]


async def test_a_foreign_host_name_is_not_answered(world: World) -> None:
    for path in (PATH, "/openapi.json", "/metrics"):
        answer = await world.api.send("GET", path, headers={"Host": "evil.example"})
        assert (answer.status, answer.problem) == (421, "misdirected")
    health = await world.api.send("GET", "/healthz", headers={"Host": "10.0.0.7:8088"})
    assert health.status == 200, "load balancers ask by address"


async def test_plain_http_from_elsewhere_is_refused(world: World) -> None:
    headers = {"X-Forwarded-For": "203.0.113.1", "X-Forwarded-Proto": "http"}
    answer = await world.api.send("POST", PATH, world.fields(), KEY, headers)
    assert (answer.status, answer.problem) == (403, "tls-required")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xfe",
        b'{"app": "\xc3"}',
        b"[" * 16_000,
        b'{"app": NaN',
        b"\x00",
    ],
)
async def test_what_is_no_json_is_malformed(world: World, body: bytes) -> None:
    answer = await world.api.send("POST", PATH, body, KEY)
    assert (answer.status, answer.problem) == (400, "malformed-request")


@pytest.mark.parametrize(
    "body", [b"", b"null", b"3", b'"x"', b"[]", b"{}", b'{"app": "\\ud800"}', b'{"app": 1e999}']
)
async def test_json_that_is_no_enrolment_is_pointed_at(world: World, body: bytes) -> None:
    answer = await world.api.send("POST", PATH, body, KEY)
    assert (answer.status, answer.problem) == (422, "invalid-field")


async def test_a_large_body_is_refused(world: World) -> None:
    answer = await world.api.send("POST", PATH, b"x" * 20_000, KEY)
    assert (answer.status, answer.problem) == (413, "too-large")


async def test_a_body_that_is_no_json_is_not_read(world: World) -> None:
    answer = await world.api.send("POST", PATH, b"app=phone", KEY, {"Content-Type": "text/plain"})
    assert (answer.status, answer.problem) == (415, "unsupported-media-type")


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 404), ("PUT", PATH, 405), ("GET", "/docs", 404)]
)
async def test_what_is_not_there_is_a_problem_too(world: World, method: str, path: str, status: int) -> None:
    answer = await world.api.send(method, path)
    assert (answer.status, answer.problem) == (status, "about:blank")


async def test_what_can_be_done_at_a_path_is_told_as_a_whole(world: World) -> None:
    for path, methods in ((f"{PATH}/pr_x", "DELETE, GET, PATCH"), (PATH, "POST")):
        answer = await world.api.send("OPTIONS", path)
        assert (answer.status, answer.headers["allow"]) == (405, methods)


async def test_a_store_that_takes_nothing_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert world.server.rooms is not None
    body = (await world.api.enrol(world.fields())).json

    def full(_self: Any, _work: Any) -> Any:
        raise StoreUnavailableError("The disk is full: /secret/path")

    monkeypatch.setattr(type(world.server.rooms.ground.store), "transact", full)
    answer = await world.api.send("GET", f"{PATH}/{body['id']}", secret=body["secret"])
    assert (answer.status, answer.problem) == (503, "store-unavailable")
    assert answer.headers["retry-after"] == "1"
    assert "/secret" not in answer.text
    assert (await world.api.send("GET", "/healthz")).json["store"] == "not writable"
    monkeypatch.undo()


async def test_a_fault_of_ours_is_a_500_that_tells_nothing_and_the_server_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.server.rooms is not None

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("hunter2")

    monkeypatch.setattr(type(world.server.rooms.access), "known", broken)
    answer = await world.api.send("GET", f"{PATH}/x", secret="y")
    assert (answer.status, answer.problem) == (500, "about:blank")
    assert "hunter2" not in answer.text
    monkeypatch.undo()
    assert (await world.api.send("GET", f"{PATH}/x", secret="y")).status == 401
    metrics = (await world.api.send("GET", "/metrics")).text
    assert 'wakerobin_faults_total{room="web"}' in metrics


async def test_health_says_that_calls_are_taken(world: World) -> None:
    answer = await world.api.send("GET", "/healthz")
    assert answer.status == 200
    assert answer.json["status"] == "ready"
    assert answer.json["store"] == "writable"
    assert [one.partition(":")[0] for one in answer.json["sip"]] == ["tcp", "udp"]
    assert LOOK_AGAIN_S > 0


async def test_health_asked_often_does_not_make_the_store_write(world: World) -> None:
    assert world.server.rooms is not None
    commits: list[frozenset[str]] = []
    await world.api.send("GET", "/healthz")
    world.server.rooms.ground.store.on_commit(commits.append)
    for _ in range(5):
        await world.api.send("GET", "/healthz")
    assert commits == []


async def test_the_counters_are_shown_to_near_ones_only(world: World) -> None:
    await world.api.send("GET", f"{PATH}/pr_x")
    near = await world.api.send("GET", "/metrics")
    assert near.status == 200
    route = 'route="/v1/push-registrations/{id}",status="401"'
    assert f"wakerobin_http_requests_total{{{route}}}" in near.text
    far = await world.api.send("GET", "/metrics", headers={"X-Forwarded-For": "203.0.113.1"})
    assert far.status == 404


async def test_paths_that_do_not_exist_make_no_new_counters(world: World) -> None:
    for number in range(3):
        await world.api.send("GET", f"/elsewhere/{number}")
    assert "elsewhere" not in (await world.api.send("GET", "/metrics")).text


async def test_no_documentation_page_loads_scripts_from_elsewhere(world: World) -> None:
    document = (await world.api.send("GET", "/openapi.json")).text
    assert json.loads(document)["openapi"].startswith("3.")
    assert (await world.api.send("GET", "/redoc")).status == 404
