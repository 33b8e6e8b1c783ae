"""What the services of RFC 5359 and the extensions of calls send through us: untouched from end to end.

Each row is a request of a flow with its RFC's name. A proxy may change Via, Route, Record-Route,
Max-Forwards and Max-Breadth (RFC 3261 16.6, RFC 5393), and the Request-URI at a Contact of its own; nothing
else of a request or of its answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pytest

from tests.system.asking import at_pbx
from tests.system.calls_world import PBX, US, World
from tests.system.dialogs import in_dialog, talking
from wakerobin.core.sip.message import Message, parse, respond
from wakerobin.core.values import Flow, Transport
from wakerobin.ports.sip import ServerTransactionHandle
from wakerobin.services.dispatch.transactions import Transactions
from wakerobin.testing.phone import FakePhone

PHONE = "203.0.113.5"
OURS = {"via", "route", "record-route", "max-forwards", "max-breadth", "content-length"}

Headers = tuple[tuple[str, str], ...]


def sdp(mode: str = "sendrecv", *extra: str) -> bytes:
    lines = [
        "v=0",
        "o=x 1 2 IN IP4 192.0.2.1",
        "s=-",
        "c=IN IP4 192.0.2.1",
        "t=0 0",
        "m=audio 4000 RTP/AVP 8",
    ]
    return "\r\n".join([*lines, f"a={mode}", *extra, ""]).encode()


OFFER: Headers = (("Content-Type", "application/sdp"),)
NO_BODY: Headers = ()
REPLACES = "12adf2f34456gs5%3Bto-tag%3D12345%3Bfrom-tag%3D54321%3Bearly-only"
SIGNED = (
    "eyJhbGciOiJFUzI1NiIsInR5cCI6InBhc3Nwb3J0IiwieDV1IjoiaHR0cHM6Ly9jZXJ0LmV4YW1wbGUub3JnL3AuY2VyIn0"
    ".eyJkZXN0Ijp7InVyaSI6WyJzaXA6YWxpY2VAcGJ4LnRlc3QiXX19.rq3pjT1hoRwakEGjHCnWSwUnshd0-zJ6F1VOgFWSjHBr8Q"
    ";info=<https://cert.example.org/passport.cer>;alg=ES256;ppt=shaken"
)


@dataclass(frozen=True, slots=True)
class Step:
    """A request, and what it is answered."""

    flow: str
    method: str
    headers: Headers = ()
    body: bytes = b""
    status: int = 200
    answer_headers: Headers = ()
    answer_body: bytes = b""

    def __str__(self) -> str:
        return f"{self.flow}: {self.method} {self.status}"


WITHIN_A_CALL = [
    Step("RFC 5359 Call Hold", "INVITE", OFFER, sdp("sendonly"), 200, OFFER, sdp("recvonly")),
    Step("RFC 5359 Call Hold, taken back", "INVITE", OFFER, sdp(), 200, OFFER, sdp()),
    Step("RFC 5359 Consultation Hold", "INVITE", OFFER, sdp("inactive"), 200, OFFER, sdp("inactive")),
    Step("RFC 5359 Music on Hold, delayed offer", "INVITE", NO_BODY, b"", 200, OFFER, sdp("sendonly")),
    Step(
        "RFC 5359 Transfer - Unattended",
        "REFER",
        (("Refer-To", "<sips:carol@chicago.example.com>"), ("Referred-By", "<sip:bob@pbx.test>")),
        status=202,
        answer_headers=(("Contact", "<sip:there@192.0.2.4>"),),
    ),
    Step(
        "RFC 5359 Transfer - Attended",
        "REFER",
        (
            ("Refer-To", f"<sip:carol@pbx.test;gr=x?Replaces={REPLACES}&Require=replaces>"),
            ("Target-Dialog", "a;b"),
        ),
        status=202,
    ),
    Step("RFC 5359 Transfer, refused", "REFER", (("Refer-To", "<sip:carol@pbx.test>"),), status=603),
    Step(
        "RFC 4488 no subscription", "REFER", (("Refer-To", "<sip:c@x>"), ("Refer-Sub", "false")), status=200
    ),
    Step(
        "RFC 3515 progress of a transfer",
        "NOTIFY",
        (
            ("Event", "refer;id=93809823"),
            ("Subscription-State", "terminated;reason=noresource"),
            ("Content-Type", "message/sipfrag;version=2.0"),
        ),
        b"SIP/2.0 200 OK\r\n",
    ),
    Step(
        "RFC 5359 Transfer - Instant Messaging",
        "MESSAGE",
        (("Content-Type", "text/plain;charset=utf-8"),),
        "Bitte sip:carol@pbx.test anrufen — jetzt".encode(),
    ),
    Step(
        "RFC 5359 3-Way Conference, the focus",
        "INVITE",
        OFFER,
        sdp(),
        200,
        (("Contact", "<sip:f@x>;isfocus"),),
    ),
    Step(
        "RFC 4028 refresh",
        "UPDATE",
        (("Session-Expires", "1800;refresher=uac"), ("Min-SE", "90"), ("Supported", "timer, foo")),
        status=200,
        answer_headers=(("Session-Expires", "1800;refresher=uac"), ("Require", "timer")),
    ),
    Step(
        "RFC 4028 too short",
        "INVITE",
        (("Session-Expires", "60"), ("Supported", "timer")),
        status=422,
        answer_headers=(("Min-SE", "3600"),),
    ),
    Step("RFC 3311 update", "UPDATE", OFFER, sdp("sendrecv", "a=ptime:30"), 200, OFFER, sdp()),
    Step("RFC 3311 glare", "UPDATE", OFFER, sdp(), 491),
    Step("RFC 3261 14.1 glare", "INVITE", OFFER, sdp(), 491),
    Step("RFC 3261 offer not acceptable", "INVITE", OFFER, sdp(), 488, (("Warning", '304 x "Media type"'),)),
    Step(
        "INFO, a tone", "INFO", (("Content-Type", "application/dtmf-relay"),), b"Signal=5\r\nDuration=160\r\n"
    ),
    Step(
        "RFC 6086 info package",
        "INFO",
        (("Info-Package", "foo"), ("Content-Disposition", "Info-Package"), ("Content-Type", "a/b")),
        b"\x00\x01\xff binary",
        status=469,
        answer_headers=(("Recv-Info", "bar"),),
    ),
    Step("RFC 8224 who speaks now", "INVITE", (*OFFER, ("Identity", SIGNED), ("Date", "Tue, 24 Nov")), sdp()),
    Step(
        "RFC 4916 connected identity",
        "UPDATE",
        (("Identity", SIGNED), ("P-Asserted-Identity", '"C" <sip:c@x>')),
    ),
    Step(
        "an option that nobody knows",
        "OPTIONS",
        (("X-Anything", 'a, b;c="d"'), ("Accept", "a/b")),
        status=420,
    ),
]

BEGINNINGS = [
    Step(
        "RFC 5359 Transfer - Attended, the target",
        "INVITE",
        (("Replaces", "425928@x;to-tag=7743;from-tag=6472"), ("Require", "replaces"), *OFFER),
        sdp(),
    ),
    Step("RFC 3892 who referred", "INVITE", (("Referred-By", "<sip:b@x>;cid=1"), *OFFER), sdp()),
    Step("RFC 5359 Third Party Joins", "INVITE", (("Join", "12345@x;from-tag=a;to-tag=b"), *OFFER), sdp()),
    Step(
        "RFC 5359 Call Park, taken back", "INVITE", (("Replaces", "p@x;to-tag=1;from-tag=2"), *OFFER), sdp()
    ),
    Step(
        "RFC 5359 Call Pickup", "INVITE", (("Replaces", "p@x;to-tag=1;from-tag=2;early-only"), *OFFER), sdp()
    ),
    Step("RFC 3261 delayed offer", "INVITE", answer_headers=OFFER, answer_body=sdp()),
    Step(
        "RFC 4028 session timer",
        "INVITE",
        (("Session-Expires", "90;refresher=uac"), ("Min-SE", "90"), ("Supported", "timer"), *OFFER),
        sdp(),
        200,
        (("Session-Expires", "90;refresher=uas"), ("Require", "timer")),
    ),
    Step(
        "RFC 4028 too short",
        "INVITE",
        (("Session-Expires", "60"),),
        status=422,
        answer_headers=(("Min-SE", "90"),),
    ),
    Step("RFC 8224 signed caller", "INVITE", (("Identity", SIGNED), ("Date", "Tue, 24 Nov"), *OFFER), sdp()),
    Step("RFC 3325 asserted caller", "INVITE", (("P-Asserted-Identity", "<tel:+49301>"), ("Privacy", "id"))),
    Step("RFC 5359 Call Forwarding - Busy", "INVITE", OFFER, sdp(), 302, (("Contact", "<sip:b2@x;q=1>"),)),
]

FROM_THE_PHONE_ONLY = [
    Step("RFC 5359 Call Park", "REFER", (("Refer-To", f"<sip:b@x?Replaces={REPLACES}>"),), status=202),
    Step(
        "RFC 5359 Call Pickup, who rings there",
        "SUBSCRIBE",
        (("Event", "dialog"), ("Accept", "application/dialog-info+xml"), ("Expires", "0")),
        answer_headers=(("Expires", "0"),),
    ),
    Step("RFC 5359 Automatic Redial", "SUBSCRIBE", (("Event", "dialog"), ("Expires", "600")), status=202),
    Step("RFC 4538 target dialog", "REFER", (("Target-Dialog", "x;local-tag=a;remote-tag=b"),), status=403),
]

FROM_THE_PBX_ONLY = [
    Step(
        "RFC 5359 Click to Dial",
        "REFER",
        (("Refer-To", "<sip:c@x>"), ("Referred-By", "<sip:me@x>")),
        status=202,
    ),
    Step("RFC 5359 Find-Me, asked for presence", "SUBSCRIBE", (("Event", "presence"),), status=489),
]


class End:
    """One end of a dialog: what comes to it is kept, and answered as the step says."""

    def __init__(self, transactions: Transactions, contact: str) -> None:
        self.requests: list[Message] = []
        self.acks: list[Message] = []
        self.step: Step | None = None
        self._contact = contact
        transactions.on_request = self._requested
        transactions.on_ack = lambda ack, _flow: self.acks.append(ack)

    def _requested(self, transaction: ServerTransactionHandle) -> None:
        step, request = self.step, transaction.request
        assert step is not None
        self.requests.append(request)
        headers = list(step.answer_headers)
        if step.status < 300 and "Contact" not in dict(headers):
            headers.append(("Contact", self._contact))
        transaction.respond(
            respond(
                request,
                step.status,
                to_tag="" if request.to_tag else "there",
                headers=headers,
                body=step.answer_body,
                record_route=True,
            )
        )


def at_phone_end(phone: FakePhone) -> End:
    return End(phone.transactions, f"<{phone.contact}>")


def at_pbx_end(world: World) -> End:
    return End(world.pbx.transactions, f"<sip:bob@{PBX[0]}:{PBX[1]}>")


def kept(message: Message) -> list[tuple[str, str]]:
    """Return what a proxy has to leave as it is."""
    return [(name, value) for name, value in message.items() if name.lower() not in OURS]


def said(headers: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    return {(name.lower(), value) for name, value in headers}


def first(world: World, to: str, like: Message, *, status: int = 0) -> Message:
    """Return the first message to a host that belongs to this request's transaction."""
    for flow, data in world.wire.messages:
        if flow.remote[0] != to:
            continue
        message = parse(data)
        if message.status == status and _transaction(message) == _transaction(like):
            return message
    raise AssertionError(f"no {like.cseq} with status {status} went to {to}")


def _transaction(message: Message) -> tuple[object, ...]:
    return message.call_id, message.cseq, message.from_tag


def untouched(world: World, step: Step, ends: tuple[str, str], *, is_new: bool = False) -> None:
    """Compare request and answer of the last step as they came to us and as they left."""
    asker, answerer = ends
    received = next(
        parse(data)
        for flow, data in reversed(world.wire.messages)
        if flow.remote[0] == answerer and data.startswith(step.method.encode())
    )
    sent = first(world, US[0], received)
    assert kept(received) == kept(sent)
    assert received.body == sent.body == step.body
    assert is_new or received.uri == sent.uri
    assert said(step.headers) <= said(received.items())
    answered, heard = (first(world, to, received, status=step.status) for to in (US[0], asker))
    assert kept(heard) == kept(answered)
    assert heard.body == answered.body == step.answer_body
    assert heard.values("record-route") == answered.values("record-route")
    assert said(step.answer_headers) <= said(heard.items())


def names(steps: Iterable[Step]) -> list[str]:
    return [str(step).replace(" ", "-") for step in steps]


@pytest.mark.parametrize("step", WITHIN_A_CALL, ids=names(WITHIN_A_CALL))
async def test_what_the_pbx_sends_within_a_call_is_untouched(step: Step) -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, _ = await talking(world, phone)
        end = at_phone_end(phone)
        end.step = step
        request = in_dialog(call, step.method)
        for name, value in step.headers:
            request.add(name, value)
        request.body = step.body
        assert (await at_pbx(world).ask(request)).status == step.status
        untouched(world, step, (PBX[0], PHONE))


@pytest.mark.parametrize("step", WITHIN_A_CALL, ids=names(WITHIN_A_CALL))
async def test_what_the_phone_sends_within_a_call_is_untouched(step: Step) -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        _, at_phone = await talking(world, phone)
        end = at_pbx_end(world)
        end.step = step
        at_phone.request(step.method, step.headers, step.body)
        await world.until(lambda: any(r.status == step.status for r in at_phone.responses))
        untouched(world, step, (PHONE, PBX[0]))
        if step.method == "INVITE" and step.status < 300:
            await world.until(lambda: bool(end.acks))


@pytest.mark.parametrize("step", BEGINNINGS, ids=names(BEGINNINGS))
async def test_a_call_of_the_pbx_is_untouched(step: Step) -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        end = at_phone_end(phone)
        end.step = step
        call = world.pbx.call("alice", headers=step.headers, body=step.body)
        await world.until(lambda: bool(call.final))
        assert call.final == step.status
        headers = (("Content-Type", "application/sdp"),) if step.body else ()
        untouched(world, replace(step, headers=(*step.headers[:1], *headers)), (PBX[0], PHONE), is_new=True)
        assert not world.pushes.sent


@pytest.mark.parametrize(
    "step", [*BEGINNINGS, *FROM_THE_PHONE_ONLY], ids=names([*BEGINNINGS, *FROM_THE_PHONE_ONLY])
)
async def test_what_a_phone_begins_is_untouched(step: Step) -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        end = at_pbx_end(world)
        end.step = step
        request = phone.request_to(step.method, "sip:carol@pbx.test;gr=x")
        for name, value in step.headers:
            request.add(name, value)
        request.body = step.body
        assert (await world.do(phone.send(request))).status == step.status
        untouched(world, step, (PHONE, PBX[0]))
        assert len(end.requests[0].values("record-route")) == 2


@pytest.mark.parametrize("step", FROM_THE_PBX_ONLY, ids=names(FROM_THE_PBX_ONLY))
async def test_what_the_pbx_begins_at_a_phone_that_is_there_is_untouched(step: Step) -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        phone = await world.registered()
        end = at_phone_end(phone)
        end.step = step
        request = Message.request(
            step.method,
            f"sip:{account.contact_user}@{US[0]}",
            [
                ("Max-Forwards", "70"),
                ("From", "<sip:bob@pbx.test>;tag=1"),
                ("To", "<sip:alice@pbx.test>"),
                ("Call-ID", "click@pbx"),
                ("CSeq", f"1 {step.method}"),
                ("Contact", f"<sip:bob@{PBX[0]}>"),
                *step.headers,
            ],
        )
        assert (await at_pbx(world).ask(request)).status == step.status
        untouched(world, step, (PBX[0], PHONE), is_new=True)
        assert end.requests[0].uri == phone.contact
        assert not world.pushes.sent


async def test_a_delayed_offer_is_answered_in_the_ack_in_both_directions() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, at_phone = await talking(world, phone)
        to_phone = in_dialog(call, "ACK")
        to_pbx = Message.request(
            "ACK",
            at_phone.target,
            [
                ("Max-Forwards", "70"),
                *(("Route", route) for route in at_phone.routes),
                ("From", at_phone.local),
                ("To", at_phone.remote),
                ("Call-ID", at_phone.call_id),
                ("CSeq", "9 ACK"),
            ],
        )
        ends = at_phone_end(phone), at_pbx_end(world)
        for ack in (to_phone, to_pbx):
            ack.add("Content-Type", "application/sdp")
            ack.body = sdp("recvonly")
        world.pbx.transactions.send_ack(to_phone, Flow(Transport.UDP, PBX, US))
        phone.transactions.send_ack(to_pbx, phone.flow)
        await world.until(lambda: all(end.acks for end in ends))
        for end, ack in zip(ends, (to_phone, to_pbx), strict=True):
            assert kept(end.acks[0]) == kept(ack)
            assert end.acks[0].body == sdp("recvonly")


async def test_reliable_ringing_with_early_media_is_acknowledged_through_us() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        rings: list[ServerTransactionHandle] = []
        phone.transactions.on_request = rings.append
        call = world.pbx.call("alice", headers=(("Supported", "100rel"),))
        await world.until(lambda: bool(rings))
        reliable = [("Require", "100rel"), ("RSeq", "17"), ("Contact", f"<{phone.contact}>"), *OFFER]
        early = respond(
            rings[0].request, 183, to_tag="early", headers=reliable, body=sdp(), record_route=True
        )
        rings[0].respond(early)
        await world.until(lambda: any(one.status == 183 for one in call.responses))
        heard = next(one.message for one in call.responses if one.status == 183)
        assert kept(heard) == kept(early)
        assert heard.body == early.body
        for number, step in enumerate(
            (
                Step("RFC 3262", "PRACK", (("RAck", "17 1 INVITE"),)),
                Step("RFC 3311 early media is changed", "UPDATE", OFFER, sdp(), 200, OFFER, sdp("sendonly")),
            )
        ):
            end = at_phone_end(phone)
            end.step = step
            request = Message.request(
                step.method,
                heard.contacts[0].uri,
                [
                    ("Max-Forwards", "70"),
                    *(("Route", route) for route in reversed(heard.values("record-route"))),
                    ("From", heard.get("from") or ""),
                    ("To", heard.get("to") or ""),
                    ("Call-ID", call.call_id),
                    ("CSeq", f"{number + 2} {step.method}"),
                    *step.headers,
                ],
            )
            request.body = step.body
            assert (await at_pbx(world).ask(request)).status == 200
            untouched(world, step, (PBX[0], PHONE))
