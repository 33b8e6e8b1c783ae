"""The fake phone on real sockets, straight at the fake PBX: what it can do without us."""

from __future__ import annotations

import pytest

from wakerobin.core.values import Transport
from wakerobin.testing.pbx import FakePbx
from wakerobin.testing.phone import FakePhone
from wakerobin.testing.phone_call import PhoneCall

HOST = "127.21.11.1"


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
async def test_it_registers_takes_a_call_and_hangs_up(transport: Transport) -> None:
    pbx = FakePbx({"alice": "secret"})
    await pbx.start(HOST)
    phone = FakePhone("sip:alice@pbx.test", "secret", transport=transport)
    phone.on_call = PhoneCall.answer
    try:
        await phone.start((pbx.host, pbx.port), HOST)
        assert (await phone.register()).status == 200
        call = pbx.call("alice")
        await call.wait(lambda call: call.final == 200)
        taken = await phone.wait_call()
        await taken.until(lambda call: call.is_acknowledged)
        taken.hang_up()
        await call.wait(lambda call: call.is_over)
        await taken.until(lambda call: [one.status for one in call.responses] == [200])
    finally:
        await phone.sleep()
        await pbx.stop()


async def test_it_dials_and_answers_the_challenge() -> None:
    pbx = FakePbx({"alice": "secret"})
    await pbx.start(HOST)
    phone = FakePhone("sip:alice@pbx.test", "secret")
    try:
        await phone.start((pbx.host, pbx.port), HOST)
        call = phone.dial("100")
        await call.until(lambda call: call.answered_with is not None)
        assert 407 in [response.status for response in call.responses]
        call.hang_up()
        await call.until(lambda call: call.responses[-1].cseq.method == "BYE")
        assert call.responses[-1].status == 200
    finally:
        await phone.sleep()
        await pbx.stop()


async def test_asleep_it_cannot_be_reached_and_awake_it_can() -> None:
    pbx = FakePbx({"alice": "secret"})
    await pbx.start(HOST)
    phone = FakePhone("sip:alice@pbx.test", "secret", transport=Transport.TCP)
    try:
        await phone.start((pbx.host, pbx.port), HOST)
        await phone.register()
        await phone.sleep()
        assert not phone.is_awake
        assert (await phone.wake()).status == 200
        call = pbx.call("alice")
        await (await phone.wait_call()).until(lambda call: call.invite is not None)
        await call.wait(lambda call: call.is_ringing)
        phone.calls[0].decline()
        await call.wait(lambda call: call.final == 486)
    finally:
        await phone.sleep()
        await pbx.stop()


async def test_it_gives_up_where_its_password_is_wrong() -> None:
    pbx = FakePbx({"alice": "secret"})
    await pbx.start(HOST)
    phone = FakePhone("sip:alice@pbx.test", "another")
    try:
        await phone.start((pbx.host, pbx.port), HOST)
        assert (await phone.register()).status == 401
        assert len(pbx.registrar.seen) == 2
    finally:
        await phone.sleep()
        await pbx.stop()


async def test_a_caller_who_gives_up_gets_487_from_it() -> None:
    pbx = FakePbx({"alice": "secret"})
    await pbx.start(HOST)
    phone = FakePhone("sip:alice@pbx.test", "secret")
    try:
        await phone.start((pbx.host, pbx.port), HOST)
        await phone.register()
        call = pbx.call("alice")
        await call.wait(lambda call: call.is_ringing)
        call.cancel()
        await phone.calls[0].until(lambda call: call.is_cancelled)
        await call.wait(lambda call: call.final == 487)
    finally:
        await phone.sleep()
        await pbx.stop()
