"""What every phone of the matrix goes through: a call that wakes it, one that is given up, a transfer."""

from __future__ import annotations

import asyncio

from tests.interop.matrix.cells import Cell, Transfer
from tests.interop.matrix.stage import Stage
from tests.interop.peers.lab import Lab
from tests.interop.peers.network import until
from tests.interop.peers.softphone import Softphone
from tests.interop.peers.wire import Message


async def travel(stage: Stage, lab: Lab, cell: Cell) -> None:
    """Go through all of it; AssertionError or TimeoutError where it ends early."""
    one = await stage.enrol(cell)
    phone = stage.phone(lab, cell)
    caller = await stage.caller(lab, cell)

    await caller.dial(f"sip:{cell.user}@pbx.test")
    push = await stage.pns.wait_push(one.call_token)
    assert push.payload["wakerobin"]["registration"] == one.id
    assert not phone.is_awake
    await phone.wake()
    await _answered(phone, caller)
    await phone.hold()
    await phone.resume()
    await (phone if cell.hangs_up == "phone" else caller).hang_up()
    await phone.wait_idle()
    await caller.wait_idle()
    assert await stage.outcome(one) == "answered"
    assert len(stage.pns.to(one.call_token)) == 1

    await caller.dial(f"sip:{cell.user}@pbx.test")
    await phone.wait_ringing(count=2)
    await caller.hang_up()
    await phone.wait_idle()
    assert await stage.outcome(one) == "cancelled"
    calls = [one for one in phone.messages() if one.start_line.startswith("INVITE ") and not one.sent]
    assert len({one.call_id for one in calls}) == 2

    await phone.dial(f"sip:{cell.caller}@pbx.test")
    await caller.wait_ringing()
    await caller.answer()
    await phone.wait_established()
    await caller.wait_established()
    await phone.hang_up()
    await phone.wait_idle()
    await caller.wait_idle()
    assert any(is_challenge(one) for one in phone.messages()), "the PBX asked who calls"


def is_challenge(message: Message) -> bool:
    """Whether it is a PBX's answer to an INVITE without credentials."""
    return message.status in (401, 407) and message.method == "INVITE" and not message.sent


async def _answered(phone: Softphone, caller: Softphone) -> None:
    await phone.wait_registered()
    await phone.wait_ringing()
    await phone.answer()
    await phone.wait_message("ACK")
    await phone.wait_established()
    await caller.wait_established()


async def refused(stage: Stage, lab: Lab, cell: Cell) -> None:
    """A phone that cannot answer the challenge: it is woken, and gives up by itself."""
    one = await stage.enrol(cell)
    phone = stage.phone(lab, cell)
    caller = await stage.caller(lab, cell)
    await caller.dial(f"sip:{cell.user}@pbx.test")
    await stage.pns.wait_push(one.call_token)
    await phone.wake()
    challenge = await phone.wait_message("SIP/2.0 401")
    assert f"algorithm={cell.digest}" in challenge.header("WWW-Authenticate")
    await phone.wait_refused()
    assert not any("Authorization" in message.text for message in phone.messages() if message.sent)
    await caller.hang_up()
    assert await stage.outcome(one) == "cancelled"


async def transferred(stage: Stage, lab: Lab, transfer: Transfer) -> None:
    """A woken phone and its caller talk, one sends the other to a third, and hangs up."""
    cell, user = transfer.cell, transfer.user
    one = await stage.enrol(cell, user)
    phone = stage.phone(lab, cell, user)
    caller = await stage.other(lab, transfer.called_by, f"caller-of-{user}")
    third = await stage.other(lab, transfer.called_by, transfer.third)
    await caller.dial(f"sip:{user}@pbx.test")
    await stage.pns.wait_push(one.call_token)
    await phone.wake()
    await _answered(phone, caller)

    sends = phone if transfer.by_phone else caller
    async with asyncio.TaskGroup() as at_once:
        at_once.create_task(sends.transfer(f"sip:{transfer.third}@pbx.test"))
        await third.wait_ringing()
        await third.answer()
        await third.wait_established()
    invite = await third.wait_message("INVITE")
    assert user in invite.header("From") or f"caller-of-{user}" in invite.header("From")
    await third.hang_up()
    await third.wait_idle()


async def joined(stage: Stage, lab: Lab, transfer: Transfer) -> None:
    """Somebody in two calls joins the other two: the woken phone itself, or its caller."""
    cell, user = transfer.cell, transfer.user
    one = await stage.enrol(cell, user)
    phone = stage.phone(lab, cell, user)
    caller = await stage.other(lab, transfer.called_by, f"caller-of-{user}")
    third = await stage.other(lab, transfer.called_by, transfer.third)
    if not transfer.by_phone:
        await caller.dial(f"sip:{transfer.third}@pbx.test")
        await third.wait_ringing()
        await third.answer()
        await caller.wait_established()
        await caller.hold()
    await caller.dial(f"sip:{user}@pbx.test")
    await stage.pns.wait_push(one.call_token)
    await phone.wake()
    await _answered(phone, caller)
    if transfer.by_phone:
        await phone.hold()
        await phone.dial(f"sip:{transfer.third}@pbx.test")
        await third.wait_ringing()
        await third.answer()
        await third.wait_message("ACK")
        await phone.wait_established()

    joins, stays = (phone, third) if transfer.by_phone else (caller, phone)
    await joins.join()
    invite = await stays.wait_message("INVITE", count=2)
    first = await stays.wait_message("INVITE")
    assert invite.header("Replaces").partition(";")[0] == first.call_id
    await until(
        lambda: any(one.status == 200 and one.call_id == invite.call_id for one in stays.messages()),
        what=f"{stays.name} takes the new call for the old one",
    )
