"""The front door: who gets which request, and what is answered at once."""

from __future__ import annotations

import pytest

from tests.system.asking import at_pbx, request, stranger
from tests.system.calls_world import DOMAIN, PBX, SECOND, US, World
from wakerobin.core.sip.forking import loop_hash
from wakerobin.core.sip.message import Message, respond
from wakerobin.core.values import Account, Transport
from wakerobin.ports.options import SipOptions
from wakerobin.ports.sip import ServerTransactionHandle

HERE = f"sip:{US[0]}:{US[1]}"


def contact(account: Account) -> str:
    """Our Contact at the PBX."""
    return f"sip:{account.contact_user}@{US[0]}:{US[1]}"


def to_phone(world: World, method: str) -> list[Message]:
    """Requests of this method that went to the phone's address."""
    return [one for one in world.sent_to("203.0.113.5") if one.method == method]


# At our Contact


async def test_options_of_the_pbx_is_answered_by_us_and_wakes_nobody() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        await world.registered()
        answer = await at_pbx(world).ask(request("OPTIONS", contact(account)))
        assert answer.status == 200
        allowed = set((answer.get("allow") or "").split(", "))
        assert {"INVITE", "NOTIFY", "SUBSCRIBE", "MESSAGE"} <= allowed
        assert {"application/sdp", "text/plain"} <= set((answer.get("accept") or "").split(", "))
        assert answer.has("supported")
        assert not to_phone(world, "OPTIONS")
        assert not world.pushes.sent


async def test_a_message_waiting_indication_is_accepted_and_wakes_nobody() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        await world.registered()
        asked = request("NOTIFY", contact(account), ("Event", "Message-Summary;id=1"))
        assert (await at_pbx(world).ask(asked)).status == 200
        assert not to_phone(world, "NOTIFY")
        assert not world.pushes.sent


@pytest.mark.parametrize("method", ["NOTIFY", "REFER", "SUBSCRIBE", "INFO", "PUBLISH", "FROBNICATE"])
async def test_what_nobody_is_woken_for_reaches_a_phone_that_is_there(method: str) -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        phone = await world.registered()
        asked = request(method, contact(account), ("Event", "check-sync"), ("Max-Breadth", "4"))
        assert (await at_pbx(world).ask(asked)).status == 200
        (sent,) = to_phone(world, method)
        assert sent.uri == phone.contact
        assert sent.max_forwards == 69
        assert len(sent.values("record-route")) == (2 if method in ("REFER", "SUBSCRIBE") else 0)
        assert not world.pushes.sent


@pytest.mark.parametrize("method", ["NOTIFY", "REFER", "SUBSCRIBE", "INFO", "PUBLISH", "FROBNICATE"])
async def test_what_nobody_is_woken_for_gets_480_while_all_phones_sleep(method: str) -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        answer = await at_pbx(world).ask(request(method, contact(account), ("Event", "check-sync")))
        assert answer.status == 480
        assert not world.pushes.sent


async def test_of_several_phones_the_first_final_answer_counts() -> None:
    world = World()
    async with world.running():
        account = await world.enrol(registrations=2)
        first = await world.registered()
        second = await world.registered(address="203.0.113.6")
        silent: list[ServerTransactionHandle] = []
        first.transactions.on_request = silent.append
        second.transactions.on_request = lambda one: one.respond(respond(one.request, 489, to_tag="x"))
        asker = at_pbx(world)
        answer = await asker.ask(request("NOTIFY", contact(account), ("Event", "talk")))
        assert answer.status == 489
        silent[0].respond(respond(silent[0].request, 200, to_tag="y"))
        await world.run_for(1 * SECOND)
        assert [one.status for one in asker.responses] == [489]


async def test_a_phone_that_asks_for_a_password_has_not_answered() -> None:
    world = World()
    async with world.running():
        account = await world.enrol(registrations=2)
        first = await world.registered()
        second = await world.registered(address="203.0.113.6")
        first.transactions.on_request = lambda one: one.respond(respond(one.request, 401, to_tag="x"))
        silent: list[ServerTransactionHandle] = []
        second.transactions.on_request = silent.append
        asker = at_pbx(world)
        asker.send(request("NOTIFY", contact(account), ("Event", "talk")))
        await world.run_for(1 * SECOND)
        assert not asker.responses
        silent[0].respond(respond(silent[0].request, 407, to_tag="y"))
        await world.until(lambda: bool(asker.responses), 1 * SECOND)
        assert asker.responses[0].status == 480


@pytest.mark.parametrize("method", ["BYE", "PRACK", "UPDATE"])
async def test_what_makes_sense_only_in_a_dialog_gets_481_outside_one(method: str) -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        await world.registered()
        assert (await at_pbx(world).ask(request(method, contact(account)))).status == 481
        assert not to_phone(world, method)


@pytest.mark.parametrize(
    ("method", "status", "retry_after"),
    [("UPDATE", 500, "5"), ("INVITE", 500, "5"), ("PRACK", 481, None), ("BYE", 200, None)],
)
async def test_requests_into_the_early_dialog_of_our_own_180(
    method: str, status: int, retry_after: str | None
) -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        call = world.pbx.call("alice")
        await world.until(lambda: call.is_ringing)
        tag = next(one.to_tag for one in call.responses if one.status == 180)
        asked = request(method, contact(account), ("Call-ID", call.call_id), tag=tag)
        answer = await at_pbx(world).ask(asked)
        assert (answer.status, answer.get("retry-after")) == (status, retry_after)
        if method == "BYE":
            await world.until(lambda: call.final == 487)


async def test_a_cancel_of_the_pbx_ends_the_call_at_the_phone() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call = world.pbx.call("alice")
        await world.until(lambda: call.is_ringing)
        call.cancel('SIP;cause=200;text="Call completed elsewhere"')
        await world.until(lambda: phone.calls[0].is_cancelled)
        assert phone.calls[0].requests[0].get("reason") == 'SIP;cause=200;text="Call completed elsewhere"'
        await world.until(lambda: call.final == 487)


async def test_a_call_that_replaces_another_goes_to_phones_that_are_awake_and_wakes_nobody() -> None:
    world = World()
    async with world.running():
        account = await world.enrol(registrations=2)
        phone = await world.registered(instance="urn:uuid:2")
        asked = request("INVITE", contact(account), ("Replaces", "a@b;to-tag=1;from-tag=2"))
        at_pbx(world).send(asked)
        await world.until(lambda: bool(phone.calls), 1 * SECOND)
        invite = phone.calls[0].invite
        assert invite is not None
        assert invite.get("replaces") == "a@b;to-tag=1;from-tag=2"
        await world.run_for(40 * SECOND)
        assert not world.pushes.sent


async def test_a_call_that_replaces_another_gets_480_at_once_while_all_phones_sleep() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        asked = request("INVITE", contact(account), ("Replaces", "a@b;to-tag=1;from-tag=2"))
        assert (await at_pbx(world).ask(asked, 1 * SECOND)).status == 480
        assert not world.pushes.sent


async def test_a_flood_of_calls_on_one_contact_is_answered_503() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        asker = at_pbx(world)
        for number in range(80):
            asker.send(request("INVITE", contact(account), ("CSeq", f"{number} INVITE")))
        await world.run_for(1 * SECOND)
        refused = [one for one in asker.responses if one.status == 503]
        assert len(refused) == 20
        assert all(one.get("retry-after") == "1" for one in refused)


# Who may ring


async def test_under_strict_only_the_pbx_may_ring() -> None:
    world = World(sip=SipOptions(call_sources_policy="strict", call_sources=("203.0.113.96/28",)))
    async with world.running():
        account = await world.enrol()
        assert (await stranger(world, "192.0.2.66").ask(request("INVITE", contact(account)))).status == 403
        assert not world.pushes.sent
        asker = stranger(world, "203.0.113.99")  # one of call_sources
        asker.send(request("INVITE", contact(account)))
        await world.until(lambda: bool(world.pushes.sent), 1 * SECOND)


async def test_an_unknown_user_gets_404_and_another_host_403() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        assert (await at_pbx(world).ask(request("INVITE", f"sip:nobody@{US[0]}"))).status == 404
        assert (await stranger(world).ask(request("INVITE", "sip:nobody@elsewhere.example"))).status == 403


@pytest.mark.parametrize("by", ["to", "called-party", "request-uri"])
async def test_a_pbx_that_writes_the_number_instead_of_our_contact_is_understood(by: str) -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        alice = f"sip:alice@{DOMAIN}"
        asked = {
            "to": request("INVITE", f"sip:4930123@{US[0]}", to=alice),
            "called-party": request(
                "INVITE", f"sip:4930123@{US[0]}", ("P-Called-Party-ID", f"<{alice}>"), to="sip:x@y.example"
            ),
            "request-uri": request("INVITE", alice, to="sip:x@y.example"),
        }[by]
        at_pbx(world).send(asked)
        await world.until(lambda: bool(phone.calls), 1 * SECOND)


async def test_a_pbx_that_writes_its_users_name_at_our_address_is_understood_and_nobody_else() -> None:
    world = World(sip=SipOptions(contact_user={DOMAIN: "aor"}))
    async with world.running():
        await world.enrol()
        call = request("INVITE", f"sip:alice@{US[0]}:{US[1]}", to="sip:+49301@elsewhere.example")
        assert (await stranger(world, "203.0.113.99").ask(call)).status == 404
        assert not world.pushes.sent
        at_pbx(world).send(call)
        await world.until(lambda: bool(world.pushes.sent), 1 * SECOND)


async def test_another_address_of_the_pbx_s_name_may_write_the_number_too() -> None:
    world = World()
    world.names.zone[DOMAIN] = [PBX[0], "198.51.100.10"]
    async with world.running():
        await world.enrol()
        asked = request("INVITE", f"sip:4930123@{US[0]}", to=f"sip:alice@{DOMAIN}")
        stranger(world, "198.51.100.10").send(asked)
        await world.until(lambda: bool(world.pushes.sent), 1 * SECOND)


async def test_a_stranger_is_not_helped_by_knowing_a_name() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        asked = request("INVITE", f"sip:4930123@{US[0]}", to=f"sip:alice@{DOMAIN}")
        assert (await stranger(world).ask(asked)).status == 404
        assert not phone.calls


async def test_a_name_that_two_apps_have_is_nobody_s() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        await world.enrol(app="another")
        asked = request("INVITE", f"sip:4930123@{US[0]}", to=f"sip:alice@{DOMAIN}")
        assert (await at_pbx(world).ask(asked)).status == 404


async def test_a_call_to_another_phone_of_the_house_goes_by_its_pbx() -> None:
    world = World("alice", "bob")
    async with world.running():
        await world.enrol("alice")
        bob = await world.enrol("bob")
        phone = await world.registered("alice")
        there = await world.registered("bob", address="203.0.113.7")
        call = phone.dial(contact(bob))
        await world.until(lambda: call.answered_with is not None)
        assert not there.calls, "the PBX took it: its rules apply, and nobody gets past them by us"


# What is answered at once (RFC 3261 16.3)


async def test_options_to_the_server_itself_is_answered() -> None:
    world = World()
    async with world.running():
        answer = await stranger(world).ask(request("OPTIONS", HERE))
        assert (answer.status, answer.to_tag is not None) == (200, True)


@pytest.mark.parametrize(
    ("uri", "headers", "status"),
    [
        ("sips:{user}@198.51.100.1", (), 480),
        ("mailto:{user}", (), 416),
        ("sip:{user}@198.51.100.1", (("Max-Forwards", "0"),), 483),
        ("sip:{user}@198.51.100.1", (("Proxy-Require", "sec-agree, foo"),), 420),
        ("sip:{user}@198.51.100.1", (("Max-Forwards", "70"), ("Require", "100rel")), 0),
    ],
)
async def test_what_a_proxy_must_refuse(uri: str, headers: tuple[tuple[str, str], ...], status: int) -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        phone = await world.registered()
        asker = at_pbx(world)
        asked = request("INVITE", uri.format(user=account.contact_user), *headers)
        if status:
            answer = await asker.ask(asked)
            assert answer.status == status
            assert answer.get("unsupported") == ("sec-agree, foo" if status == 420 else None)
            assert not phone.calls
        else:  # what is required of the phone is the phone's to judge
            asker.send(asked)
            await world.until(lambda: bool(phone.calls), 1 * SECOND)


async def test_a_call_whose_hops_are_used_up_wakes_nobody() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        answer = await at_pbx(world).ask(request("INVITE", contact(account), ("Max-Forwards", "0")))
        assert answer.status == 483
        await world.run_for(1 * SECOND)
        assert not world.pushes.sent


async def test_options_are_answered_even_where_the_hops_are_used_up() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        asked = request("OPTIONS", contact(account), ("Max-Forwards", "0"))
        assert (await at_pbx(world).ask(asked)).status == 200


async def test_a_request_that_may_spread_no_further_gets_440() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        await world.registered()
        asked = request("INFO", contact(account), ("Max-Breadth", "0"))
        assert (await at_pbx(world).ask(asked)).status == 440
        assert not to_phone(world, "INFO")
        asked = request("INVITE", contact(account), ("Max-Breadth", "0"))
        assert (await at_pbx(world).ask(asked)).status == 440
        assert not world.pushes.sent


async def test_a_request_that_comes_back_unchanged_is_a_loop() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        await world.registered()
        asked = request("NOTIFY", contact(account), ("Event", "talk"))
        asked.add("Via", f"SIP/2.0/UDP {US[0]};branch=z9hG4bKabc.{loop_hash(asked)}")
        assert (await at_pbx(world).ask(asked)).status == 482
        asked.set("Via", f"SIP/2.0/UDP {US[0]};branch=z9hG4bKabc.00000000")
        asked.set("Call-ID", "a spiral is no loop")
        assert (await at_pbx(world).ask(asked)).status == 200


async def test_a_loop_through_a_peer_that_sends_everything_back_ends() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        there = world.pbx.transactions
        statuses: list[int] = []

        def back(transaction: ServerTransactionHandle) -> None:
            def answered(response: Message) -> None:
                statuses.append(response.status)
                forward = response.copy()
                forward.pop_first("via")
                transaction.respond(forward)

            there.request(transaction.request, transaction.flow, answered, lambda _reason: None)

        there.on_request = back
        answer = await world.do(phone.send(phone.request_to("MESSAGE", f"sip:100@{DOMAIN}")))
        # It comes from the PBX the second time, and nobody here is meant by it.
        assert answer.status == 403
        assert len(statuses) == 1


@pytest.mark.parametrize(("option", "status"), [("path", 401), ("outbound", 401), ("frobnicate", 420)])
async def test_what_a_register_may_require_of_us(option: str, status: int) -> None:
    world = World()
    async with world.running():
        asked = request("REGISTER", f"sip:{DOMAIN}", ("Require", option), to=f"sip:alice@{DOMAIN}")
        answer = await stranger(world).ask(asked)
        assert answer.status == status
        assert answer.get("unsupported") == ("frobnicate" if status == 420 else None)


async def test_a_cancel_after_the_final_response_changes_nothing() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        phone = await world.registered()
        asker = at_pbx(world)
        invite = request("INVITE", contact(account))
        handle = asker.send(invite)
        await world.until(lambda: bool(phone.calls), 1 * SECOND)
        phone.calls[0].answer()
        await world.until(lambda: asker.responses[-1].status == 200, 1 * SECOND)
        cancel = Message.request("CANCEL", invite.uri, [("Max-Forwards", "70")])
        cancel.copy_lines(invite, {"from", "to", "call-id"})
        cancel.add("CSeq", f"{invite.cseq.number} CANCEL")
        world.wire.drops = lambda flow, _data: flow.remote[0] == "203.0.113.5"
        seen: list[Message] = []
        world.pbx.transactions.request(
            cancel, asker.endpoint.flow_to(Transport.UDP, *US), seen.append, lambda _: None, handle.branch
        )
        await world.until(lambda: bool(seen), 1 * SECOND)
        assert seen[0].status == 200
        assert not [one for one in world.sent_to("203.0.113.5") if one.method == "CANCEL"]
