"""A small PBX that is real enough to bind to and to be called from: registrar, caller, callee.

The demo and the system tests run on it, over sockets (`start`) or in memory (`attach`). What it is like
is said by its `rules` and may change at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from wakerobin.core.addresses import DestinationPolicy, Reach, parse_address, reach
from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.ids import Entropy, hex_token
from wakerobin.core.sip.message import Message, respond
from wakerobin.core.sip.timers import Timers as SipTimers
from wakerobin.core.sip.uri import SipUri
from wakerobin.core.values import Flow
from wakerobin.net.clock import SystemClock
from wakerobin.net.endpoint import Endpoint
from wakerobin.net.wheel import Wheel
from wakerobin.ports.clock import Clock
from wakerobin.ports.options import SipOptions
from wakerobin.ports.sip import ServerTransactionHandle, SipEndpoint
from wakerobin.services.dispatch.transactions import Transactions
from wakerobin.testing.pbx_call import FakeCall
from wakerobin.testing.pbx_registrar import PbxContact, PbxRegistrar, PbxRules

_ANSWERED_SDP = (
    b"v=0\r\no=pbx 2 2 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=audio 40002 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
)


_PORT_TRIES = 20


class _OnlyLoopback(DestinationPolicy):
    """A fake speaks to this machine and to nobody else."""

    def refusal(self, address: str, port: int, host: str = "") -> str | None:
        parsed = parse_address(address)
        if parsed is None or reach(parsed) is not Reach.LOOPBACK:
            return f"{address} is not of this machine"
        return None


@dataclass(slots=True)
class TakenCall:
    """A call that a phone made to the PBX, which answers every number."""

    invite: Message
    is_over: bool = False


class FakePbx:
    """`users` are names and passwords. Every INVITE of a user, once authenticated, is answered."""

    def __init__(
        self,
        users: Mapping[str, str],
        *,
        domain: str = "pbx.test",
        rules: PbxRules | None = None,
        entropy: Entropy = os.urandom,
    ) -> None:
        self.domain = domain
        self.rules = rules or PbxRules(realm=domain)
        self.entropy = entropy
        self.host, self.port = "", 0
        self.calls: dict[str, FakeCall] = {}
        """Calls that it made, by Call-ID."""
        self.taken: dict[str, TakenCall] = {}
        """Calls that it answered, by Call-ID."""
        self.messages: list[Message] = []
        """MESSAGEs of its users, once authenticated."""
        self.answer_message: Callable[[Message], int] = lambda _message: 202
        """With which status they are answered."""
        self.strangers: list[Message] = []
        """Requests that belonged to nothing."""
        self._users = dict(users)
        self._registrar: PbxRegistrar | None = None
        self._transactions: Transactions | None = None
        self._endpoint: SipEndpoint | None = None
        self._sockets: Endpoint | None = None
        self._wheel: Wheel | None = None
        self._changed = asyncio.Event()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen on UDP and TCP of one port; 0 stands for a free one."""
        loop = asyncio.get_running_loop()
        clock, wheel = SystemClock(loop), Wheel(loop)
        self.host, self.port, self._wheel = host, port or _free_port(host), wheel
        place = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        options = SipOptions(listen=(f"udp:{place}", f"tcp:{place}"))
        self._sockets = Endpoint(options, _OnlyLoopback(), clock, wheel)
        transactions = Transactions(self._sockets, wheel, clock, self.entropy, SipTimers())
        self.attach(transactions, self._sockets, clock)
        await self._sockets.start(transactions)

    def attach(self, transactions: Transactions, endpoint: SipEndpoint, clock: Clock) -> None:
        """Answer what comes by these transactions."""
        self._transactions, self._endpoint = transactions, endpoint
        self._registrar = PbxRegistrar(self._users, self.rules, clock, self.entropy)
        transactions.on_request = self._requested
        transactions.on_cancel = self._cancelled
        transactions.on_flow_closed = self._flow_closed

    async def stop(self) -> None:
        """Close its sockets."""
        if self._sockets is not None:
            await self._sockets.close()
        if self._wheel is not None:
            self._wheel.close()

    @property
    def transactions(self) -> Transactions:
        """Its transaction layer."""
        assert self._transactions is not None, "the PBX was not started"
        return self._transactions

    @property
    def endpoint(self) -> SipEndpoint:
        """Its sockets."""
        assert self._endpoint is not None, "the PBX was not started"
        return self._endpoint

    @property
    def registrar(self) -> PbxRegistrar:
        """Its contacts, and the REGISTERs that it saw."""
        assert self._registrar is not None, "the PBX was not started"
        return self._registrar

    def contacts(self, user: str) -> list[PbxContact]:
        """Return what would ring for a user now."""
        return self.registrar.contacts(user)

    def restart(self) -> None:
        """Lose all contacts, as a restart does."""
        self.registrar.forget()

    def set_password(self, user: str, password: str) -> None:
        """Change a password, or add a user."""
        self.registrar.users[user] = password

    def call(
        self,
        user: str,
        caller: str = "+4930123456",
        display: str = "Bob",
        *,
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes | None = None,
    ) -> FakeCall:
        """Ring every contact of a user. Raises LookupError where there is none.

        `headers` are added to the INVITE; `body` goes in the place of its usual offer.
        """
        contacts = self.contacts(user)
        if not contacts:
            raise LookupError(f"{user} has no contact")
        callee = f"sip:{user}@{self.domain}"
        call = FakeCall(self, f"sip:{caller}@{self.domain}", callee, display, webrtc=self.rules.webrtc)
        self.calls[call.call_id] = call
        for contact in contacts:
            call.ring(contact, headers, body)
        return call

    def own_uri(self, user: str, flow: Flow) -> str:
        """Return the Contact of a user of this PBX towards the far end of a flow."""
        host, port = self.endpoint.local_address(flow.transport, flow.remote[0])
        shown = f"[{host}]" if ":" in host else host
        return f"sip:{user}@{shown}:{port};transport={flow.transport.value}"

    async def wait_register(self, count: int = 1, within: float = 5.0) -> None:
        """Wait until so many REGISTERs were seen. Raises TimeoutError."""
        async with asyncio.timeout(within):
            while len(self.registrar.seen) < count:
                self._changed.clear()
                await self._changed.wait()

    def _requested(self, transaction: ServerTransactionHandle) -> None:
        request = transaction.request
        if request.method == "REGISTER":
            response = self.registrar.register(request, transaction.flow)
            if response is not None:
                transaction.respond(response)
            self._changed.set()
        elif request.call_id in self.calls and request.to_tag:
            self.calls[request.call_id].receive(transaction)
        elif request.method == "INVITE" and not request.to_tag:
            self._take_call(transaction)
        elif request.method == "MESSAGE" and not request.to_tag:
            self._take_message(transaction)
        elif request.call_id in self.taken:
            self.taken[request.call_id].is_over |= request.method == "BYE"
            transaction.respond(respond(request, 200))
        elif request.method == "OPTIONS":
            transaction.respond(respond(request, 200, to_tag=hex_token(self.entropy, 6)))
        else:
            self.strangers.append(request)
            transaction.respond(respond(request, 481, to_tag=hex_token(self.entropy, 6)))

    def _cancelled(self, cancel: ServerTransactionHandle, invite: ServerTransactionHandle) -> None:
        cancel.respond(respond(cancel.request, 200))
        invite.respond(respond(invite.request, 487, to_tag=hex_token(self.entropy, 6)))

    def _take_call(self, transaction: ServerTransactionHandle) -> None:
        """Ask for the password (407), ring, answer."""
        request = transaction.request
        transaction.respond(respond(request, 100))
        user = _user_of(request)
        header = "Proxy-Authenticate"
        verdict = self.registrar.is_answered(request, self.rules.realm, header, user)
        if verdict is None:
            transaction.respond(self.registrar.challenge(request, self.rules.realm, header))
            return
        tag = hex_token(self.entropy, 6)
        if not verdict:
            transaction.respond(respond(request, 403, to_tag=tag))
            return
        self.taken[request.call_id] = TakenCall(request)
        dialled = SipUri.parse(request.uri).user or "pbx"
        contact = ("Contact", f"<{self.own_uri(dialled, transaction.flow)}>")
        transaction.respond(respond(request, 180, to_tag=tag, headers=[contact], record_route=True))
        headers = [contact, ("Content-Type", "application/sdp")]
        answer = respond(request, 200, to_tag=tag, headers=headers, body=_ANSWERED_SDP, record_route=True)
        transaction.respond(answer)

    def _take_message(self, transaction: ServerTransactionHandle) -> None:
        """Ask for the password (407), take it."""
        request = transaction.request
        header = "Proxy-Authenticate"
        if not self.registrar.is_answered(request, self.rules.realm, header, _user_of(request)):
            transaction.respond(self.registrar.challenge(request, self.rules.realm, header))
            return
        self.messages.append(request)
        status = self.answer_message(request)
        transaction.respond(respond(request, status, to_tag=hex_token(self.entropy, 6)))

    def _flow_closed(self, flow: Flow, _reason: str) -> None:
        self.registrar.drop_flow(flow)


def _free_port(host: str) -> int:
    """Return a port that is free for UDP and TCP now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(_PORT_TRIES):
        with (
            socket.socket(family, socket.SOCK_STREAM) as stream,
            socket.socket(family, socket.SOCK_DGRAM) as datagram,
        ):
            stream.bind((host, 0))
            port: int = stream.getsockname()[1]
            with contextlib.suppress(OSError):
                datagram.bind((host, port))
                return port
    raise OSError(f"no port of {host} is free for UDP and TCP")


def _user_of(request: Message) -> str:
    try:
        return SipUri.parse(request.from_.uri).user
    except SipSyntaxError:
        return ""
