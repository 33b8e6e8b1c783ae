"""Phones register: the challenge, the proof, their flows, and which push registration it was."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest

from tests.system.calls_world import DOMAIN, KEY, SECOND, US, World, entropy, request, stranger
from wakerobin.core.sip import digest
from wakerobin.core.sip.message import Message
from wakerobin.core.tokens import TokenKeys
from wakerobin.core.values import (
    Account,
    Algorithm,
    Credentials,
    Ended,
    Life,
    PushRegistration,
    RealmKey,
    Secret,
    Transport,
)
from wakerobin.ports.store import Transaction
from wakerobin.services.phones.proof import Doorkeeper
from wakerobin.testing.memory import Fault
from wakerobin.testing.phone import FakePhone


def life(world: World, registration: PushRegistration) -> Life:
    """The life of a push registration."""
    found = world.store.read(lambda tx: tx.lives.get(registration.id))
    assert found is not None
    return found


def registrations(world: World, account: Account) -> list[PushRegistration]:
    """The living push registrations of an account."""
    return world.store.read(lambda tx: tx.registrations.of_account(account.id))


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


@pytest.mark.parametrize("transport", list(Transport))
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
        (registration,) = registrations(world, account)
        before = life(world, registration)
        await world.run_for(60 * SECOND)
        phone = world.phone()
        phone.password = "wrong"
        assert (await world.do(phone.register())).status == 403
        assert not world.phones.flows(account.id)
        assert life(world, registration) == before
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


async def test_a_source_that_has_shown_the_password_is_never_slowed() -> None:
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


# Expiry and Contacts


@pytest.mark.parametrize(
    ("asked", "status", "granted"),
    [(300, 200, 300), (60, 200, 60), (59, 423, 0), (1, 423, 0), (3601, 200, 3600), (2**32 - 1, 200, 3600)],
)
async def test_the_expiry_is_granted_within_bounds(asked: int, status: int, granted: int) -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        phone = world.phone()
        response = await world.do(phone.register(asked))
        assert response.status == status
        if status == 200:
            assert contacts(response) == {phone.contact: granted}
        else:
            assert response.get("min-expires") == "60"
            assert not world.phones.flows(account.id)


async def test_a_flow_that_is_not_refreshed_ends_and_the_push_registration_does_not() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        phone = world.phone()
        await world.do(phone.register(60))
        (registration,) = registrations(world, account)
        before = life(world, registration)
        await world.run_for(59 * SECOND)
        assert world.phones.flows(account.id)
        await world.run_for(2 * SECOND)
        assert not world.phones.flows(account.id)
        await world.run_for(10 * SECOND)
        assert life(world, registration) == before


async def test_expires_0_ends_the_flow_and_is_no_use() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        phone = await world.registered()
        (registration,) = registrations(world, account)
        before = life(world, registration)
        await world.run_for(30 * SECOND)
        response = await world.do(phone.unregister())
        assert (response.status, contacts(response)) == (200, {})
        assert not world.phones.flows(account.id)
        assert life(world, registration) == before
        assert len(world.arrived) == 1


async def test_a_star_takes_back_all_contacts_and_only_with_expires_0() -> None:
    world = World()
    async with world.running():
        account = await world.enrol(registrations=2)
        phone = await world.registered()
        await world.registered(address="203.0.113.6")
        assert len(world.phones.flows(account.id)) == 2
        assert (await world.do(phone.register(300, contact="*"))).status == 400
        response = await world.do(phone.register(0, contact="*"))
        assert (response.status, response.contacts) == (200, [])
        assert not world.phones.flows(account.id)


async def test_a_phone_that_moved_takes_its_old_contact_back_without_losing_the_new_one() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        phone = await world.registered()
        old = phone.contact
        both = f"<sip:alice@203.0.113.5:7777>, <{old}>;expires=0"
        assert (await world.do(phone.register(contact=both))).status == 200
        assert [one.contact_uri for one in world.phones.flows(account.id)] == ["sip:alice@203.0.113.5:7777"]
        late = f"<{old}>;expires=0"
        assert (await world.do(phone.register(contact=late))).status == 200
        assert [one.contact_uri for one in world.phones.flows(account.id)] == ["sip:alice@203.0.113.5:7777"]


async def test_a_register_without_contact_lists_what_is_there_and_is_no_use() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        phone = await world.registered()
        (registration,) = registrations(world, account)
        before = life(world, registration)
        await world.run_for(30 * SECOND)
        asked = request("REGISTER", f"sip:{DOMAIN}", to=phone.aor)
        asked.remove("contact")
        challenged = await world.do(phone.send(asked.copy()))
        ha1 = digest.ha1(digest.Algorithm.MD5, "alice", DOMAIN, "pw-alice")
        challenge = digest.challenges(challenged)[0]
        value = digest.answer(
            challenge, username="alice", ha1=ha1, method="REGISTER", uri=asked.uri, nc=1, cnonce="c"
        )
        asked.add("Authorization", value)
        response = await world.do(phone.send(asked))
        assert contacts(response) == {phone.contact: 270}
        assert life(world, registration) == before


async def test_only_the_contacts_of_this_account_are_listed() -> None:
    world = World("alice", "bob")
    async with world.running():
        await world.enrol("alice")
        await world.enrol("bob")
        await world.registered("bob", address="203.0.113.7")
        phone = world.phone("alice")
        assert contacts(await world.do(phone.register())) == {phone.contact: 300}


@pytest.mark.parametrize(
    "contact", ["<mailto:alice@pbx.test>", "<sip:alice@203.0.113.5?Subject=x>", "<sip:>"]
)
async def test_a_contact_that_leads_to_no_phone_is_refused(contact: str) -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        assert (await world.do(world.phone().register(contact=contact))).status == 400
        assert not world.phones.flows(account.id)


async def test_a_path_in_front_of_us_is_kept_and_told() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        phone = world.phone()
        asked = phone.request_to("REGISTER", f"sip:{DOMAIN}")
        asked.remove("route")
        asked.set("To", f"<{phone.aor}>")
        asked.add("Path", "<sip:edge@203.0.113.5;lr>")
        challenge = digest.challenges(await world.do(phone.send(asked.copy())))[0]
        ha1 = digest.ha1(digest.Algorithm.MD5, "alice", DOMAIN, "pw-alice")
        value = digest.answer(
            challenge, username="alice", ha1=ha1, method="REGISTER", uri=asked.uri, nc=1, cnonce="c"
        )
        asked.add("Authorization", value)
        response = await world.do(phone.send(asked))
        assert response.values("path") == ["<sip:edge@203.0.113.5;lr>"]
        assert world.phones.flows(account.id)[0].path == ("<sip:edge@203.0.113.5;lr>",)
        world.pbx.call("alice")
        await world.until(lambda: bool(phone.calls), 1 * SECOND)
        assert phone.calls[0].invite is not None
        assert phone.calls[0].invite.values("route") == ["<sip:edge@203.0.113.5;lr>"]


@pytest.mark.parametrize(
    ("contact", "supported", "required"),
    [(";reg-id=1", "outbound", "outbound"), (";reg-id=1", "path", None), ("", "outbound", None)],
)
async def test_outbound_is_confirmed_only_where_it_was_asked_for(
    contact: str, supported: str, required: str | None
) -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = world.phone()
        asked = phone.request_to("REGISTER", f"sip:{DOMAIN}")
        asked.set("To", f"<{phone.aor}>")
        asked.set("Contact", f"<{phone.contact}>{contact}")
        asked.add("Supported", supported)
        challenge = digest.challenges(await world.do(phone.send(asked.copy())))[0]
        ha1 = digest.ha1(digest.Algorithm.MD5, "alice", DOMAIN, "pw-alice")
        value = digest.answer(
            challenge, username="alice", ha1=ha1, method="REGISTER", uri=asked.uri, nc=1, cnonce="c"
        )
        asked.add("Authorization", value)
        response = await world.do(phone.send(asked))
        assert (response.status, response.get("require")) == (200, required)


# Flows


async def test_the_newest_flow_of_an_installation_counts() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        phone = await world.registered()
        world.move(phone, "203.0.113.77")
        await world.do(phone.register())
        assert [one.flow.remote[0] for one in world.phones.flows(account.id)] == ["203.0.113.77"]
        assert world.phones.current(account.id, world.arrived[-1].registration_id) == world.arrived[-1]


async def test_a_closed_connection_ends_its_flow() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        await world.registered(transport=Transport.TCP)
        (flow,) = world.phones.flows(account.id)
        world.us.close_flow(flow.flow)
        await world.clock.settle()
        assert not world.phones.flows(account.id)
        assert not world.phones.of_flow(flow.flow)


async def test_a_keep_alive_shows_that_a_flow_lives_and_is_no_use() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        phone = await world.registered()
        (registration,) = registrations(world, account)
        (flow,) = world.phones.flows(account.id)
        before = life(world, registration)
        await world.run_for(20 * SECOND)
        phone.endpoint.send(phone.flow, b"\r\n\r\n")
        await world.clock.settle()
        assert world.phones.flows(account.id)[0].heard_at == flow.heard_at + 20
        assert life(world, registration) == before


# Whose use it was


async def test_a_register_renews_the_life_of_the_account_s_only_registration() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        (registration,) = registrations(world, account)
        before = life(world, registration)
        await world.run_for(60 * SECOND)
        await world.registered()
        after = life(world, registration)
        assert after.expires_at == before.expires_at + 60 * SECOND
        assert after.generation == before.generation + 1


async def test_a_registration_that_waits_for_its_proof_is_not_counted() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        (registration,) = registrations(world, account)
        waiting = await world.add_registration(account, proven=False)
        await world.registered()
        assert world.arrived[0].registration_id == registration.id
        await world.registered(address="203.0.113.6", instance=waiting.sip_instance)
        assert world.arrived[1].registration_id == 0
        assert life(world, waiting).generation == 1


async def test_of_several_registrations_the_instance_says_which_one() -> None:
    world = World()
    async with world.running():
        account = await world.enrol(registrations=2)
        first, second = registrations(world, account)
        before = life(world, first)
        await world.run_for(60 * SECOND)
        await world.registered(instance=second.sip_instance.upper())
        assert world.arrived[0].registration_id == second.id
        assert life(world, first) == before
        assert life(world, second).generation == 2


async def test_of_several_registrations_a_uri_parameter_says_which_one() -> None:
    world = World()
    async with world.running():
        account = await world.enrol(registrations=2)
        _, second = registrations(world, account)
        phone = world.phone()
        phone.contact_params = f";wr-reg={second.public_id}"
        assert (await world.do(phone.register())).status == 200
        assert world.arrived[0].registration_id == second.id


async def test_a_phone_that_names_none_of_several_registrations_rings_and_renews_nothing() -> None:
    world = World()
    async with world.running():
        account = await world.enrol(registrations=2)
        before = [life(world, one) for one in registrations(world, account)]
        await world.run_for(60 * SECOND)
        phone = await world.registered(instance="urn:uuid:of-a-desk-phone")
        assert world.arrived[0].registration_id == 0
        assert [life(world, one) for one in registrations(world, account)] == before
        world.pbx.call("alice")
        await world.until(lambda: bool(phone.calls), 1 * SECOND)


async def test_a_register_of_an_ended_registration_renews_nobody_else_s() -> None:
    world = World()
    async with world.running():
        account = await world.enrol(registrations=2)
        first, second = registrations(world, account)
        await world.lives.end(first.id, Ended.DELETED)
        before = life(world, second)
        await world.run_for(60 * SECOND)
        await world.registered(instance=first.sip_instance)
        assert world.arrived[0].registration_id == 0
        assert life(world, second) == before
        assert life(world, first).ended is Ended.DELETED


async def test_the_200_comes_after_the_use_is_stored() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        (registration,) = registrations(world, account)
        seen: list[int] = []

        def drops(_flow: object, data: bytes) -> bool:
            if data.startswith(b"SIP/2.0 200") and b"REGISTER" in data:
                seen.append(life(world, registration).generation)
            return False

        phone = world.phone()
        world.wire.drops = drops
        await world.do(phone.register())
        assert seen[-1] == 2


async def test_a_store_that_hangs_costs_a_phone_a_quarter_of_a_second_and_no_use() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        (registration,) = registrations(world, account)
        phone = world.phone()
        world.store.break_next(*[Fault.BEFORE_COMMIT] * 3)
        began = world.seconds()
        assert (await world.do(phone.register())).status == 200
        assert 0.2 < world.seconds() - began < 0.3
        assert len(world.arrived) == 1, "the phone gets its calls all the same"
        assert life(world, registration).generation == 1
        await world.run_for(10 * SECOND)
        assert life(world, registration).generation == 2


async def test_many_uses_share_their_commits() -> None:
    world = World()
    async with world.running():
        account = await world.enrol(registrations=20)
        commits: list[frozenset[str]] = []
        world.store.on_commit(commits.append)
        phones = [
            world.phone(address=f"192.0.2.{number}", instance=one.sip_instance)
            for number, one in enumerate(registrations(world, account))
        ]
        await world.do(_all([phone.register() for phone in phones]))
        assert all(life(world, one).generation == 2 for one in registrations(world, account))
        assert len(commits) <= 4


async def _all(works: list[Coroutine[Any, Any, Message]]) -> list[Message]:
    return await asyncio.gather(*works)


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
