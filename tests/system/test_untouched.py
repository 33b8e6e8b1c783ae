"""What passes between a PBX and a phone in the early dialog, to the letter; and what the caller hears."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.system.asking import Asker, at_pbx, request
from tests.system.calls_world import SECOND, US, World
from tests.system.on_the_wire import to_phone
from tests.system.stories import nothing_is_left
from wakerobin.core.call import CallPolicy
from wakerobin.core.sip.message import Message, respond
from wakerobin.ports.sip import ServerTransactionHandle
from wakerobin.testing.phone import FakePhone
from wakerobin.testing.phone_call import SDP, PhoneCall

HOP_BY_HOP = frozenset({"via", "max-forwards", "record-route", "route", "max-breadth", "content-length"})
OFFER = (
    b"v=0\r\no=- 1 1 IN IP4 198.51.100.9\r\ns=-\r\nc=IN IP4 198.51.100.9\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"
)
STRANGE = (
    ("Identity", "eyJhbGciOiJFUzI1NiJ9..c2ln;info=<https://cert.example/a.pem>;alg=ES256;ppt=shaken"),
    ("Supported", "100rel,timer , replaces"),
    ("Session-Expires", "1800;refresher=uac"),
    ("Min-SE", "90"),
    ("P-Asserted-Identity", '"Bob  B." <sip:+4930123456@pbx.test>'),
    ("History-Info", "<sip:alice@pbx.test>;index=1"),
    ("X-Of-Nobody", '  spaces;and="quotes"  , commas'),
    ("Content-Type", "application/sdp"),
)


class Bench:
    """A PBX in the raw, and a phone in the raw: each sees the other's messages as they arrive."""

    def __init__(self, world: World, phone: FakePhone, asker: Asker) -> None:
        self.world, self.phone, self.asker = world, phone, asker
        self.at_phone: list[ServerTransactionHandle] = []
        self.acks: list[Message] = []
        phone.transactions.on_request = self.at_phone.append
        phone.transactions.on_ack = lambda ack, _flow: self.acks.append(ack)

    @property
    def invite(self) -> Message:
        return self.at_phone[0].request

    def says(self, status: int, *headers: tuple[str, str], body: bytes = b"") -> None:
        """Let the phone answer its INVITE."""
        contact = ("Contact", f"<{self.phone.contact}>")
        self.at_phone[0].respond(
            respond(
                self.invite, status, to_tag="phone", headers=[contact, *headers], body=body, record_route=True
            )
        )

    def within(self, method: str, cseq: int, *headers: tuple[str, str], body: bytes = b"") -> Message:
        """Return a request of the PBX in the dialog that the phone's last response made."""
        heard = [one for one in self.asker.responses if one.to_tag == "phone"]
        said = [one for one in heard if one.cseq.method == "INVITE" and one.contacts][-1]
        lines = [("Max-Forwards", "70"), *(("Route", one) for one in said.values("record-route")[::-1])]
        lines += [("From", said.get("from") or ""), ("To", said.get("to") or "")]
        lines += [("Call-ID", said.call_id), ("CSeq", f"{cseq} {method}"), *headers]
        made = Message.request(method, said.contacts[0].uri, lines)
        made.body = body
        return made

    async def until_pbx(self, status: int) -> Message:
        await self.world.until(lambda: any(one.status == status for one in self.asker.responses))
        return next(one for one in self.asker.responses if one.status == status)

    async def until_phone(self, count: int) -> ServerTransactionHandle:
        await self.world.until(lambda: len(self.at_phone) >= count)
        return self.at_phone[count - 1]


def end_to_end(message: Message) -> list[tuple[str, str]]:
    """Return the headers that are none of a proxy's business, in order."""
    lines = message.encode().partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    pairs = [(name.lower(), value) for name, _, value in (line.partition(":") for line in lines)]
    return [pair for pair in pairs if pair[0] not in HOP_BY_HOP]


async def bench(world: World, *headers: tuple[str, str], body: bytes = OFFER) -> tuple[Bench, Message]:
    account = await world.enrol()
    phone = await world.registered()
    made = Bench(world, phone, at_pbx(world))
    invite = request("INVITE", f"sip:{account.contact_user}@{US[0]}", *headers)
    invite.body = body
    made.asker.send(invite)
    await made.until_phone(1)
    return made, invite


@pytest.mark.parametrize("body", [OFFER, b""], ids=["an offer", "a delayed offer"])
async def test_an_invite_arrives_with_every_header_and_its_body_to_the_letter(body: bytes) -> None:
    world = World()
    async with world.running():
        made, invite = await bench(world, *STRANGE, body=body)
        assert end_to_end(made.invite) == end_to_end(invite)
        assert made.invite.body == body
        made.says(486)
        await made.until_pbx(486)
        await nothing_is_left(world)


async def test_early_media_prack_and_update_pass_and_the_answer_of_a_delayed_offer_comes_in_the_ack() -> None:
    world = World(call=CallPolicy(ringback="device"))
    async with world.running():
        made, _ = await bench(world, *STRANGE, body=b"")
        media = (("Require", "100rel"), ("RSeq", "71"), ("Content-Type", "application/sdp"))
        made.says(183, *media, body=SDP)
        early = await made.until_pbx(183)
        assert (early.get("require"), early.get("rseq"), early.body) == ("100rel", "71", SDP)
        rack = (("RAck", "71 100 INVITE"), ("Content-Type", "application/sdp"))
        made.asker.send(made.within("PRACK", 1001, *rack, body=OFFER))
        prack = await made.until_phone(2)
        assert (prack.request.method, prack.request.get("rack")) == ("PRACK", "71 100 INVITE")
        assert prack.request.body == OFFER
        prack.respond(respond(prack.request, 200, headers=[("X-Prack", "taken")]))
        await world.until(lambda: any(one.cseq.method == "PRACK" for one in made.asker.responses))
        assert made.asker.responses[-1].get("x-prack") == "taken"
        made.asker.send(made.within("UPDATE", 1002, ("Session-Expires", "90"), body=OFFER))
        update = await made.until_phone(3)
        assert (update.request.method, update.request.body) == ("UPDATE", OFFER)
        update.respond(respond(update.request, 422, headers=[("Min-SE", "1800")]))
        refused = await made.until_pbx(422)
        assert refused.get("min-se") == "1800"
        made.says(200, ("Content-Type", "application/sdp"), body=SDP)
        ok = await made.until_pbx(200)
        assert ok.cseq.method in ("INVITE", "PRACK")
        await world.until(lambda: any(m.status == 200 and m.body == SDP for m in made.asker.responses))
        answer = next(m for m in made.asker.responses if m.status == 200 and m.body == SDP)
        ack = made.within("ACK", answer.cseq.number, ("Content-Type", "application/sdp"), body=OFFER)
        made.asker.transactions.send_ack(ack, made.asker.endpoint.flow_to(made.phone.transport, *US))
        await world.until(lambda: bool(made.acks))
        assert made.acks[0].body == OFFER


async def test_a_bye_of_the_pbx_into_the_early_dialog_of_a_phone_reaches_that_phone() -> None:
    world = World(call=CallPolicy(ringback="device"))
    async with world.running():
        made, _ = await bench(world)
        made.says(180)
        await made.until_pbx(180)
        made.asker.send(made.within("BYE", 1001))
        bye = await made.until_phone(2)
        assert bye.request.method == "BYE"
        bye.respond(respond(bye.request, 200))
        made.says(487)
        await made.until_pbx(487)
        await nothing_is_left(world)


async def test_two_re_invites_that_meet_are_refused_by_those_who_sent_them_and_not_by_us() -> None:
    """Glare (RFC 3261 14.2): each side says 491 by itself, and the call goes on."""
    world = World()
    async with world.running():
        made, _ = await bench(world)
        made.says(200, ("Content-Type", "application/sdp"), body=SDP)
        ok = await made.until_pbx(200)
        made.asker.send(made.within("INVITE", 1001, ("Contact", "<sip:bob@198.51.100.9>"), body=OFFER))
        there = await made.until_phone(2)
        there.respond(respond(there.request, 491))
        refused = await made.until_pbx(491)
        assert refused.to_tag == ok.to_tag
        made.asker.send(made.within("INVITE", 1002, ("Contact", "<sip:bob@198.51.100.9>"), body=OFFER))
        again = await made.until_phone(3)
        assert again.request.body == OFFER


# Ringback (sip 18)


def before_the_push(world: World) -> None:
    world.pushes.outcome = lambda _message: None


@pytest.mark.parametrize(
    ("ringback", "headers", "heard"),
    [
        ("immediate", (), [100, 180]),
        ("pushed", (), [100]),
        ("device", (), [100]),
        ("immediate", (("Require", "100rel"),), [100]),
        ("immediate", (("Supported", "100rel"),), [100, 180]),
    ],
)
async def test_what_the_caller_hears_before_the_push_has_left(
    ringback: str, headers: tuple[tuple[str, str], ...], heard: list[int]
) -> None:
    world = World(call=CallPolicy(ringback=ringback))
    async with world.running():
        account = await world.enrol()
        before_the_push(world)
        asker = at_pbx(world)
        asker.send(request("INVITE", f"sip:{account.contact_user}@{US[0]}", *headers))
        await world.run_for(2 * SECOND)
        assert [one.status for one in asker.responses] == heard


@pytest.mark.parametrize(
    ("ringback", "headers", "heard"),
    [
        ("immediate", (), [100, 180]),
        ("pushed", (), [100, 180]),
        ("device", (), [100]),
        ("pushed", (("Require", "100rel"),), [100]),
        ("pushed", (("Supported", "100rel"),), [100, 180]),
    ],
)
async def test_what_the_caller_hears_once_the_push_is_taken_and_when_a_phone_rings(
    ringback: str, headers: tuple[tuple[str, str], ...], heard: list[int]
) -> None:
    world = World(call=CallPolicy(ringback=ringback))
    async with world.running():
        account = await world.enrol()
        asker = at_pbx(world)
        asker.send(request("INVITE", f"sip:{account.contact_user}@{US[0]}", *headers))
        await world.run_for(2 * SECOND)
        assert [one.status for one in asker.responses] == heard
        phone = await world.registered()
        await world.until(lambda: len(asker.responses) == len(heard) + 1)
        assert asker.responses[-1].to_tag == phone.calls[0].tag


async def test_early_media_of_a_phone_is_never_followed_by_a_180_of_ours() -> None:
    world = World(call=CallPolicy(ringback="pushed", wake_timeout=200.0))
    async with world.running():
        account = await world.enrol(registrations=2)
        first, _ = world.registrations(account)
        before_the_push(world)
        phone = await world.registered(instance=first.sip_instance)
        phone.on_call = lambda call: call.ring(183)
        asker = at_pbx(world)
        asker.send(request("INVITE", f"sip:{account.contact_user}@{US[0]}"))
        await world.until(lambda: [one.status for one in asker.responses] == [100, 183])
        late = world.switchboard
        assert len(late) == 1
        world.pushes.outcome = lambda _message: None
        await world.run_for(150 * SECOND)
        assert [one.status for one in asker.responses] == [100, 183]


@pytest.mark.parametrize(
    ("method", "status", "ends"),
    [("PRACK", 481, False), ("UPDATE", 500, False), ("BYE", 200, True), ("INFO", 481, False)],
)
async def test_what_a_pbx_gets_that_speaks_into_our_own_early_dialog(
    method: str, status: int, *, ends: bool
) -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        asker = at_pbx(world)
        invite = request("INVITE", f"sip:{account.contact_user}@{US[0]}")
        asker.send(invite)
        await world.until(lambda: [one.status for one in asker.responses] == [100, 180])
        tag = asker.responses[-1].to_tag or ""
        within = request(method, f"sip:{account.contact_user}@{US[0]}", ("Call-ID", invite.call_id), tag=tag)
        within.set("From", invite.get("from") or "")
        answer = await asker.ask(within)
        assert answer.status == status
        assert answer.has("retry-after") == (status == 500)
        await world.run_for(SECOND)
        said = [one.status for one in asker.responses if one.cseq.method == "INVITE"]
        assert (487 in said) == ends


def rings(call: PhoneCall) -> None:
    call.ring()


@pytest.mark.parametrize("does", [rings, PhoneCall.answer])
async def test_our_tag_and_a_phone_s_are_two_dialogs_and_only_the_phone_s_goes_on(
    does: Callable[[PhoneCall], None],
) -> None:
    world = World()
    async with world.running():
        await world.enrol()
        call = world.pbx.call("alice")
        await world.until(lambda: call.is_ringing)
        ours = call.responses[-1].to_tag
        phone = world.phone()
        phone.on_call = does
        await world.do(phone.register())
        await world.until(lambda: call.responses[-1].to_tag not in ("", ours))
        assert call.responses[-1].to_tag == phone.calls[0].tag
        assert len(to_phone(world, "INVITE")) == 1
