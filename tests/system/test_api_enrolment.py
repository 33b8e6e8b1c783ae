"""Enrolling over HTTP, with a PBX that says whose password it is."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.served import (
    CALL_TOKEN,
    INSTALLATION,
    KEY,
    NOTICE_TOKEN,
    OTHER_INSTALLATION,
    PATH,
    World,
    serving,
)
from wakerobin import log


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
        "payload_key",
        "lifetime_s",
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


async def test_a_wrong_password_is_told_in_the_answer_and_nothing_is_kept(world: World) -> None:
    answer = await world.api.enrol(world.fields(password="wrong"))
    assert (answer.status, answer.problem) == (422, "credentials-refused")
    assert answer.json["action"] == "ask-password"
    assert "wrong" not in answer.text
    assert world.server.rooms is not None
    store = world.server.rooms.ground.store
    assert store.read(lambda tx: (tx.registrations.page(0, 10), tx.accounts.page(0, 10))) == ([], [])


async def test_an_unknown_account_gets_the_answer_of_a_wrong_password(world: World) -> None:
    wrong = await world.api.enrol(world.fields("anna", "wrong"))
    unknown = await world.api.enrol(world.fields("nobody", "wrong"))
    assert (unknown.status, unknown.json) == (wrong.status, wrong.json)


async def test_without_waiting_it_is_accepted_unproven(world: World) -> None:
    answer = await world.api.enrol(world.fields(), wait=0)
    assert answer.status == 201
    assert answer.json["binding"]["state"] in ("unproven", "registering", "registered")


async def test_the_same_installation_keeps_its_id_and_gets_a_new_secret(world: World) -> None:
    first = (await world.api.enrol(world.fields())).json
    again = await world.api.enrol(world.fields(display_name="Anna"))
    assert again.status == 200
    assert again.json["id"] == first["id"]
    assert again.json["secret"] != first["secret"]
    assert again.json["generation"] > first["generation"]


async def test_the_old_secret_works_until_the_new_one_is_used(world: World) -> None:
    first = (await world.api.enrol(world.fields())).json
    second = (await world.api.enrol(world.fields())).json
    path = f"{PATH}/{first['id']}"
    assert (await world.api.send("GET", path, secret=first["secret"])).status == 200
    assert (await world.api.send("GET", path, secret=second["secret"])).status == 200
    refused = await world.api.send("GET", path, secret=first["secret"])
    assert (refused.status, refused.problem) == (401, "secret-refused")


async def test_the_hash_of_the_password_proves_as_much_as_the_password(world: World) -> None:
    value = hashlib.md5(b"anna:pbx.test:anna-password", usedforsecurity=False).hexdigest()
    ha1 = {"ha1": [{"realm": "pbx.test", "algorithm": "MD5", "value": value}]}
    answer = await world.api.enrol(world.fields(credentials=ha1))
    assert (answer.status, answer.json["binding"]["state"]) == (201, "registered")


async def test_a_second_installation_with_a_wrong_password_gets_nothing_and_harms_nothing(
    world: World,
) -> None:
    first = (await world.api.enrol(world.fields())).json
    before = world.pbx.contacts("anna")[0].uri
    second = await world.api.enrol(world.fields(password="wrong", installation_id=OTHER_INSTALLATION), wait=0)
    assert second.json["binding"]["state"] in ("unproven", "refused")
    assert second.json["binding"]["expires_at"] is None
    calls = await world.api.send("GET", f"{PATH}/{second.json['id']}/calls", secret=second.json["secret"])
    assert calls.json == {"calls": []}
    kept = await world.api.send("GET", f"{PATH}/{first['id']}", secret=first["secret"])
    assert (kept.status, kept.json["binding"]["state"]) == (200, "registered")
    assert [contact.uri for contact in world.pbx.contacts("anna")] == [before]


async def test_guesses_are_not_compared_for_ever_with_what_was_proven(world: World) -> None:
    """After three wrong ones the right password goes to the PBX, which has a budget of its own."""
    await world.api.enrol(world.fields())
    for number in range(3):
        answer = await world.api.enrol(
            world.fields(password=f"guess {number}", installation_id=OTHER_INSTALLATION)
        )
        assert answer.problem == "credentials-refused"
    answer = await world.api.enrol(world.fields(installation_id=OTHER_INSTALLATION))
    assert (answer.status, answer.problem) == (429, "too-many-refused-credentials")
    assert int(answer.headers["retry-after"]) > 60


async def test_a_pbx_that_asks_for_no_password_proves_nothing(world: World) -> None:
    world.pbx.rules.asks = False
    answer = await world.api.enrol(world.fields())
    assert (answer.status, answer.problem) == (422, "registrar-does-not-challenge")


@pytest.mark.parametrize(
    ("changes", "status", "problem"),
    [
        ({"aor": "sip:anna@elsewhere.example"}, 403, "registrar-not-allowed"),
        ({"registrar": "10.0.0.1"}, 403, "registrar-not-allowed"),
        ({"outbound_proxy": "sip:proxy.elsewhere.example"}, 403, "registrar-not-allowed"),
        ({"outbound_proxy": "sips:pbx.test"}, 422, "registrar-unusable"),
        ({"aor": "anna"}, 422, "invalid-field"),
        ({"aor": "sip:pbx.test"}, 422, "invalid-field"),
        ({"registrar": "pbx.test:70000"}, 422, "invalid-field"),
        ({"outbound_proxy": "pbx"}, 422, "invalid-field"),
        ({"app": "other"}, 401, "enrolment-key-refused"),
    ],
)
async def test_what_the_operator_did_not_allow_is_refused_in_words(
    world: World, changes: dict[str, str], status: int, problem: str
) -> None:
    answer = await world.api.enrol(world.fields(**changes), wait=0)
    assert (answer.status, answer.problem) == (status, problem)
    assert answer.json["detail"]
    for value in changes.values():
        assert value not in answer.text, "no input is echoed"
    assert world.pbx.registrar.seen == []


async def test_a_pbx_that_cannot_be_reached_is_told_as_the_reason(world: World) -> None:
    answer = await world.api.enrol(world.fields(registrar=f"{world.pbx.host}:1", transport="tcp"))
    assert answer.status == 201
    binding = answer.json["binding"]
    assert (binding["state"], binding["reason_code"]) == ("unreachable", "registrar-unreachable")
    assert "refused" in binding["reason"]
    assert abs(binding["since_at"] - time.time()) < 30


async def test_a_wrong_enrolment_key_is_refused(world: World) -> None:
    answer = await world.api.enrol(world.fields(), key="guess")
    assert (answer.status, answer.problem) == (401, "enrolment-key-refused")
    assert answer.headers["www-authenticate"] == "Bearer"
    without = await world.api.send("POST", PATH, world.fields())
    assert without.problem == "enrolment-key-refused"


async def test_an_address_that_is_held_at_another_registrar_stays_there(world: World) -> None:
    await world.api.enrol(world.fields())
    elsewhere = world.fields(registrar=f"{world.pbx.host}:1", installation_id=OTHER_INSTALLATION)
    answer = await world.api.enrol(elsewhere, wait=0)
    assert (answer.status, answer.problem) == (409, "aor-conflict")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"targets": []}, "/targets"),
        ({"targets": [{"provider": "apns", "purposes": ["notice"], "token": "aa"}]}, "/targets"),
        ({"targets": [{"provider": "fcm", "purposes": ["call"], "token": "aa"}]}, "/targets/0/provider"),
        ({"targets": [{"provider": "apns", "purposes": ["ring"], "token": "aa"}]}, "/targets/0/purposes/0"),
        ({"targets": [{"provider": "apns", "purposes": ["call"], "token": "xyz"}]}, "/targets/0/token"),
        (
            {
                "targets": [
                    {"provider": "apns", "purposes": [one], "token": "aa"} for one in ("call", "notice")
                ]
            },
            "/targets/1",
        ),
        ({"installation_id": "short"}, "/installation_id"),
        ({"platform": "amiga"}, "/platform"),
        ({"credentials": {}}, "/credentials"),
        ({"credentials": {"password": "a", "ha1": []}}, "/credentials/ha1"),
        (
            {"credentials": {"ha1": [{"realm": "r", "algorithm": "SHA-256", "value": "ab" * 16}]}},
            "/credentials/ha1/0",
        ),
        ({"lifetime_s": 0}, "/lifetime_s"),
        ({"lifetime_s": "60"}, "/lifetime_s"),
        ({"locale": "not a locale"}, "/locale"),
        ({"display_name": "\x1b[31m"}, "/display_name"),
        ({"capabilities": {"notifications": 1}}, "/capabilities/notifications"),
        ({"hunter2-in-the-wrong-place": True}, ""),
    ],
)
async def test_a_field_that_cannot_be_used_is_pointed_at(
    world: World, change: dict[str, Any], pointer: str
) -> None:
    answer = await world.api.enrol(world.fields(**change), wait=0)
    assert answer.status == 422
    assert answer.json["errors"][0]["pointer"] == pointer
    assert "hunter2" not in answer.text


async def test_a_lifetime_is_clamped_and_the_answer_shows_it(world: World) -> None:
    for asked, granted in ((3600 * 24 * 400, 3600 * 24 * 400), (7200, 7200), (1, 3600)):
        answer = await world.api.enrol(world.fields(lifetime_s=asked))
        assert answer.json["lifetime_s"] == granted
        life_s = answer.json["expires_at"] - time.time()
        assert abs(life_s - granted) < 30


async def test_no_secret_of_an_enrolment_reaches_the_log(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    log.configure("debug", "json")
    try:
        secret = (await world.api.enrol(world.fields())).json["secret"]
        await world.api.enrol(world.fields("ben", "not-bens-password"))
    finally:
        log.configure("info", "auto")
    told = "".join(capfd.readouterr())
    assert told, "nothing was logged at all"
    for hidden in (secret, KEY, "anna-password", "not-bens-password", CALL_TOKEN, NOTICE_TOKEN):
        assert hidden not in told
