"""Reading, renewing, changing and ending a push registration over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.system.served import NOTICE_TOKEN, PATH, World, serving
from wakerobin.core.lifetime import Release, plan
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Duration, Ended, Life, Purpose, PushRegistration
from wakerobin.ports.store import Transaction
from wakerobin.services.courier.messages import push_id
from wakerobin.services.lives.effects import perform

HOUR = 3_600_000


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with serving(tmp_path, "127.81.0.2") as running:
        yield running


class Enrolled:
    """An installation that enrolled, and its way to its push registration."""

    def __init__(self, world: World, body: dict[str, Any]) -> None:
        self.world = world
        self.body = body
        self.path = f"{PATH}/{body['id']}"

    async def send(self, method: str, rest: str = "", body: Any = None) -> Any:
        return await self.world.api.send(method, self.path + rest, body, self.body["secret"])

    def row(self) -> PushRegistration:
        found = self.read(lambda tx: tx.registrations.by_public_id(self.body["id"]))
        assert isinstance(found, PushRegistration)
        return found

    def life(self) -> Life:
        row = self.row()
        found = self.read(lambda tx: tx.lives.get(row.id))
        assert isinstance(found, Life)
        return found

    def read(self, work: Any) -> Any:
        assert self.world.server.rooms is not None
        return self.world.server.rooms.ground.store.read(work)

    async def write(self, work: Any) -> Any:
        assert self.world.server.rooms is not None
        return await self.world.server.rooms.ground.store.transact(work)


@pytest.fixture
async def anna(world: World) -> Enrolled:
    answer = await world.api.enrol(world.fields(capabilities={"notifications": True, "low_power": False}))
    assert answer.status == 201
    return Enrolled(world, answer.json)


async def test_reading_is_a_use(anna: Enrolled) -> None:
    answer = await anna.send("GET")
    assert answer.status == 200
    assert answer.json["generation"] == anna.body["generation"] + 1
    assert set(answer.json) == set(anna.body) - {"secret", "payload_key"}


async def test_renewing_begins_the_life_anew_and_says_what_to_clear(anna: Enrolled) -> None:
    answer = await anna.send("POST", "/renew", {"cause": "tapped-warning"})
    body = answer.json
    assert answer.status == 200
    assert body["generation"] == anna.body["generation"] + 1
    assert (body["resumed"], body["clear"], body["notice"]) == (False, ["life"], None)


async def test_renewing_with_targets_replaces_the_list(anna: Enrolled) -> None:
    targets = [{"provider": "apns", "purposes": ["call"], "token": "c3" * 32}]
    answer = await anna.send("POST", "/renew", {"cause": "opened", "targets": targets})
    assert answer.json["generation"] == anna.body["generation"] + 1
    assert answer.json["warnable"] is False, "there is no target left that can show a warning"
    kept = anna.read(lambda tx: tx.targets.of_registration(anna.row().id))
    assert [(one.token.reveal(), one.purposes) for one in kept] == [("c3" * 32, {Purpose.CALL})]


async def test_the_environment_that_was_found_out_of_a_token_stays_when_the_app_does_not_name_one(
    anna: Enrolled,
) -> None:
    id_ = anna.row().id
    first = anna.read(lambda tx: tx.targets.of_registration(id_))[0]
    await anna.write(lambda tx: tx.targets.note_accepted(first.id, 1, "sandbox"))
    reported = {"provider": "apns", "purposes": ["call"], "token": first.token.reveal()}
    for named, kept in (({}, "sandbox"), ({"environment": "production"}, "production")):
        await anna.send("POST", "/renew", {"cause": "opened", "targets": [reported | named]})
        (target,) = anna.read(lambda tx: tx.targets.of_registration(id_))
        assert target.environment == kept


async def test_denied_notifications_are_taken_in_at_a_renewal(anna: Enrolled) -> None:
    answer = await anna.send("POST", "/renew", {"cause": "opened", "capabilities": {"notifications": False}})
    assert answer.json["warnable"] is False


async def test_a_target_that_cannot_be_used_changes_nothing(anna: Enrolled) -> None:
    targets = [{"provider": "apns", "purposes": ["call"], "token": "not hex"}]
    answer = await anna.send("POST", "/renew", {"cause": "opened", "targets": targets})
    assert (answer.status, answer.problem) == (422, "target-unusable")
    assert anna.life().generation == anna.body["generation"]


@pytest.mark.parametrize("reason", [Ended.EXPIRED, Ended.TARGETS_GONE, Ended.REFUSED])
@pytest.mark.parametrize(
    ("method", "rest", "body"),
    [
        ("GET", "", None),
        ("POST", "/renew", {"cause": "opened"}),
        ("PATCH", "", {"locale": "de"}),
        ("DELETE", "", None),
        ("POST", "/receipts", [{"push_id": "0" * 36, "kind": "shown", "received_at": 1}]),
        ("GET", "/calls", None),
        ("POST", "/calls/x/decline", {}),
    ],
)
async def test_after_the_end_every_request_says_how_it_ended(
    anna: Enrolled, reason: Ended, method: str, rest: str, body: Any
) -> None:
    assert anna.world.server.rooms is not None
    await anna.world.server.rooms.lives.end(anna.row().id, reason)
    answer = await anna.send(method, rest, body)
    name = "push-registration-expired" if reason is Ended.EXPIRED else "push-registration-ended"
    assert (answer.status, answer.problem) == (410, name)
    assert answer.json["action"] == "enrol-again"


async def test_deleting_ends_it_erases_the_secrets_and_removes_the_contact(anna: Enrolled) -> None:
    assert len(anna.world.pbx.contacts("anna")) == 1
    assert (await anna.send("DELETE")).status == 202
    assert (await anna.send("GET")).problem == "push-registration-ended"
    row = anna.row()
    assert anna.read(lambda tx: tx.accounts.credentials(row.account_id)) is None
    assert anna.read(lambda tx: tx.targets.of_registration(row.id)) == []
    seen = len(anna.world.pbx.registrar.seen)
    while anna.world.pbx.contacts("anna"):
        seen += 1
        await anna.world.pbx.wait_register(seen)


async def test_after_its_end_the_account_can_be_enrolled_again(anna: Enrolled) -> None:
    await anna.send("DELETE")
    again = await anna.world.api.enrol(anna.world.fields())
    assert again.status == 201
    assert again.json["id"] != anna.body["id"]
    assert again.json["binding"]["state"] == "registered"


@pytest.mark.parametrize("secret", ["", "wrs_guess", "é"])
async def test_unknown_ids_and_wrong_secrets_are_one_answer(anna: Enrolled, secret: str) -> None:
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    wrong = await anna.world.api.send("GET", anna.path, headers=headers)
    unknown = await anna.world.api.send("GET", f"{PATH}/pr_nobody", headers=headers)
    assert (wrong.status, wrong.problem) == (401, "secret-refused")
    assert wrong.text == unknown.text
    assert anna.life().generation == anna.body["generation"], "a refused request is no use"


# PATCH


async def test_a_patch_changes_what_it_names_and_takes_back_what_is_null(anna: Enrolled) -> None:
    await anna.send("PATCH", "", {"display_name": "Anna", "locale": "de-DE", "time_zone": "Europe/Berlin"})
    row = anna.row()
    assert (row.display_name, row.locale, row.time_zone) == ("Anna", "de-DE", "Europe/Berlin")
    answer = await anna.send("PATCH", "", {"locale": None})
    row = anna.row()
    assert (answer.status, row.display_name, row.locale) == (200, "Anna", "")


async def test_a_patch_merges_the_capabilities(anna: Enrolled) -> None:
    change = {"capabilities": {"notifications": False, "low_power": None}}
    answer = await anna.world.api.send(
        "PATCH",
        anna.path,
        change,
        anna.body["secret"],
        {"Content-Type": "application/merge-patch+json"},
    )
    assert answer.json["warnable"] is False
    assert anna.row().capabilities == {"notifications": False}
    await anna.send("PATCH", "", {"capabilities": None})
    assert anna.row().capabilities == {}


async def test_a_patched_lifetime_holds_from_that_use_on(anna: Enrolled) -> None:
    answer = await anna.send("PATCH", "", {"lifetime_s": 7200})
    assert abs(answer.json["expires_at"] - time.time() - 7200) < 30
    back = await anna.send("PATCH", "", {"lifetime_s": None})
    assert abs(back.json["expires_at"] - time.time() - 7 * 24 * 3600) < 30


async def test_new_credentials_replace_the_old_only_when_the_pbx_takes_them(anna: Enrolled) -> None:
    wrong = await anna.send("PATCH", "?wait=5", {"credentials": {"password": "wrong"}})
    assert (wrong.status, wrong.problem) == (422, "credentials-refused")
    kept = anna.read(lambda tx: tx.accounts.credentials(anna.row().account_id))
    anna.world.pbx.set_password("anna", "changed")
    right = await anna.send("PATCH", "?wait=5", {"credentials": {"password": "changed"}})
    assert (right.status, right.json["binding"]["state"]) == (200, "registered")
    assert anna.read(lambda tx: tx.accounts.credentials(anna.row().account_id)) != kept


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"credentials": None}, ""),
        ({"targets": None}, ""),
        ({"auth_user": "x"}, ""),
        ({"targets": []}, "/targets"),
        ({"aor": "sip:ben@pbx.test"}, ""),
        ({"installation_id": "x"}, ""),
    ],
)
async def test_what_a_patch_cannot_change_is_refused(
    anna: Enrolled, change: dict[str, Any], pointer: str
) -> None:
    answer = await anna.send("PATCH", "", change)
    assert (answer.status, answer.problem) == (422, "invalid-field")
    assert answer.json["errors"][0]["pointer"] == pointer


# Receipts


def receipt(push: str, kind: str = "shown") -> dict[str, Any]:
    return {"push_id": push, "kind": kind, "received_at": 1_784_000_000, "original_priority": "high"}


async def left_alone(anna: Enrolled, hours: int) -> str:
    """Let the first renewal push of the life be sent that long ago; return its id."""
    row = anna.row()

    def work(tx: Transaction) -> str:
        life = tx.lives.get(row.id)
        assert life is not None
        policy = anna.world.server.rooms.lives._deciding.policies("phone")  # type: ignore[union-attr]  # it runs
        first = plan(policy, life.expires_at, life.lifetime)[0]
        at = int(time.time() * 1000) - hours * HOUR
        moved = Life(
            id=life.id,
            slot=life.slot,
            expires_at=at + first.lead,
            next_at=at + first.lead + 1000 * HOUR,
            generation=life.generation,
            step=1,
            lifetime=Duration(life.lifetime),
            renewed_at=life.renewed_at,
        )
        tx.lives.update(moved)
        target = next(t for t in tx.targets.of_registration(row.id) if t.token.reveal() == NOTICE_TOKEN)
        return push_id(row, life.generation, PushType.RENEW, 0, target)

    return str(await anna.write(work))


async def test_a_receipt_for_a_fresh_push_of_this_life_is_a_use(anna: Enrolled) -> None:
    push = await left_alone(anna, hours=2)
    generation = anna.life().generation
    assert (await anna.send("POST", "/receipts", [receipt(push.upper())])).status == 204
    assert anna.life().generation == generation + 1
    again = await anna.send("POST", "/receipts", [receipt(push)])
    assert (again.status, anna.life().generation) == (204, generation + 1), "it was of the life before"


async def test_a_receipt_for_an_old_push_is_kept_and_is_no_use(anna: Enrolled) -> None:
    push = await left_alone(anna, hours=25)
    generation = anna.life().generation
    assert (await anna.send("POST", "/receipts", [receipt(push)])).status == 204
    assert anna.life().generation == generation


async def test_a_receipt_of_a_renewal_push_is_a_life_saved_silently(anna: Enrolled) -> None:
    push = await left_alone(anna, hours=2)
    anna_id = anna.row().id

    def sent(tx: Transaction) -> None:
        life = tx.lives.get(anna_id)
        assert life is not None
        tx.lives.update(replace(life, renewal_sent_at=life.expires_at - 23 * HOUR))

    await anna.write(sent)
    await anna.send("POST", "/receipts", [receipt(push, "received")])
    counted = {row.name: row.count for row in anna.read(lambda tx: tx.tallies.since(0))}
    assert counted == {"saved-silently": 1}
    assert anna.life().habits != "", "and the phone is known to answer"
    (kept,) = anna.read(lambda tx: tx.receipts.of(anna_id))
    assert (kept.kind, kept.push_type, kept.push_id) == ("received", "renew", push)


async def test_a_phone_that_may_show_nothing_is_warned_no_more(anna: Enrolled) -> None:
    await anna.send("PATCH", "", {"capabilities": {"notifications": True, "low_power": True}})
    unknown = "0f0f0f0f-0000-8000-8000-000000000000"
    await anna.send("POST", "/receipts", [receipt(unknown, "not-permitted")])
    assert anna.row().capabilities == {"notifications": False, "low_power": True}
    assert (await anna.send("GET")).json["warnable"] is False


async def contacts(anna: Enrolled, count: int) -> None:
    """Wait until the PBX has so many contacts of the account."""
    async with asyncio.timeout(10):
        while len(anna.world.pbx.contacts("anna")) != count:
            await asyncio.sleep(0)


async def dormant(anna: Enrolled) -> None:
    """Let its life have ended, its credentials kept."""
    assert anna.world.server.rooms is not None
    lives = anna.world.server.rooms.lives
    row = anna.row()

    def work(tx: Transaction) -> None:
        life = tx.lives.get(row.id)
        assert life is not None
        ended = replace(life, ended=Ended.DORMANT, ended_at=life.renewed_at, next_at=life.expires_at)
        writing = lives._deciding.writing(life.renewed_at)
        perform(tx, row.account_id, ended, [Release(keeps_credentials=True)], writing)

    await anna.write(work)
    await contacts(anna, 0)


async def test_one_use_resumes_a_dormant_registration(anna: Enrolled) -> None:
    before = anna.read(lambda tx: tx.accounts.get(anna.row().account_id))
    await dormant(anna)
    answer = await anna.send("POST", "/renew", {"cause": "opened"})
    assert (answer.status, answer.json["resumed"], answer.json["stage"]) == (200, True, "active")
    await contacts(anna, 1)
    after = anna.read(lambda tx: tx.accounts.get(anna.row().account_id))
    assert after.contact_user != before.contact_user
    again = await anna.send("POST", "/renew", {"cause": "opened"})
    assert again.json["resumed"] is False


async def test_a_dormant_registration_can_be_deleted(anna: Enrolled) -> None:
    await dormant(anna)
    assert (await anna.send("DELETE")).status == 202
    assert anna.life().ended is Ended.DELETED
    assert anna.read(lambda tx: tx.accounts.credentials(anna.row().account_id)) is None
    assert (await anna.send("POST", "/renew", {"cause": "opened"})).status == 410


async def test_receipts_are_told_in_the_story(anna: Enrolled) -> None:
    unknown = "0f0f0f0f-0000-8000-8000-000000000000"
    await anna.send("POST", "/receipts", [receipt(unknown), receipt(unknown, "tapped")])
    rows = anna.read(lambda tx: tx.stories.of(f"registration:{anna.row().id}"))
    told = [row.details for row in rows if row.event == "receipt"]
    assert [one["kind"] for one in told] == ["shown", "tapped"]
    assert told[0]["push"] == unknown
    assert anna.life().generation == anna.body["generation"]


@pytest.mark.parametrize(
    "body",
    [[], {}, [{"push_id": "x", "kind": "shown", "received_at": 1}], [receipt("0" * 36, "eaten")]],
)
async def test_receipts_that_are_none_are_refused(anna: Enrolled, body: Any) -> None:
    answer = await anna.send("POST", "/receipts", body)
    assert (answer.status, answer.problem) == (422, "invalid-field")


async def test_who_renewed_instead_of_showing_a_warning_is_told_what_to_show(anna: Enrolled) -> None:
    await anna.send("PATCH", "", {"locale": "de-AT"})
    for cause in ("warning-extension", "service-worker"):
        notice = (await anna.send("POST", "/renew", {"cause": cause})).json["notice"]
        assert notice == ("Ihr Konto empfängt weiterhin Anrufe auf diesem Telefon. Sie müssen nichts tun.")
    assert (await anna.send("POST", "/renew", {"cause": "renewal-push"})).json["notice"] is None
