"""What is left for a phone that is not there: so much, and no more."""

from __future__ import annotations

import gc

from wakerobin.core.sip.message import Message
from wakerobin.core.tokens import RouteToken, Side
from wakerobin.services.relay.late import MOST_OF_AN_ACCOUNT, LateMessage, LateMessages
from wakerobin.testing.clock import ManualClock


def test_what_is_dropped_fills_no_memory_until_its_time_is_over() -> None:
    clock = ManualClock()
    late = LateMessages(clock, clock, 300.0)
    for number in range(5 * MOST_OF_AN_ACCOUNT):
        bye = Message.request("BYE", "sip:alice@phone.test", [("Call-ID", str(number))])
        late.wait(bye, RouteToken(Side.PBX, 1, installation=1))
    gc.collect()
    alive = [one for one in gc.get_objects() if isinstance(one, LateMessage)]
    assert len(alive) == len(late) == MOST_OF_AN_ACCOUNT
    alive.clear()
    clock.advance(300_001)
    assert not len(late)
