"""The flows of phones: how they begin and end, and whose use a REGISTER was."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from tests.system.asking import request
from tests.system.calls_world import DOMAIN, SECOND, World
from wakerobin.core.sip import digest
from wakerobin.core.sip.message import Message
from wakerobin.core.values import (
    Ended,
    Transport,
)
from wakerobin.testing.memory import Fault


def contacts(response: Message) -> dict[str, int]:
    """The Contacts of a 200 with their seconds."""
    return {one.uri: int(one.params["expires"] or 0) for one in response.contacts}


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
        (registration,) = world.registrations(account)
        before = world.life(registration)
        await world.run_for(59 * SECOND)
        assert world.phones.flows(account.id)
        await world.run_for(2 * SECOND)
        assert not world.phones.flows(account.id)
        await world.run_for(10 * SECOND)
        assert world.life(registration) == before


async def test_expires_0_ends_the_flow_and_is_no_use() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        phone = await world.registered()
        (registration,) = world.registrations(account)
        before = world.life(registration)
        await world.run_for(30 * SECOND)
        response = await world.do(phone.unregister())
        assert (response.status, contacts(response)) == (200, {})
        assert not world.phones.flows(account.id)
        assert world.life(registration) == before
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
        (registration,) = world.registrations(account)
        before = world.life(registration)
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
        assert world.life(registration) == before


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
        (registration,) = world.registrations(account)
        (flow,) = world.phones.flows(account.id)
        before = world.life(registration)
        await world.run_for(20 * SECOND)
        phone.endpoint.send(phone.flow, b"\r\n\r\n")
        await world.clock.settle()
        assert world.phones.flows(account.id)[0].heard_at == flow.heard_at + 20
        assert world.life(registration) == before


# Whose use it was


async def test_a_register_renews_the_life_of_the_account_s_only_registration() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        (registration,) = world.registrations(account)
        before = world.life(registration)
        await world.run_for(60 * SECOND)
        await world.registered()
        after = world.life(registration)
        assert after.expires_at == before.expires_at + 60 * SECOND
        assert after.generation == before.generation + 1


async def test_a_registration_that_waits_for_its_proof_is_not_counted() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        (registration,) = world.registrations(account)
        waiting = await world.add_registration(account, proven=False)
        await world.registered()
        assert world.arrived[0].registration_id == registration.id
        await world.registered(address="203.0.113.6", instance=waiting.sip_instance)
        assert world.arrived[1].registration_id == 0
        assert world.life(waiting).generation == 1


async def test_of_several_registrations_the_instance_says_which_one() -> None:
    world = World()
    async with world.running():
        account = await world.enrol(registrations=2)
        first, second = world.registrations(account)
        before = world.life(first)
        await world.run_for(60 * SECOND)
        await world.registered(instance=second.sip_instance.upper())
        assert world.arrived[0].registration_id == second.id
        assert world.life(first) == before
        assert world.life(second).generation == 2


async def test_of_several_registrations_a_uri_parameter_says_which_one() -> None:
    world = World()
    async with world.running():
        account = await world.enrol(registrations=2)
        _, second = world.registrations(account)
        phone = world.phone()
        phone.contact_params = f";wr-reg={second.public_id}"
        assert (await world.do(phone.register())).status == 200
        assert world.arrived[0].registration_id == second.id


async def test_a_phone_that_names_none_of_several_registrations_rings_and_renews_nothing() -> None:
    world = World()
    async with world.running():
        account = await world.enrol(registrations=2)
        before = [world.life(one) for one in world.registrations(account)]
        await world.run_for(60 * SECOND)
        phone = await world.registered(instance="urn:uuid:of-a-desk-phone")
        assert world.arrived[0].registration_id == 0
        assert [world.life(one) for one in world.registrations(account)] == before
        world.pbx.call("alice")
        await world.until(lambda: bool(phone.calls), 1 * SECOND)


async def test_a_register_of_an_ended_registration_renews_nobody_else_s() -> None:
    world = World()
    async with world.running():
        account = await world.enrol(registrations=2)
        first, second = world.registrations(account)
        await world.lives.end(first.id, Ended.DELETED)
        before = world.life(second)
        await world.run_for(60 * SECOND)
        await world.registered(instance=first.sip_instance)
        assert world.arrived[0].registration_id == 0
        assert world.life(second) == before
        assert world.life(first).ended is Ended.DELETED


async def test_the_200_comes_after_the_use_is_stored() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        (registration,) = world.registrations(account)
        seen: list[int] = []

        def drops(_flow: object, data: bytes) -> bool:
            if data.startswith(b"SIP/2.0 200") and b"REGISTER" in data:
                seen.append(world.life(registration).generation)
            return False

        phone = world.phone()
        world.wire.drops = drops
        await world.do(phone.register())
        assert seen[-1] == 2


async def test_a_store_that_hangs_costs_a_phone_a_quarter_of_a_second_and_no_use() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        (registration,) = world.registrations(account)
        phone = world.phone()
        world.store.break_next(*[Fault.BEFORE_COMMIT] * 3)
        began = world.seconds()
        assert (await world.do(phone.register())).status == 200
        assert 0.2 < world.seconds() - began < 0.3
        assert len(world.arrived) == 1, "the phone gets its calls all the same"
        assert world.life(registration).generation == 1
        await world.run_for(10 * SECOND)
        assert world.life(registration).generation == 2


async def test_many_uses_share_their_commits() -> None:
    world = World()
    async with world.running():
        account = await world.enrol(registrations=20)
        commits: list[frozenset[str]] = []
        world.store.on_commit(commits.append)
        phones = [
            world.phone(address=f"192.0.2.{number}", instance=one.sip_instance)
            for number, one in enumerate(world.registrations(account))
        ]
        await world.do(_all([phone.register() for phone in phones]))
        assert all(world.life(one).generation == 2 for one in world.registrations(account))
        assert len(commits) <= 4


async def _all(works: list[Coroutine[Any, Any, Message]]) -> list[Message]:
    return await asyncio.gather(*works)
