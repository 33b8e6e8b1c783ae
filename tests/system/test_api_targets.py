"""Targets of every push service by the API: what is kept of them, what is refused, what an app may have."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.served import KEY, PATH, World, serving
from wakerobin.core.values import Provider, PushTarget, Secret
from wakerobin.ports.options import AcrobitsOptions, WebhookOptions, WebPushOptions

P256DH = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"
ENDPOINT = "https://push.example/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV"
WEBHOOK = WebhookOptions(
    url="https://127.81.3.14:1/pushes",
    secrets=(Secret("whsec_" + base64.b64encode(b"k" * 32).decode()),),
)


def browser(**changes: Any) -> dict[str, Any]:
    target = {
        "provider": "webpush",
        "purposes": ["call", "notice"],
        "endpoint": ENDPOINT,
        "p256dh": P256DH,
        "auth": AUTH,
    }
    return {name: value for name, value in (target | changes).items() if value is not None}


@pytest.fixture(scope="module")
def vapid_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("vapid") / "vapid.pem"
    command = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(file)]
    subprocess.run(command, check=True)
    file.chmod(0o600)
    return file


@pytest.fixture
async def world(tmp_path: Path, vapid_key: Path) -> AsyncIterator[World]:
    app = {
        "webpush": WebPushOptions(vapid_key_file=str(vapid_key), subject="mailto:admin@example.com"),
        "webhook": WEBHOOK,
        "acrobits": AcrobitsOptions(url="https://127.81.3.14:1/pnm"),
    }
    async with serving(tmp_path, "127.81.3.14", app=app) as world:
        yield world


def stored(world: World) -> list[PushTarget]:
    assert world.server.rooms is not None
    store = world.server.rooms.ground.store
    (registration,) = store.read(lambda tx: tx.registrations.page(0, 10))
    return store.read(lambda tx: tx.targets.of_registration(registration.id))


async def test_targets_of_every_push_service_are_kept_as_they_are_reported(world: World) -> None:
    targets = [
        browser(),
        browser(provider="unifiedpush", endpoint=f"{ENDPOINT}2"),
        {"provider": "webhook", "purposes": ["call"], "token": "device-77", "topic": "fleet"},
        {"provider": "acrobits", "purposes": ["call"], "token": "a/b", "topic": "cz.acrobits.x"},
    ]
    answer = await world.api.enrol(world.fields(targets=targets, os_version="14", app_version="2.1"))
    assert answer.status == 201, answer.text
    web, unified, webhook, acrobits = stored(world)
    assert (web.provider, web.token, web.p256dh, web.auth) == (
        Provider.WEBPUSH,
        Secret(ENDPOINT),
        P256DH,
        Secret(AUTH),
    )
    assert (unified.provider, webhook.token.reveal(), webhook.topic, acrobits.topic) == (
        Provider.UNIFIEDPUSH,
        "device-77",
        "fleet",
        "cz.acrobits.x",
    )
    assert world.server.rooms is not None
    (registration,) = world.server.rooms.ground.store.read(lambda tx: tx.registrations.page(0, 10))
    assert (registration.os_version, registration.app_version) == ("14", "2.1")
    changed = await world.api.send(
        "PATCH",
        f"{PATH}/{answer.json['id']}",
        {"os_version": "15", "targets": [browser()]},
        answer.json["secret"],
    )
    assert changed.status == 200
    (again,) = stored(world)
    assert again.id == web.id


@pytest.mark.parametrize(
    ("target", "problem", "pointer"),
    [
        (browser(p256dh=P256DH[:-2]), "target-unusable", "/targets/0/p256dh"),
        (browser(auth="AAAA"), "target-unusable", "/targets/0/auth"),
        (browser(endpoint="https://10.0.0.1/x"), "target-unusable", "/targets/0/endpoint"),
        (browser(endpoint="http://push.example/x"), "target-unusable", "/targets/0/endpoint"),
        (browser(p256dh=None), "invalid-field", "/targets/0"),
        (browser(token="x"), "invalid-field", "/targets/0"),
        (browser(token_kind="fid"), "invalid-field", "/targets/0"),
        (
            {"provider": "apns", "purposes": ["call"], "token": "ab", "auth": AUTH},
            "invalid-field",
            "/targets/0",
        ),
        ({"provider": "apns", "purposes": ["call"]}, "invalid-field", "/targets/0"),
        ({"provider": "fcm", "purposes": ["call"], "token": "x"}, "target-unusable", "/targets/0/provider"),
        ({"provider": "pager", "purposes": ["call"], "token": "x"}, "invalid-field", "/targets/0/provider"),
        (browser(endpoint="x" * 1001), "invalid-field", "/targets/0/endpoint"),
    ],
)
async def test_what_cannot_be_pushed_to_is_refused_where_it_is_wrong(
    world: World, target: dict[str, Any], problem: str, pointer: str
) -> None:
    answer = await world.api.enrol(world.fields(targets=[target]))
    assert (answer.status, answer.problem) == (422, problem)
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]
    for secret in (AUTH, ENDPOINT, P256DH[:40]):
        assert secret not in answer.text


async def test_an_app_reads_what_there_is_for_it_with_its_key(world: World) -> None:
    answer = await world.api.send("GET", "/v1/apps/phone", secret=KEY)
    assert answer.status == 200
    body = answer.json
    assert body["app"] == "phone"
    assert body["providers"] == ["apns", "webpush", "unifiedpush", "webhook", "acrobits"]
    assert body["push_privacy"] == "full"
    point = base64.urlsafe_b64decode(body["webpush_key"] + "=")
    assert (len(point), point[0]) == (65, 4)
    for path, key in (("phone", "wrong"), ("other", KEY), ("phone", "")):
        refused = await world.api.send("GET", f"/v1/apps/{path}", secret=key)
        assert (refused.status, refused.problem) == (401, "enrolment-key-refused")


async def test_an_app_without_web_push_has_no_key_for_pages(tmp_path: Path) -> None:
    async with serving(tmp_path, "127.81.3.15") as world:
        body = (await world.api.send("GET", "/v1/apps/phone", secret=KEY)).json
        assert (body["providers"], body["webpush_key"]) == (["apns"], None)
