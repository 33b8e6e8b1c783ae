"""Messages that users write: through us by SIP, and handed over by the API (RFC 3428)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.system.calls_world import DOMAIN, MINUTE, PBX, SECOND, World
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.sip.message import Message
from wakerobin.core.values import Account, Ended, PushRegistration
from wakerobin.ports.messages import SendState, SentMessage
from wakerobin.services.messages.sending import MOST_WAITING, HandOver
from wakerobin.testing.memory import Fault


def composed(world: World, registration: PushRegistration, name: str = "a", **changes: object) -> SentMessage:
    """A message as an app hands it over."""
    made = SentMessage(
        registration_id=registration.id,
        message_id=name,
        to=f"sip:bob@{DOMAIN}",
        content_type="text/plain;charset=UTF-8",
        body="Grüße".encode(),
        created_at=world.clock.now(),
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # a test names the fields that it changes


def state(world: World, registration: PushRegistration, name: str = "a") -> SentMessage:
    found = world.messages.sending.state(registration, name)
    assert found is not None
    return found


async def hand_over(world: World, message: SentMessage) -> SentMessage:
    """Hand it over, and wait for how it ends."""
    (registration,) = [
        one
        for one in world.store.read(lambda tx: tx.registrations.page(0, 100))
        if one.id == message.registration_id
    ]
    assert await world.do(world.messages.sending.hand_over(message)) is HandOver.TAKEN
    await world.until(lambda: state(world, registration, message.message_id).state is not SendState.WAITING)
    return state(world, registration, message.message_id)


def only(world: World, account: Account) -> PushRegistration:
    (registration,) = world.registrations(account)
    return registration


async def test_a_message_of_a_phone_goes_through_us_and_the_pbx_s_407_comes_back() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        message = phone.request_to("MESSAGE", f"sip:bob@{DOMAIN}")
        message.body = b"Hello"
        challenged = await world.do(phone.send(message))
        assert challenged.status == 407
        assert phone.authorize(message, challenged)
        assert (await world.do(phone.send(message))).status == 202
        (taken,) = world.pbx.messages
        assert taken.body == b"Hello"
        assert not taken.has("record-route")


async def test_a_message_of_the_api_is_sent_as_the_account_with_its_own_login() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        ended = await hand_over(world, composed(world, only(world, account)))
        assert (ended.state, ended.status, ended.reason) == (SendState.SENT, 202, "")
        (taken,) = world.pbx.messages
        assert taken.uri == taken.to.uri == f"sip:bob@{DOMAIN}"
        assert taken.from_.uri == account.aor
        assert taken.body.decode() == "Grüße"
        assert taken.get("content-type") == "text/plain;charset=UTF-8"
        assert not taken.has("contact")
        assert (ended.to, ended.body) == ("", b""), "nothing is kept of what was sent"


async def test_the_same_name_is_the_same_message_and_is_sent_once() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        message = composed(world, only(world, account))
        await hand_over(world, message)
        again = replace(message, body=b"other")
        assert await world.do(world.messages.sending.hand_over(again)) is HandOver.TAKEN
        await world.run_for(MINUTE)
        assert len(world.pbx.messages) == 1


async def test_the_same_name_in_the_moment_of_the_answer_is_not_sent_again() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        message = composed(world, only(world, account))
        tasks: list[asyncio.Future[None]] = []

        async def again(turns: int) -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            await world.messages.sending.hand_over(message)

        def answered(_request: Message) -> int:
            tasks.extend(asyncio.ensure_future(again(turns)) for turns in range(40))
            return 202

        world.pbx.answer_message = answered
        await hand_over(world, message)
        await world.run_for(MINUTE)
        await asyncio.gather(*tasks)
        assert len(world.pbx.messages) == 1


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (403, "does not allow"),
        (404, "knows nobody"),
        (415, "no messages of this kind"),
        (503, "The PBX answered 503"),
    ],
)
async def test_what_the_pbx_refuses_has_failed_and_says_why(status: int, words: str) -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        world.pbx.answer_message = lambda _message: status
        ended = await hand_over(world, composed(world, only(world, account)))
        assert (ended.state, ended.status) == (SendState.FAILED, status)
        assert words in ended.reason


async def test_a_login_that_is_not_taken_is_tried_once() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        world.pbx.set_password("alice", "changed")
        ended = await hand_over(world, composed(world, only(world, account)))
        assert (ended.state, ended.status) == (SendState.FAILED, 407)
        assert "login" in ended.reason
        sent = [one for one in world.sent_to(PBX[0]) if one.method == "MESSAGE"]
        assert len(sent) == 2


async def test_a_pbx_that_says_nothing_is_named_as_the_reason() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        world.pbx.transactions.on_request = lambda _transaction: None
        ended = await hand_over(world, composed(world, only(world, account)))
        assert (ended.state, ended.reason) == (SendState.FAILED, "The PBX does not answer")


async def test_a_number_is_one_of_the_account_s_own_domain_and_nonsense_is_nobody() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        alice = only(world, account)
        await hand_over(world, composed(world, alice, "number", to="+4930123"))
        assert world.pbx.messages[-1].uri == f"sip:+4930123@{DOMAIN}"
        for number, to in enumerate(
            ("sip:x@y>\r\nEvil: yes", "sip:pbx.test", "mailto:x@y", "sip:x@y?Route=z")
        ):
            ended = await hand_over(world, composed(world, alice, f"bad {number}", to=to))
            assert ended.state is SendState.FAILED
            assert "Nobody" in ended.reason
        assert len(world.pbx.messages) == 1


async def test_a_message_waits_for_the_binding_and_not_for_ever() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        alice = only(world, account)
        there = world.messages.sending._around.upstream
        is_bound = False
        way = replace(
            world.messages.sending._around,
            upstream=lambda id_: there(id_) if is_bound else None,
        )
        world.messages.sending._around = way
        assert await world.do(world.messages.sending.hand_over(composed(world, alice))) is HandOver.TAKEN
        await world.run_for(20 * SECOND)
        assert state(world, alice).state is SendState.WAITING
        is_bound = True
        await world.until(lambda: state(world, alice).state is SendState.SENT)
        is_bound = False
        ended = await hand_over(world, composed(world, alice, "b"))
        assert ended.reason == "The account is not registered at its PBX now"


async def test_what_a_restart_found_unsent_is_sent_as_the_same_message() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        alice = only(world, account)
        world.pbx.transactions.on_request = lambda _transaction: None
        await world.do(world.messages.sending.hand_over(composed(world, alice)))
        first = next(one for one in world.sent_to(PBX[0]) if one.method == "MESSAGE")
    world.kill()
    world.pbx.attach(world.layer(world.there, "pbx again"), world.there, world.clock)
    async with world.running():
        await world.until(lambda: state(world, alice).state is SendState.SENT)
        (taken,) = world.pbx.messages
        assert same(taken, first)


def same(one: Message, other: Message) -> bool:
    """Whether two MESSAGEs are copies of one."""
    return (one.call_id, one.from_tag, one.body) == (other.call_id, other.from_tag, other.body)


@pytest.mark.parametrize("fault", Fault)
async def test_what_may_not_be_kept_is_handed_over_again_and_sent_once(fault: Fault) -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        message = composed(world, only(world, account))
        world.store.break_next(fault)
        with pytest.raises(StoreUnavailableError):
            await world.do(world.messages.sending.hand_over(message))
        await hand_over(world, message)
        await world.run_for(MINUTE)
        assert len(world.pbx.messages) == 1


async def test_not_too_many_wait_at_once_and_none_of_an_ended_registration() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        alice = only(world, account)
        world.pbx.transactions.on_request = lambda _transaction: None
        for number in range(MOST_WAITING):
            await world.do(world.messages.sending.hand_over(composed(world, alice, str(number))))
        one_more = composed(world, alice, "one more")
        assert await world.do(world.messages.sending.hand_over(one_more)) is HandOver.TOO_MANY
        await world.run_for(MINUTE)
        await world.do(world.lives.end(alice.id, Ended.DELETED))
        ended = await hand_over(world, composed(world, alice, "after the end"))
        assert ended.state is SendState.FAILED
