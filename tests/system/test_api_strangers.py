"""Who has the enrolment key and no password harms nobody: it stands in every copy of the app."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system.served import OTHER_INSTALLATION, PATH, Answer, World, serving
from wakerobin.services import story
from wakerobin.services.enrolment.enrolment import MOST_WAITING_OF_ACCOUNT


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with serving(tmp_path, "127.81.0.9") as running:
        yield running


async def stranger(world: World, user: str = "anna", wait: int = 0, **changes: Any) -> Answer:
    """Enrol with a password that is nobody's."""
    fields = world.fields(user, "nobody's", installation_id=OTHER_INSTALLATION, **changes)
    return await world.api.enrol(fields, wait)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what comes soon."""
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0)


def rows(world: World) -> int:
    """How many push registrations the store holds."""
    assert world.server.rooms is not None
    return world.server.rooms.ground.store.read(lambda tx: len(tx.registrations.page(0, 1000)))


async def test_an_address_cannot_be_taken_by_being_the_first_to_name_it(world: World) -> None:
    elsewhere = f"{world.pbx.host}:1"
    first = await stranger(world, registrar=elsewhere, transport="tcp", auth_user="ghost")
    assert (first.status, first.json["binding"]["state"]) == (201, "unproven")
    answer = await world.api.enrol(world.fields())
    assert (answer.status, answer.json["binding"]["state"]) == (201, "registered")
    assert len(world.pbx.contacts("anna")) == 1
    assert world.server.rooms is not None
    (account,) = world.server.rooms.ground.store.read(lambda tx: tx.accounts.by_aor("sip:anna@pbx.test"))
    assert (account.registrar, account.transport, account.auth_user) == (
        f"{world.pbx.host}:{world.pbx.port}",
        None,
        "anna",
    )
    late = await stranger(world, registrar=elsewhere)
    assert late.problem == "aor-conflict"


async def test_a_stranger_does_not_see_how_others_fare_nor_they_him(world: World) -> None:
    world.pbx.rules.is_silent = True
    waiting = (await world.api.enrol(world.fields(), wait=0)).json
    world.pbx.rules.is_silent = False
    guess = (await stranger(world)).json
    await until(lambda: sum(seen.has_answer for seen in world.pbx.registrar.seen) > 0)
    path = f"{PATH}/{guess['id']}"
    refused = {"state": ""}
    async with asyncio.timeout(10):
        while refused["state"] != "refused":
            refused = (await world.api.send("GET", path, secret=guess["secret"])).json["binding"]
    assert (refused["state"], refused["reason_code"]) == ("refused", "credentials-refused")
    mine = (await world.api.send("GET", f"{PATH}/{waiting['id']}", secret=waiting["secret"])).json["binding"]
    assert mine["state"] in ("unproven", "registered")


async def test_a_stranger_does_not_keep_our_contact_at_the_pbx(world: World) -> None:
    body = (await world.api.enrol(world.fields())).json
    world.pbx.rules.is_silent = True
    await world.api.send("DELETE", f"{PATH}/{body['id']}", secret=body["secret"])
    assert world.server.rooms is not None
    store = world.server.rooms.ground.store
    (work,) = store.read(lambda tx: tx.binding_work.unregisters())
    await stranger(world)
    assert store.read(lambda tx: tx.binding_work.unregisters()) == [work], "it goes on as it was"
    (account,) = store.read(lambda tx: tx.accounts.by_aor("sip:anna@pbx.test"))
    assert account.contact_user != work.account.contact_user, "and cannot remove what comes after it"


async def test_an_unregister_of_an_earlier_life_spares_the_binding_of_the_next_one(world: World) -> None:
    """The stranger keeps the account, and with it the Contact, over the end of the first life."""
    body = (await world.api.enrol(world.fields())).json
    await stranger(world)
    world.pbx.rules.is_silent = True
    await world.api.send("DELETE", f"{PATH}/{body['id']}", secret=body["secret"])
    seen = len(world.pbx.registrar.seen)
    await until(lambda: len(world.pbx.registrar.seen) > seen)
    world.pbx.rules.is_silent = False
    answer = await world.api.enrol(world.fields(), wait=10)
    assert answer.json["binding"]["state"] == "registered"
    assert world.server.rooms is not None
    assert world.server.rooms.ground.store.read(lambda tx: tx.binding_work.unregisters()) == []
    assert len(world.pbx.contacts("anna")) == 1


async def test_what_the_pbx_would_ban_us_for_is_refused_at_once_and_not_stored(world: World) -> None:
    for user in ("u1", "u2", "u3", "u4"):
        assert (await stranger(world, user, wait=5)).problem == "credentials-refused"
    assert rows(world) == 0
    seen = len(world.pbx.registrar.seen)
    for wait in (0, 5):
        answer = await stranger(world, "u5", wait=wait)
        assert (answer.status, answer.problem) == (503, "registrar-busy")
        assert 1 <= int(answer.headers["retry-after"]) <= 600
    assert rows(world) == 0
    assert len(world.pbx.registrar.seen) == seen


async def test_who_was_proven_before_is_known_although_no_more_may_be_tried(world: World) -> None:
    first = (await world.api.enrol(world.fields())).json
    for user in ("u1", "u2", "u3", "u4"):
        await stranger(world, user, wait=5)
    again = await world.api.enrol(world.fields(), wait=0)
    assert (again.status, again.json["id"]) == (200, first["id"])


async def test_guesses_of_strangers_do_not_keep_a_phone_from_enrolling_again(world: World) -> None:
    first = (await world.api.enrol(world.fields())).json
    for _ in range(3):
        assert (await stranger(world, wait=5)).problem == "credentials-refused"
    assert (await stranger(world, wait=5)).problem == "too-many-refused-credentials"
    again = await world.api.enrol(world.fields(), wait=0)
    assert (again.status, again.json["id"]) == (200, first["id"])


async def test_new_credentials_by_patch_meet_the_same_budget(world: World) -> None:
    body = (await world.api.enrol(world.fields())).json
    change = {"credentials": {"password": "wrong"}, "display_name": "Changed"}
    path = f"{PATH}/{body['id']}?wait=5"
    for _ in range(3):
        answer = await world.api.send("PATCH", path, change, body["secret"])
        assert answer.problem == "credentials-refused"
    answer = await world.api.send("PATCH", f"{PATH}/{body['id']}", change, body["secret"])
    assert (answer.status, answer.problem) == (429, "too-many-refused-credentials")
    assert int(answer.headers["retry-after"]) > 600


async def test_only_so_many_wait_for_the_proof_of_one_account(world: World) -> None:
    world.pbx.rules.is_silent = True
    states = [(await stranger(world)).status for _ in range(MOST_WAITING_OF_ACCOUNT + 2)]
    assert states == [201] * MOST_WAITING_OF_ACCOUNT + [503, 503]
    assert rows(world) == MOST_WAITING_OF_ACCOUNT
    assert (await stranger(world, "ben")).status == 201, "others are not concerned"


async def test_nothing_at_all_is_kept_of_a_refused_enrolment(world: World) -> None:
    assert (await stranger(world, wait=5)).problem == "credentials-refused"
    assert world.server.rooms is not None
    store = world.server.rooms.ground.store
    assert store.read(lambda tx: tx.accounts.page(0, 9)) == []
    subjects = [story.of_registration(number) for number in (1, 2)]
    assert store.read(lambda tx: [row for subject in subjects for row in tx.stories.of(subject)]) == []


async def test_the_secret_that_the_app_has_survives_answers_that_are_lost(world: World) -> None:
    first = (await world.api.enrol(world.fields())).json
    again = [(await world.api.enrol(world.fields())).json for _ in range(3)]
    assert {one["id"] for one in again} == {first["id"]}
    last = again[-1]
    path = f"{PATH}/{first['id']}"
    assert (await world.api.send("GET", path, secret=first["secret"])).status == 200
    assert (await world.api.send("GET", path, secret=last["secret"])).status == 200
    assert (await world.api.send("GET", path, secret=first["secret"])).status == 401


async def test_receipts_cannot_fill_the_store(world: World) -> None:
    assert world.server.rooms is not None
    store = world.server.rooms.ground.store
    receipt = {"push_id": "0" * 36, "kind": "shown", "received_at": 1}
    world.pbx.rules.is_silent = True
    unproven = (await stranger(world)).json
    world.pbx.rules.is_silent = False
    proven = (await world.api.enrol(world.fields("ben", "ben-password"))).json

    async def report(body: Any) -> Answer:
        path = f"{PATH}/{body['id']}/receipts"
        return await world.api.send("POST", path, [receipt] * 50, body["secret"])

    def told(number: int) -> int:
        rows = store.read(lambda tx: tx.stories.of(story.of_registration(number)))
        return sum(row.event == "receipt" for row in rows)

    assert (await report(unproven)).status == 204, "it got no push, so there is nothing to keep"
    answers = [await report(proven) for _ in range(6)]
    assert [answer.status for answer in answers] == [204] * 4 + [429] * 2
    assert answers[-1].problem == "too-many-requests"
    assert (told(1), told(2)) == (0, 200)
