"""A tap at the sockets of one peer: tells every SIP message that leaves or comes, and changes nothing."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable
from typing import TypeAlias

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.message import Message, parse
from wakerobin.core.values import Flow, Transport
from wakerobin.ports.sip import SipEndpoint, SipReceiver


class Way(enum.Enum):
    """Whether a message leaves the tapped peer or comes to it."""

    LEAVES = "leaves"
    COMES = "comes"


OnMessage: TypeAlias = Callable[[Message, Way], None]


class TappedEndpoint:
    """Implements `ports.sip.SipEndpoint` by another one."""

    def __init__(self, endpoint: SipEndpoint, on_message: OnMessage) -> None:
        self._endpoint = endpoint
        self._on_message = on_message

    def send(self, flow: Flow, data: bytes) -> bool:
        """Tell it and send it."""
        with contextlib.suppress(SipSyntaxError):  # a keep-alive is no message
            self._on_message(parse(data), Way.LEAVES)
        return self._endpoint.send(flow, data)

    def flow_to(
        self, transport: Transport, address: str, port: int, local: str = "", name: str = "", lane: int = 0
    ) -> Flow:
        """Return a flow to an address; see the port."""
        return self._endpoint.flow_to(transport, address, port, local, name, lane)

    def local_address(self, transport: Transport, remote: str) -> tuple[str, int]:
        """Return the own address towards `remote`; see the port."""
        return self._endpoint.local_address(transport, remote)

    def is_open(self, flow: Flow) -> bool:
        """Whether the flow can carry a message; see the port."""
        return self._endpoint.is_open(flow)

    def close_flow(self, flow: Flow) -> None:
        """Close a stream; see the port."""
        self._endpoint.close_flow(flow)


class TappedReceiver:
    """Implements `ports.sip.SipReceiver` by another one."""

    def __init__(self, receiver: SipReceiver, on_message: OnMessage) -> None:
        self._receiver = receiver
        self._on_message = on_message

    def receive(self, message: Message, flow: Flow) -> None:
        """Tell it and hand it on."""
        self._on_message(message, Way.COMES)
        self._receiver.receive(message, flow)

    def heard(self, flow: Flow) -> None:
        """Hand it on."""
        self._receiver.heard(flow)

    def flow_closed(self, flow: Flow, reason: str) -> None:
        """Hand it on."""
        self._receiver.flow_closed(flow, reason)
