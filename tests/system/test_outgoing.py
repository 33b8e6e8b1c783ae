"""Calls and other requests that phones begin: whose they must be, and which way they go."""

from __future__ import annotations

import asyncio

import pytest

from tests.system.asking import request, stranger
from tests.system.calls_world import DOMAIN, PBX, SECOND, US, World
from wakerobin.core.sip.header import NameAddr
from wakerobin.core.sip.message import Message, respond
from wakerobin.core.sip.uri import SipUri
from wakerobin.core.tokens import Side
from wakerobin.core.values import Transport
from wakerobin.ports.options import SipOptions
from wakerobin.ports.sip import ServerTransactionHandle
from wakerobin.testing.phone_call import PhoneCall


def invites_at_pbx(world: World) -> list[Message]:
    """The INVITEs that went to the PBX."""
    return [one for one in world.sent_to(PBX[0]) if one.method == "INVITE"]


def ring_only(world: World) -> list[ServerTransactionHandle]:
    """Let the PBX ring and never answer; returns the INVITEs as they come."""
    came: list[ServerTransactionHandle] = []

    def requested(transaction: ServerTransactionHandle) -> None:
        came.append(transaction)
        transaction.respond(respond(transaction.request, 180, to_tag="pbx", record_route=True))

    world.pbx.transactions.on_request = requested
    return came


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
async def test_a_phone_dials_out_and_answers_the_pbx_s_own_challenge(transport: Transport) -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered(transport=transport)
        call = phone.dial("100")
        await world.until(lambda: call.answered_with is not None)
        assert [one.status for one in call.responses] == [100, 407, 100, 180, 200]
        call.hang_up()
        await world.until(lambda: call.responses[-1].cseq.method == "BYE")
        assert call.responses[-1].status == 200
        assert world.pbx.taken[call.call_id].is_over


async def test_a_phone_asks_for_its_mailbox_itself_and_the_news_of_it_come_to_it() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        came = ring_only(world)
        asked = phone.request_to("SUBSCRIBE", f"sip:alice@{DOMAIN}")
        asked.set("Event", "message-summary")
        asked.set("Contact", f"<{phone.contact}>")
        asking = asyncio.create_task(phone.send(asked))
        await world.until(lambda: bool(came))
        subscribe = came[0].request
        assert subscribe.get("event") == "message-summary"
        contact = ("Contact", f"<sip:mailbox@{PBX[0]}:{PBX[1]}>")
        headers = [contact, ("Expires", "600")]
        came[0].respond(respond(subscribe, 200, to_tag="pbx", headers=headers, record_route=True))
        assert (await world.do(wait_for(asking))).status == 200
        routes = [("Route", value) for value in subscribe.values("record-route")]
        said = ("Content-Type", "application/simple-message-summary")
        news = request("NOTIFY", phone.contact, *routes, contact, ("Event", "message-summary"), said)
        news.set("From", f"<sip:alice@{DOMAIN}>;tag=pbx")
        news.set("To", subscribe.get("from") or "")
        news.set("Call-ID", subscribe.call_id)
        news.body = b"Messages-Waiting: yes\r\n"
        flow = world.there.flow_to(Transport.UDP, *US)
        world.pbx.transactions.request(news, flow, lambda _response: None, lambda _reason: None)
        await world.until(lambda: any(one.method == "NOTIFY" for one in world.sent_to(phone.flow.local[0])))
        (told,) = [one for one in world.sent_to(phone.flow.local[0]) if one.method == "NOTIFY"]
        assert told.call_id == asked.call_id
        assert told.body == news.body
        account = world.store.read(lambda tx: tx.accounts.by_aor(f"sip:alice@{DOMAIN}"))[0]
        assert world.messages.mailbox_of(account.id) is None, "it is the phone's own business"


async def wait_for(task: asyncio.Task[Message]) -> Message:
    """Wait for a task."""
    return await task


async def test_the_pbx_gets_the_request_from_the_binding_s_own_flow_with_two_record_routes() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        phone = await world.registered()
        call = phone.dial("100")
        await world.until(lambda: call.answered_with is not None)
        first, second = invites_at_pbx(world)
        assert first.uri == f"sip:100@{DOMAIN}"
        assert not first.has("route"), "our Route is taken out, and the account has no proxy"
        assert first.max_forwards == 69
        assert (first.top_via.host, first.top_via.port) == US
        assert second.has("proxy-authorization")
        uris = [SipUri.parse(NameAddr.parse(value).uri) for value in first.values("record-route")]
        tokens = [world.routes.read(uri) for uri in uris]
        assert [token.side for token in tokens if token is not None] == [Side.PBX, Side.PHONE]
        assert {token.account for token in tokens if token is not None} == {account.id}
        assert all((uri.host, uri.port, uri.has_param("lr")) == (*US, True) for uri in uris)


async def test_the_phone_s_side_of_the_route_has_the_public_name_and_the_pbx_s_has_not() -> None:
    world = World(sip=SipOptions(public="push.example.com"))
    async with world.running():
        await world.enrol()
        phone = await world.registered(transport=Transport.TCP)
        call = phone.dial("100")
        await world.until(lambda: call.answered_with is not None)
        pbx_side, phone_side = invites_at_pbx(world)[0].values("record-route")
        assert SipUri.parse(NameAddr.parse(pbx_side).uri).host == US[0]
        uri = SipUri.parse(NameAddr.parse(phone_side).uri)
        assert (uri.host, uri.param("transport")) == ("push.example.com", "tcp")
        call.hang_up()
        await world.until(lambda: world.pbx.taken[call.call_id].is_over)


async def test_only_requests_that_form_a_dialog_are_record_routed() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        for method in ("SUBSCRIBE", "REFER", "MESSAGE", "OPTIONS"):
            await world.do(phone.send(phone.request_to(method, f"sip:100@{DOMAIN}")))
        got = {one.method: len(one.values("record-route")) for one in world.sent_to(PBX[0]) if one.method}
        assert {m: got[m] for m in ("SUBSCRIBE", "REFER", "MESSAGE", "OPTIONS")} == {
            "SUBSCRIBE": 2,
            "REFER": 2,
            "MESSAGE": 0,
            "OPTIONS": 0,
        }


async def test_the_service_route_of_our_binding_is_put_in() -> None:
    world = World()
    world.pbx.rules.service_route = f"<sip:edge@{PBX[0]};lr>"
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        phone.dial("100")
        await world.until(lambda: bool(invites_at_pbx(world)))
        assert invites_at_pbx(world)[0].values("route") == [f"<sip:edge@{PBX[0]};lr>"]


async def test_the_account_s_outbound_proxy_is_put_in() -> None:
    world = World()
    async with world.running():
        await world.enrol(outbound_proxy=f"sip:{PBX[0]}:{PBX[1]}")
        phone = await world.registered()
        phone.dial("100")
        await world.until(lambda: bool(invites_at_pbx(world)))
        (route,) = invites_at_pbx(world)[0].values("route")
        uri = SipUri.parse(NameAddr.parse(route).uri)
        assert (uri.host, uri.has_param("lr")) == (PBX[0], True)
        assert invites_at_pbx(world)[0].uri == f"sip:100@{DOMAIN}"


async def test_a_request_in_somebody_else_s_name_is_refused() -> None:
    world = World("alice", "bob")
    async with world.running():
        await world.enrol("alice")
        await world.enrol("bob")
        phone = await world.registered("alice")
        phone.aor = f"sip:bob@{DOMAIN}"
        call = phone.dial("100")
        await world.until(lambda: call.is_over)
        assert call.status == 403
        assert not invites_at_pbx(world)


async def test_an_anonymous_caller_is_known_by_his_preferred_identity() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        hidden = phone.request_to("MESSAGE", f"sip:100@{DOMAIN}")
        hidden.set("From", '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=hidden')
        assert (await world.do(phone.send(hidden.copy()))).status == 403
        hidden.set("Call-ID", "another-call")
        hidden.add("P-Preferred-Identity", f"<sip:alice@{DOMAIN}>")
        await world.do(phone.send(hidden))
        assert [one for one in world.sent_to(PBX[0]) if one.method == "MESSAGE"]


@pytest.mark.parametrize(("supported", "status"), [("", 403), ("path, outbound", 430)])
async def test_nobody_reaches_a_pbx_through_us_without_having_registered(supported: str, status: int) -> None:
    world = World()
    async with world.running():
        await world.enrol()
        await world.registered()
        headers = [("Supported", supported)] if supported else []
        asked = request("INVITE", f"sip:100@{DOMAIN}", ("From", f"<sip:alice@{DOMAIN}>;tag=x"), *headers)
        assert (await stranger(world).ask(asked)).status == status
        assert not invites_at_pbx(world)


async def test_a_phone_that_unregistered_may_not_call_out_any_more() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        await world.do(phone.unregister())
        call = phone.dial("100")
        await world.until(lambda: call.is_over)
        assert call.status == 403


async def test_answers_to_our_own_challenge_stay_here_and_others_pass() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        sent = [one for one in world.sent_to(US[0]) if one.has("authorization")]
        (ours,) = [one.get("authorization") or "" for one in sent if one.top_via.host == "203.0.113.5"]
        theirs = f'Digest username="alice", realm="{DOMAIN}", nonce="n", uri="sip:x", response="{"0" * 32}"'
        message = phone.request_to("MESSAGE", f"sip:100@{DOMAIN}")
        message.add("Authorization", ours)
        message.add("Authorization", theirs)
        await world.do(phone.send(message))
        (onward,) = [one for one in world.sent_to(PBX[0]) if one.method == "MESSAGE"]
        assert onward.all("authorization") == [theirs]


async def test_a_call_that_the_phone_gives_up_is_cancelled_at_the_pbx_with_its_reason() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        came = ring_only(world)
        call = phone.dial("100")
        await world.until(lambda: call.status == 180)
        call.cancel('SIP;cause=487;text="Never mind"')
        await world.until(lambda: call.status == 487)
        (cancel,) = [one for one in world.sent_to(PBX[0]) if one.method == "CANCEL"]
        assert cancel.get("reason") == 'SIP;cause=487;text="Never mind"'
        assert cancel.branch == came[0].request.branch


async def test_a_call_given_up_before_the_pbx_says_anything_ends_as_given_up() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        world.wire.drops = lambda flow, _data: flow.remote[0] == PBX[0]
        call = phone.dial("100")
        await world.run_for(1 * SECOND)
        assert call.status == 100
        call.cancel()
        await world.until(lambda: call.is_over)
        assert call.status == 487
        assert not [one for one in world.sent_to(PBX[0]) if one.method == "CANCEL"]  # RFC 3261 9.1


async def test_a_call_that_rings_for_three_minutes_without_a_sign_of_life_is_cancelled() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        came = ring_only(world)
        world.pbx.transactions.on_cancel = lambda cancel, _invite: cancel.respond(
            respond(cancel.request, 200, to_tag="pbx")
        )
        call = phone.dial("100")
        await world.until(lambda: call.status == 180)
        await world.run_for(170 * SECOND)
        came[0].respond(respond(came[0].request, 180, to_tag="pbx", record_route=True))
        await world.run_for(180 * SECOND)
        assert not [one for one in world.sent_to(PBX[0]) if one.method == "CANCEL"], "it has shown life"
        await world.until(lambda: call.is_over)
        (cancel,) = [one for one in world.sent_to(PBX[0]) if one.method == "CANCEL"]
        assert cancel.get("reason") == 'SIP;cause=408;text="Nobody answered"'
        assert call.status == 408, "the PBX took the CANCEL and never said 487"
        await world.run_for(40 * SECOND)
        assert world.transactions.alive == (0, 0)


async def test_503_of_the_pbx_is_500_to_the_phone() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        world.pbx.transactions.on_request = lambda one: one.respond(respond(one.request, 503, to_tag="x"))
        call = phone.dial("100")
        await world.until(lambda: call.is_over)
        assert call.status == 500


@pytest.mark.parametrize("status", [302, 404, 486, 488, 600, 603])
async def test_what_else_the_pbx_says_reaches_the_phone_as_it_is(status: int) -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        world.pbx.transactions.on_request = lambda one: one.respond(
            respond(
                one.request, status, "In my own words", to_tag="x", headers=[("Warning", '399 pbx "why"')]
            )
        )
        call = phone.dial("100")
        await world.until(lambda: call.is_over)
        final = call.responses[-1]
        assert (final.status, final.reason, final.get("warning")) == (
            status,
            "In my own words",
            '399 pbx "why"',
        )
        assert len(final.values("via")) == 1


async def test_a_pbx_that_says_nothing_costs_an_invite_408() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        world.wire.drops = lambda flow, _data: flow.remote[0] == PBX[0]
        call = phone.dial("100")
        await world.until(lambda: call.is_over)
        assert call.status == 408


async def test_a_pbx_that_says_nothing_is_never_told_by_408_to_another_request() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered(transport=Transport.TCP)
        world.wire.drops = lambda flow, _data: flow.remote[0] == PBX[0]
        phone.transactions.request(
            phone.request_to("MESSAGE", f"sip:100@{DOMAIN}"), phone.flow, phone.others.append, lambda _: None
        )
        await world.run_for(40 * SECOND)
        assert all(one.status != 408 for one in phone.others)  # RFC 4320 4.2
        assert world.transactions.alive[1] == 0, "the server transaction has ended"


async def test_a_phone_of_an_account_without_binding_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        phone = await world.registered()
        monkeypatch.setattr(world.fleet, "upstream", lambda _account_id: None)
        call = phone.dial("100")
        await world.until(lambda: call.is_over)
        final = call.responses[-1]
        assert (final.status, final.get("retry-after")) == (480, "5")
        assert account.state == "registered"


async def test_a_flood_of_requests_on_one_flow_is_slowed() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        answers: list[Message] = []
        for number in range(60):
            message = phone.request_to("MESSAGE", f"sip:{number}@{DOMAIN}")
            phone.transactions.request(message, phone.flow, answers.append, lambda _reason: None)
        await world.until(lambda: len(answers) == 60)
        refused = [one for one in answers if one.status == 503]
        assert len(refused) == 10
        assert all(one.get("retry-after") == "1" for one in refused)
        await world.run_for(10 * SECOND)
        late = phone.dial("100")
        await world.until(lambda: late.answered_with is not None)


async def test_one_connection_may_serve_several_accounts_of_an_app() -> None:
    world = World("alice", "bob")
    async with world.running():
        await world.enrol("alice")
        await world.enrol("bob")
        phone = await world.registered("alice")
        other = world.phone("bob", address="203.0.113.55")
        other.attach(US, phone.transactions, phone.endpoint, world.clock, world.clock)
        await world.do(other.register())
        both = {flow.account_id for flow in world.phones.of_flow(world.arrived[-1].flow)}
        assert len(both) == 2
        for one in (phone, other):
            call: PhoneCall = one.dial("100")
            await world.until(lambda call=call: call.answered_with is not None)  # type: ignore[misc]
