"""A fake PBX that writes: MESSAGEs and NOTIFYs to our Contact, over real sockets."""

from __future__ import annotations

import asyncio
import itertools

from wakerobin.core.sip.message import Message
from wakerobin.testing.pbx import FakePbx

SUMMARY = "application/simple-message-summary"
PATIENCE_S = 10.0

_numbers = itertools.count(1)


def to_contact(pbx: FakePbx, user: str, method: str, *headers: tuple[str, str], body: bytes = b"") -> Message:
    """Return a request of a PBX to the Contact that we gave it for a user."""
    number = next(_numbers)
    lines = [
        ("Max-Forwards", "70"),
        ("From", f'"Ben" <sip:+4930123456@{pbx.domain}>;tag=w{number}'),
        ("To", f"<sip:{user}@{pbx.domain}>"),
        ("Call-ID", f"written-{number}"),
        ("CSeq", f"1 {method}"),
        *headers,
    ]
    return Message.request(method, pbx.contacts(user)[0].uri, lines, body)


async def deliver(pbx: FakePbx, user: str, request: Message) -> Message:
    """Send it, and return the final response."""
    answered: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

    def came(response: Message) -> None:
        if response.status >= 200 and not answered.done():
            answered.set_result(response)

    pbx.transactions.request(request, pbx.contacts(user)[0].flow, came, lambda _reason: None)
    return await asyncio.wait_for(answered, PATIENCE_S)


async def write(pbx: FakePbx, user: str, text: str | bytes, *headers: tuple[str, str]) -> Message:
    """Write a text message to a user; returns the answer."""
    body = text.encode() if isinstance(text, str) else text
    said = headers or (("Content-Type", "text/plain;charset=UTF-8"),)
    return await deliver(pbx, user, to_contact(pbx, user, "MESSAGE", *said, body=body))


async def tell_mailbox(pbx: FakePbx, user: str, new: int, old: int) -> Message:
    """Say what is in a user's mailbox."""
    headers = (("Event", "message-summary"), ("Subscription-State", "active"), ("Content-Type", SUMMARY))
    body = f"Messages-Waiting: {'yes' if new else 'no'}\r\nVoice-Message: {new}/{old} (0/0)\r\n".encode()
    contact = ("Contact", f"<sip:mailbox@{pbx.host}:{pbx.port}>")
    return await deliver(pbx, user, to_contact(pbx, user, "NOTIFY", *headers, contact, body=body))
