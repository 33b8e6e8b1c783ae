"""What others must not get by what they know of a phone that never enrolled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.system.asking import request, stranger
from tests.system.calls_world import APP, DOMAIN, PBX, SECOND, World, entropy
from tests.system.guests_world import (
    ALL,
    INSTANCE,
    RESOURCE,
    arrived,
    guest_phone,
    sponsored,
    stored,
    to_guest,
)
from wakerobin.core.gate import Allowances, Gate
from wakerobin.core.sip.message import Message
from wakerobin.core.values import Transport
from wakerobin.net.guard import Guard
from wakerobin.services.guests import Sponsor
from wakerobin.testing.pbx import FakePbx
from wakerobin.testing.phone import FakePhone

OTHER, OTHER_DOMAIN = ("198.51.100.10", 5060), "other.test"
STRANGER = "203.0.113.99"


async def test_who_shows_our_path_is_taken_for_a_pbx_only_where_the_pbx_is() -> None:
    # Every phone reads our Path in its 2xx (RFC 3327 5.3), and over UDP anybody writes any source.
    world = sponsored()
    guard = Guard(world.clock, Gate(Allowances()))
    world.guests._around = replace(world.guests._around, gate=guard)
    async with world.running():
        await arrived(world)
        assert (await stranger(world, STRANGER).ask(to_guest(world, "MESSAGE"))).status == 200
        assert not guard.is_pbx(STRANGER)
        call = world.pbx.call("alice")
        await world.until(lambda: call.is_ringing)
        assert guard.is_pbx(PBX[0])


def with_another_pbx() -> tuple[World, FakePbx]:
    """Return a world whose app serves two PBXs; the other one looks at user names only, as Asterisk does."""
    world = World(sponsors=[Sponsor(APP, (DOMAIN, OTHER_DOMAIN), ALL)])
    other = FakePbx({"alice": "of the other alice"}, domain=DOMAIN, entropy=entropy("other"))
    there = world.wire.endpoint(*OTHER)
    other.attach(world.layer(there, "other pbx"), there, world.clock)
    world.names.zone |= {OTHER_DOMAIN: [OTHER[0]]}
    return world, other


def elsewhere(phone: FakePhone, way: str) -> FakePhone:
    """Let a phone ask the other PBX about a user of the first one's domain."""
    phone.password = "of the other alice"
    if way == "request-uri":
        phone.domain = OTHER_DOMAIN
        return phone
    send = phone.transactions.request

    def routed(request: Message, *rest: Any) -> Any:
        request.add("Route", f"<sip:{OTHER_DOMAIN};lr>")
        return send(request, *rest)

    # It has no setting for that.
    phone.transactions.request = routed  # type: ignore[method-assign, assignment]
    return phone


@pytest.mark.parametrize("way", ["request-uri", "route"])
@pytest.mark.parametrize(
    ("instance", "resource"), [(INSTANCE, "new"), ("", ""), ("", "new")], ids=["instance", "resource", "many"]
)
async def test_another_pbx_s_word_for_a_user_of_the_same_name_takes_nothing_from_a_phone(
    way: str, instance: str, resource: str
) -> None:
    world, other = with_another_pbx()
    other.rules.most_contacts = 100
    async with world.running():
        phone = await arrived(world)
        (before,) = stored(world)
        for number in range(22 if (instance, resource) == ("", "new") else 1):  # more than are kept of a user
            params = f"{RESOURCE}{resource and resource + str(number)}"
            thief = guest_phone(world, params, address=f"203.0.113.{100 + number}", instance=instance)
            assert (await world.do(elsewhere(thief, way).register())).status == 200
            await world.run_for(SECOND)
        assert {one.number: one for one in stored(world)}[before.number] == before
        taken_back = elsewhere(guest_phone(world, address="203.0.113.99"), way)
        await world.do(taken_back.register(expires=0, contact="*"))
        await world.run_for(SECOND)
        assert {one.number: one for one in stored(world)}[before.number] == before
        call = world.pbx.call("alice")
        await world.until(lambda: call.is_ringing)
        assert len(phone.calls) == 1


@pytest.mark.parametrize("answers", [False, True])
async def test_what_is_forged_over_udp_keeps_no_phone_from_its_pbx(answers: bool) -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world, transport=Transport.TCP)
        forger = stranger(world, "203.0.113.5", 6060)
        for wait in (*[SECOND // 4] * 40, 0):
            for _ in range(5):
                forged = request("REGISTER", f"sip:{DOMAIN}", ("Contact", f"<{phone.contact}>"), to=phone.aor)
                if answers:
                    said = 'Digest username="alice", realm="pbx.test", nonce="x", uri="sip:x", response="0"'
                    forged.add("Authorization", said)
                forger.send(forged)
            await world.run_for(wait)
        assert {one.status for one in forger.responses} >= {503}
        assert (await world.do(phone.register())).status == 200


async def test_who_guesses_locks_no_phone_out_that_shows_its_push_resource_in_another_network() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        refused = 0
        for number in range(30):
            guesser = guest_phone(world, "", address=f"203.0.113.{100 + number}")
            guesser.password = "a guess"
            refused += (await world.do(guesser.register())).status == 503
        assert refused
        world.move(phone, "203.0.113.99", 7070)
        phone.forget_challenge()
        assert (await world.do(phone.register())).status == 200
