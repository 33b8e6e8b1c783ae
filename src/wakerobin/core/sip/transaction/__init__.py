"""The four transaction machines of RFC 3261 section 17, as corrected by RFC 6026.

Each machine is driven by three things: a message, `on_timer` at its `deadline`, and
`transport_failed`. Each answers with a list of effects, to be performed in their order.
"""

from __future__ import annotations

from wakerobin.core.sip.transaction.client_invite import InviteClientTransaction
from wakerobin.core.sip.transaction.client_other import ClientTransaction
from wakerobin.core.sip.transaction.effects import (
    Effect,
    PassUp,
    Terminated,
    TimedOut,
    Transmit,
    TransportFailed,
)
from wakerobin.core.sip.transaction.server_invite import InviteServerTransaction
from wakerobin.core.sip.transaction.server_other import ServerTransaction
from wakerobin.core.sip.transaction.state import TransactionState

__all__ = [
    "ClientTransaction",
    "Effect",
    "InviteClientTransaction",
    "InviteServerTransaction",
    "PassUp",
    "ServerTransaction",
    "Terminated",
    "TimedOut",
    "TransactionState",
    "Transmit",
    "TransportFailed",
]
