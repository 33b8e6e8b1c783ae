"""Phones register: the one challenge, the proof, and what makes guessing slow."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.system.asking import request, stranger
from tests.system.calls_world import DOMAIN, KEY, SECOND, US, World, entropy
from wakerobin.core.sip import digest
from wakerobin.core.sip.message import Message
from wakerobin.core.tokens import TokenKeys
from wakerobin.core.values import (
    Account,
    Algorithm,
    Credentials,
    RealmKey,
    Secret,
    Transport,
)
from wakerobin.ports.store import Transaction
from wakerobin.services.phones.proof import Doorkeeper
from wakerobin.testing.phone import FakePhone


def contacts(response: Message) -> dict[str, int]:
    """The Contacts of a 200 with their seconds."""
    return {one.uri: int(one.params["expires"] or 0) for one in response.contacts}


async def unproven(world: World, user: str = "carol") -> Account:
    """An account whose password waits for its proof; its PBX knows nobody of that name."""

    def work(tx: Transaction) -> Account:
        account = tx.accounts.add(
            Account(
                slot=0,
                app="softphone",
                aor=f"sip:{user}@{DOMAIN}",
                auth_user=user,
                registrar="",
                contact_user=f"contact of {user}",
                instance="urn:uuid:1",
                created_at=0,
            )
        )
        tx.accounts.set_credentials(account.id, Credentials(user, password=Secret(f"pw-{user}")))
        return account

    return await world.store.transact(work)


# The challenge and the proof


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
async def test_a_phone_is_asked_once_and_then_its_flow_is_known(transport: Transport) -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        phone = world.phone(transport=transport)
        assert (await world.do(phone.register())).status == 200
        sent = [one.status for one in world.sent_to("203.0.113.5") if one.status]
        assert sent == [401, 200]
        (flow,) = world.phones.flows(account.id)
        assert flow.flow.transport is transport
        assert flow.flow.remote[0] == "203.0.113.5"
        assert flow.contact_uri == phone.contact
        assert world.arrived == [flow]
        assert world.phones.of_flow(flow.flow) == [flow]


async def test_the_one_challenge_has_the_realm_and_algorithm_that_the_pbx_accepted_from_us() -> None:
    world = World()
    world.pbx.rules.realm = "asterisk"
    world.pbx.rules.algorithms = (digest.Algorithm.SHA_256,)
    async with world.running():
        await world.enrol()
        phone = world.phone()
        assert (await world.do(phone.register())).status == 200
        (challenged,) = [one for one in world.sent_to("203.0.113.5") if one.status == 401]
        assert len(challenged.all("www-authenticate")) == 1
        (challenge,) = digest.challenges(challenged)
        assert (challenge.realm, challenge.algorithm, challenge.qop) == (
            "asterisk",
            digest.Algorithm.SHA_256,
            ("auth",),
        )
        assert not challenged.has("proxy-authenticate")


async def test_before_the_first_proof_a_phone_is_asked_in_the_name_of_its_domain() -> None:
    world = World()
    async with world.running():
        account = await unproven(world)
        phone = world.phone("carol")
        assert (await world.do(phone.register())).status == 200
        (challenged,) = [one for one in world.sent_to("203.0.113.5") if one.status == 401]
        (challenge,) = digest.challenges(challenged)
        assert (challenge.realm, challenge.algorithm) == (DOMAIN, digest.Algorithm.MD5)
        assert world.phones.flows(account.id)


async def test_an_unknown_account_and_a_wrong_password_look_the_same() -> None:
    world = World()
    async with world.running():
        await unproven(world)
        seen = []
        for user, password in (("carol", "wrong"), ("nobody", "pw-nobody")):
            phone = world.phone(user)
            phone.password = password
            assert (await world.do(phone.register())).status == 403
            answers = [one for one in world.sent_to("203.0.113.5") if one.status]
            shown = []
            for one in answers[-2:]:
                one.remove("from")
                one.remove("to")
                one.remove("call-id")
                one.remove("via")
                text = one.encode().decode()
                shown.append(re.sub(r'nonce="[^"]*"', "", text))
            seen.append(shown)
        assert seen[0] == seen[1]
        assert "SIP/2.0 401" in seen[0][0]


async def test_whoever_does_not_prove_itself_has_no_flow_and_renews_nothing() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        (registration,) = world.registrations(account)
        before = world.life(registration)
        await world.run_for(60 * SECOND)
        phone = world.phone()
        phone.password = "wrong"
        assert (await world.do(phone.register())).status == 403
        assert not world.phones.flows(account.id)
        assert world.life(registration) == before
        assert not world.arrived


async def test_the_host_of_to_may_be_in_capitals_and_have_a_port() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        phone = world.phone()
        phone.aor = "sip:alice@PBX.Test:5060;transport=udp"
        assert (await world.do(phone.register())).status == 200
        assert world.phones.flows(account.id)


async def test_the_name_that_authenticates_may_be_another_than_the_one_that_is_called() -> None:
    world = World()
    world.pbx.rules.logins = {"alice": "auth-4711"}

    def work(tx: Transaction) -> None:
        account = tx.accounts.by_aor(f"sip:alice@{DOMAIN}")[0]
        key = digest.ha1(digest.Algorithm.MD5, "auth-4711", DOMAIN, "pw-alice")
        keys = (RealmKey(DOMAIN, Algorithm.MD5, Secret(key)),)
        tx.accounts.set_credentials(account.id, Credentials("auth-4711", keys=keys))

    async with world.running():
        world.pbx.rules.logins = {}
        await world.enrol()
        await world.store.transact(work)
        assert (await world.do(world.phone().register())).status == 403
        phone = world.phone(username="auth-4711", address="203.0.113.6")
        assert (await world.do(phone.register())).status == 200


async def test_the_right_key_under_another_name_is_wrong() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        asked = request("REGISTER", f"sip:{DOMAIN}", to=f"sip:alice@{DOMAIN}")
        asker = stranger(world)
        challenge = digest.challenges(await asker.ask(asked.copy()))[0]
        ha1 = digest.ha1(digest.Algorithm.MD5, "alice", DOMAIN, "pw-alice")
        for name, status in (("mallory", 403), ("alice", 200)):
            again = asked.copy()
            value = digest.answer(
                challenge, username=name, ha1=ha1, method="REGISTER", uri=again.uri, nc=1, cnonce="c"
            )
            again.add("Authorization", value)
            assert (await asker.ask(again)).status == status


async def test_a_nonce_works_again_with_a_higher_count() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        await world.run_for(60 * SECOND)
        assert (await world.do(phone.register())).status == 200
        statuses = [one.status for one in world.sent_to("203.0.113.5") if one.status]
        assert statuses == [401, 200, 200]


async def test_an_old_nonce_is_stale_and_no_failure() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        await world.run_for(301 * SECOND)
        assert (await world.do(phone.register())).status == 200
        answers = [one for one in world.sent_to("203.0.113.5") if one.status]
        assert [one.status for one in answers] == [401, 200, 401, 200]
        assert digest.challenges(answers[2])[0].stale


async def test_an_overheard_register_is_worth_nothing_from_another_address_nor_a_second_time() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        phone = await world.registered()
        overheard = [one for one in world.sent_to(US[0]) if one.has("authorization")]
        (register,) = [one for one in overheard if one.top_via.host == "203.0.113.5"]
        register.remove("via")
        thief = stranger(world)
        answer = await thief.ask(register)
        assert answer.status == 401
        assert digest.challenges(answer)[0].stale
        assert [one.flow.remote[0] for one in world.phones.flows(account.id)] == ["203.0.113.5"]
        repeated = await world.do(phone.send(register))
        assert repeated.status == 401, "the count did not grow"


async def test_an_answer_in_the_realm_of_yesterday_is_asked_again_not_refused() -> None:
    world = World()
    async with world.running():
        account = await unproven(world)
        phone = world.phone("carol")
        assert (await world.do(phone.register())).status == 200

        def prove(tx: Transaction) -> None:
            key = digest.ha1(digest.Algorithm.MD5, "carol", "asterisk", "pw-carol")
            keys = (RealmKey("asterisk", Algorithm.MD5, Secret(key)),)
            tx.accounts.update(replace(account, realm="asterisk", proven=True))
            tx.accounts.set_credentials(account.id, Credentials("carol", keys=keys))

        await world.store.transact(prove)
        assert (await world.do(phone.register())).status == 200
        assert [one.status for one in world.sent_to("203.0.113.5") if one.status] == [401, 200, 401, 200]


# Guessing


async def _guess(world: World, phone: FakePhone) -> tuple[int, float]:
    began = world.seconds()
    response = await world.do(phone.register())
    return response.status, world.seconds() - began


async def test_wrong_passwords_are_slowed_from_the_fifth_and_more_with_each() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = world.phone()
        phone.password = "wrong"
        waits = []
        for _ in range(8):
            phone.forget_challenge()
            status, wait = await _guess(world, phone)
            assert status == 403
            waits.append(round(wait))
        assert waits == [0, 0, 0, 0, 1, 2, 4, 8]


async def test_a_right_guess_is_slowed_like_a_wrong_one() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = world.phone()
        phone.password = "wrong"
        for _ in range(6):
            phone.forget_challenge()
            await _guess(world, phone)
        phone.password = "pw-alice"
        phone.forget_challenge()
        status, wait = await _guess(world, phone)
        assert (status, round(wait)) == (200, 4), "who guesses in parallel learns nothing sooner"


async def test_guesses_beside_one_that_waits_are_not_looked_at() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = world.phone()
        phone.password = "wrong"
        for _ in range(6):
            phone.forget_challenge()
            await _guess(world, phone)
        asker = stranger(world, "203.0.113.5", port=5099)
        challenged = await asker.ask(request("REGISTER", f"sip:{DOMAIN}", to=f"sip:alice@{DOMAIN}"))
        challenge = digest.challenges(challenged)[0]
        ha1 = digest.ha1(digest.Algorithm.MD5, "alice", DOMAIN, "pw-alice")
        seen = len(asker.responses)
        for number in (1, 2, 3):
            guess = request("REGISTER", f"sip:{DOMAIN}", to=f"sip:alice@{DOMAIN}")
            value = digest.answer(
                challenge, username="alice", ha1=ha1, method="REGISTER", uri=guess.uri, nc=number, cnonce="c"
            )
            guess.add("Authorization", value)
            asker.send(guess)
        await world.run_for(1 * SECOND)
        assert [one.status for one in asker.responses[seen:]] == [503, 503]
        assert all(one.get("retry-after") for one in asker.responses[seen:])


async def test_a_source_that_has_shown_the_password_is_not_slowed_by_what_others_do() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        for number in range(30):
            enemy = world.phone(address=f"192.0.2.{number + 1}")
            enemy.password = "wrong"
            await _guess(world, enemy)
        newcomer = world.phone(address="192.0.2.200")
        status, wait = await _guess(world, newcomer)
        assert status == 200
        assert wait > 1, "an account under attack is slow for those who never came before"
        phone.forget_challenge()
        status, wait = await _guess(world, phone)
        assert (status, wait) == (200, 0)


async def test_a_guesser_behind_the_address_of_a_phone_is_slowed_and_the_phone_s_flow_is_not() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        enemy = world.phone(port=40_000)
        enemy.password = "wrong"
        waits = [(await _guess(world, enemy))[1] for _ in range(26)]
        assert waits[:20] == [0] * 20
        assert sum(waits[20:]) > 10
        phone.forget_challenge()
        assert await _guess(world, phone) == (200, 0)
        # It moved behind its NAT while the guesser goes on: seconds, and it is in.
        elsewhere = world.phone(port=40_001)
        status, wait = await _guess(world, elsewhere)
        assert status == 200
        assert wait <= 8.1


async def test_our_own_nonces_are_known_again_and_nobody_else_s() -> None:
    ours = Doorkeeper(TokenKeys(KEY), entropy("a"))
    others = Doorkeeper(TokenKeys(b"a key of another server"), entropy("b"))
    for doorkeeper, is_ours in ((ours, True), (others, False)):
        value = doorkeeper.challenge(f"sip:alice@{DOMAIN}", None, 1e9, "udp:x", stale=False)
        message = Message.response(401, headers=[("WWW-Authenticate", value)])
        challenge = digest.challenges(message)[0]
        answer = digest.answer(
            challenge, username="alice", ha1="0" * 32, method="INVITE", uri="sip:x", nc=1, cnonce="c"
        )
        assert ours.issued(answer, f"sip:alice@{DOMAIN}") is is_ours
        assert not ours.issued(answer, f"sip:bob@{DOMAIN}")
    assert not ours.issued("Basic abc", f"sip:alice@{DOMAIN}")
