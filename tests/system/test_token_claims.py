"""A push token that two installations report: claimed by the second, its own once it has proven it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.system.lives_world import World as Lives
from tests.system.served import NOTICE_TOKEN, OTHER_INSTALLATION, PATH, World, serving
from wakerobin.core.pushes import PushType, TargetGone
from wakerobin.core.values import Ended, Provider, Purpose, PushRegistration, PushTarget, Secret
from wakerobin.ports.store import OutboxRow, Transaction
from wakerobin.services.enrolment import TargetRequest
from wakerobin.services.enrolment.claims import NONCE_MS, Claims
from wakerobin.services.enrolment.targets import set_targets
from wakerobin.testing.memory import MemoryStore

KEY = b"the secret key of this server"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with serving(tmp_path, "127.81.3.9") as world:
        yield world


async def verify_push(world: World) -> dict[str, Any]:
    push = await world.pns.wait_for(lambda one: one.type == "verify", 10)
    assert push.token == NOTICE_TOKEN, "a token that rings is never asked"
    assert push.headers["apns-push-type"] == "background"
    payload: dict[str, Any] = push.payload["wakerobin"]
    return payload


async def test_the_new_installation_of_a_phone_proves_its_tokens_and_the_old_one_ends(world: World) -> None:
    before = (await world.api.enrol(world.fields())).json
    after = (
        await world.api.enrol(world.fields("ben", "ben-password", installation_id=OTHER_INSTALLATION))
    ).json
    payload = await verify_push(world)
    assert payload["registration"] == after["id"]

    old, new = f"{PATH}/{before['id']}", f"{PATH}/{after['id']}"
    assert (await world.api.send("GET", old, secret=before["secret"])).status == 200, "claimed is not moved"
    wrong = await world.api.send("POST", f"{new}/verify", {"nonce": "x" * 22}, after["secret"])
    assert (wrong.status, wrong.problem) == (422, "target-unusable")
    theirs = await world.api.send("POST", f"{old}/verify", {"nonce": payload["nonce"]}, before["secret"])
    assert theirs.status == 422, "a nonce is good for the registration that it was sent to"

    for _ in range(2):  # the answer may get lost
        proven = await world.api.send("POST", f"{new}/verify", {"nonce": payload["nonce"]}, after["secret"])
        assert proven.status == 204
    ended = await world.api.send("GET", old, secret=before["secret"])
    assert (ended.status, ended.problem) == (410, "push-registration-ended")
    assert (await world.api.send("GET", new, secret=after["secret"])).status == 200


async def test_the_same_installation_with_two_accounts_claims_nothing_from_itself(world: World) -> None:
    await world.api.enrol(world.fields())
    await world.api.enrol(world.fields("ben", "ben-password"))
    assert world.server.rooms is not None
    store = world.server.rooms.ground.store
    targets = store.read(lambda tx: tx.targets.with_token(Provider.APNS, Secret(NOTICE_TOKEN)))
    assert [target.claimed_at for target in targets] == [0, 0]


# In memory, with a clock that is moved by hand


class Town(Lives):
    """Lives, and the claims of those whose tokens are the same."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.claims = Claims(KEY, self.lives)

    async def report(self, registration: PushRegistration, *targets: PushTarget) -> None:
        """Let an app report its targets anew."""
        now = self.clock.now()

        def work(tx: Transaction) -> None:
            known = {t.token: t for t in tx.targets.of_registration(registration.id)}
            for target in targets:
                changes = {"registration_id": registration.id, "reported_at": now}
                if target.token in known:
                    tx.targets.update(replace(known[target.token], reported_at=now))
                else:
                    tx.targets.add(replace(target, **changes))  # type: ignore[arg-type]  # two numbers
            self.claims.look(tx, registration, now)

        await self.store.transact(work)

    async def joined(self, name: str, *targets: PushTarget) -> PushRegistration:
        """Enrol an installation that reports these targets."""
        registration = await self.enrol(name, tokens=())
        await self.report(registration, *targets)
        return registration

    def asked(self, registration: PushRegistration) -> list[OutboxRow]:
        """Return what waits to ask an installation for its proof."""
        return self.store.read(lambda tx: tx.outbox.of_registration(registration.id, PushType.VERIFY))

    async def prove(self, registration: PushRegistration, nonce: str) -> bool:
        """Let an app return a nonce."""
        now = self.clock.now()
        return await self.store.transact(lambda tx: self.claims.prove(tx, registration, nonce, now))

    def tokens(self, registration: PushRegistration) -> list[str]:
        """Return the tokens that are left to it."""
        return [target.token.reveal() for target in self.targets(registration.id)]


def target(token: str, *purposes: Purpose, provider: Provider = Provider.APNS, **keys: str) -> PushTarget:
    return PushTarget(
        registration_id=0,
        provider=provider,
        purposes=frozenset(purposes or Purpose),
        token=Secret(token),
        p256dh=keys.get("p256dh", ""),
        auth=Secret(keys.get("auth", "")),
        reported_at=0,
    )


VOIP, ALERT = target("voip", Purpose.CALL), target("alert", Purpose.NOTICE)


async def test_both_keep_a_claimed_token_until_the_nonce_comes_back_and_then_the_claimer_has_both() -> None:
    town = Town()
    old = await town.joined("old", VOIP, ALERT)
    new = await town.joined("new", VOIP, ALERT)
    (row,) = town.asked(new)
    assert not town.asked(old)
    assert row.payload["target"] == next(t.id for t in town.targets(new.id) if t.token == ALERT.token)
    assert town.tokens(old) == town.tokens(new) == ["voip", "alert"]
    assert await town.prove(new, row.payload["nonce"])
    assert (town.tokens(old), town.tokens(new)) == ([], ["voip", "alert"])
    assert town.life(old).ended is Ended.TARGETS_GONE
    assert "target-taken" in town.story(old)
    assert town.life(new).ended is None


async def test_a_reinstall_that_keeps_one_token_takes_only_that_one() -> None:
    town = Town()
    old = await town.joined("old", VOIP, ALERT)
    new = await town.joined("new", target("another voip", Purpose.CALL), ALERT)
    (row,) = town.asked(new)
    assert await town.prove(new, row.payload["nonce"])
    assert town.tokens(old) == ["voip"], "the push service will say what became of it"
    assert town.life(old).ended is None


async def test_a_stranger_who_has_seen_a_token_that_rings_cannot_take_it_by_his_own_notice_token() -> None:
    town = Town()
    victim = await town.joined("victim", VOIP, ALERT)
    friend = await town.joined("friend", target("stranger's", Purpose.NOTICE))
    stranger = await town.joined("stranger", VOIP, target("stranger's", Purpose.NOTICE))
    (row,) = town.asked(stranger)
    assert await town.prove(stranger, row.payload["nonce"])
    assert town.tokens(friend) == [], "that one is his"
    assert town.tokens(victim) == ["voip", "alert"]


async def test_a_token_that_rings_is_never_asked_and_stays_with_both() -> None:
    town = Town()
    old = await town.joined("old", VOIP, ALERT)
    new = await town.joined("new", VOIP)
    assert not town.asked(new)
    assert "voip" in town.tokens(old)
    assert "voip" in town.tokens(new)


async def test_the_nonce_is_good_for_a_day_and_the_next_report_asks_again() -> None:
    town = Town()
    old = await town.joined("old", ALERT)
    new = await town.joined("new", ALERT)
    (row,) = town.asked(new)
    await town.report(new, ALERT)
    assert town.asked(new) == [row], "not again within the day"
    town.clock.advance(NONCE_MS)
    assert not await town.prove(new, row.payload["nonce"])
    assert town.tokens(old) == ["alert"]
    await town.store.transact(lambda tx: town.lives.use_in(tx, new.id, "opened", town.clock.now()))
    await town.report(new, ALERT)
    again = town.asked(new)[-1]
    assert again.payload["nonce"] != row.payload["nonce"]
    assert await town.prove(new, again.payload["nonce"])
    assert town.tokens(old) == []


async def test_the_question_outlives_a_use_and_not_the_end() -> None:
    town = Town()
    await town.joined("old", ALERT)
    new = await town.joined("new", ALERT)
    await town.lives.use(new.id, "register")
    await town.carry()
    assert [(sent.kind, sent.token) for sent in town.sent] == [(PushType.VERIFY, "alert")]
    assert "verify-sent" in town.story(new)
    other = await town.joined("other", ALERT)
    await town.lives.end(other.id, Ended.DELETED)
    await town.carry()
    assert len(town.sent) == 1


async def test_what_another_app_or_an_unproven_installation_has_is_no_rival() -> None:
    town = Town()
    unproven = await town.enrol("unproven", tokens=(), proven=False)
    await town.store.transact(lambda tx: tx.targets.add(replace(ALERT, registration_id=unproven.id)))
    new = await town.joined("new", ALERT)
    assert not town.asked(new)


@pytest.mark.parametrize("provider", [Provider.WEBPUSH, Provider.UNIFIEDPUSH])
async def test_a_subscription_proves_itself_by_its_keys_and_without_them_both_keep_it(
    provider: Provider,
) -> None:
    town = Town()
    keys = {"p256dh": "BCVxsr7N", "auth": "BTBZMqHH6r4Tts7J_aSIgg"}
    endpoint = target("https://push.example/1", provider=provider, **keys)
    old = await town.joined("old", endpoint)
    stranger = await town.joined("stranger", replace(endpoint, auth=Secret("AAAAAAAAAAAAAAAAAAAAAA")))
    assert town.tokens(old)
    assert bool(town.asked(stranger)) is (provider is Provider.UNIFIEDPUSH), "a browser shows every push"
    await town.lives.end(stranger.id, Ended.DELETED)
    for left in town.targets(stranger.id):
        await town.store.transact(lambda tx: tx.targets.remove(left.id))  # noqa: B023 - run at once
    new = await town.joined("new", endpoint)
    assert (town.tokens(old), town.tokens(new)) == ([], ["https://push.example/1"])
    assert not town.asked(new)


async def test_a_token_that_came_back_after_it_was_refused_lives_again() -> None:
    town = Town()
    phone = await town.joined("phone", ALERT)
    (row,) = town.targets(phone.id)
    await town.store.transact(lambda tx: tx.targets.update(replace(row, refused_at=town.clock.now())))
    town.clock.advance(1000)
    now = town.clock.now()
    wanted = [TargetRequest(provider=row.provider, purposes=row.purposes, token=row.token)]
    await town.store.transact(lambda tx: set_targets(tx, phone.id, wanted, now))
    (again,) = town.targets(phone.id)
    assert (again.id, again.refused_at, again.reported_at) == (row.id, 0, now)
    await town.lives.target_gone(again, TargetGone("Unregistered", gone_at=now - 1))
    assert town.tokens(phone) == ["alert"], "what was refused before the report says nothing of it"
    await town.lives.target_gone(again, TargetGone("Unregistered", gone_at=now + 1))
    assert town.tokens(phone) == []
