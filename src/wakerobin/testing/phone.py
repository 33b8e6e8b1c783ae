"""A softphone that sleeps: it has no connection until it is woken, then registers and takes its call.

The demo and the system tests run on it, over sockets (`start`) or in memory (`attach`). It knows one
server, ours, as its outbound proxy and as its registrar.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from wakerobin.core.addresses import DestinationPolicy, Reach, parse_address, reach
from wakerobin.core.ids import Entropy, hex_token
from wakerobin.core.sip import digest
from wakerobin.core.sip.message import Message, respond
from wakerobin.core.sip.timers import Timers as SipTimers
from wakerobin.core.sip.uri import SipUri
from wakerobin.core.values import Flow, Transport
from wakerobin.net.clock import SystemClock
from wakerobin.net.endpoint import Endpoint
from wakerobin.net.wheel import Wheel
from wakerobin.ports.clock import Clock, Timers
from wakerobin.ports.options import SipOptions
from wakerobin.ports.sip import ServerTransactionHandle, SipEndpoint
from wakerobin.services.dispatch.transactions import Transactions
from wakerobin.testing.phone_call import SDP, PhoneCall, incoming_call

_ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO, NOTIFY"
_MOST_TRIES = 3


class _OnlyLoopback(DestinationPolicy):
    """A fake speaks to this machine and to nobody else."""

    def refusal(self, address: str, port: int, host: str = "") -> str | None:
        parsed = parse_address(address)
        if parsed is None or reach(parsed) is not Reach.LOOPBACK:
            return f"{address} is not of this machine"
        return None


class FakePhone:
    """One installation of an app with one account.

    `on_call` is what it does with a call: by default it rings. A test may set `PhoneCall.answer`.
    """

    def __init__(
        self,
        aor: str,
        password: str,
        *,
        username: str = "",
        transport: Transport = Transport.UDP,
        instance: str = "",
        entropy: Entropy = os.urandom,
    ) -> None:
        user = SipUri.parse(aor)
        self.aor = aor
        self.password = password
        self.username = username or user.user
        self.domain = user.host
        self.transport = transport
        self.instance = instance
        self.contact_params = ""
        """Parameters of the Contact URI, e.g. `;wr-reg=pr_…`."""
        self.expires = 300
        self.calls: list[PhoneCall] = []
        """Calls that came, in their order."""
        self.others: list[Message] = []
        """Requests outside any dialog, other than INVITE."""
        self.answer_others: Callable[[Message], int] = lambda _request: 200
        """With which status they are answered; 0: not at all."""
        self.registers: list[Message] = []
        """Final responses to its REGISTERs."""
        self.on_call: Callable[[PhoneCall], None] = PhoneCall.ring
        self.entropy = entropy
        self.server: tuple[str, int] = ("", 0)
        self.local_host = "127.0.0.1"
        self._by_call_id: dict[str, list[PhoneCall]] = {}
        self._by_transaction: dict[int, PhoneCall] = {}
        self._transactions: Transactions | None = None
        self._endpoint: SipEndpoint | None = None
        self._clock: Clock | None = None
        self._timers: Timers | None = None
        self._sockets: Endpoint | None = None
        self._wheel: Wheel | None = None
        self._register_call_id = f"{hex_token(entropy, 8)}@phone"
        self._cseq = 0
        self._challenge: digest.Challenge | None = None
        self._nc = 0
        self._changed = asyncio.Event()

    # Asleep and awake

    async def start(self, server: tuple[str, int], host: str = "127.0.0.1") -> None:
        """Open its sockets on `host`, as an app does that comes to the foreground."""
        loop = asyncio.get_running_loop()
        clock, wheel = SystemClock(loop), Wheel(loop)
        place = f"[{host}]:0" if ":" in host else f"{host}:0"
        options = SipOptions(listen=(f"udp:{place}", f"tcp:{place}"))
        sockets = Endpoint(options, _OnlyLoopback(), clock, wheel)
        transactions = Transactions(sockets, wheel, clock, self.entropy, SipTimers())
        self.local_host, self._sockets, self._wheel = host, sockets, wheel
        self.attach(server, transactions, sockets, clock, wheel)
        await sockets.start(transactions)

    def attach(
        self,
        server: tuple[str, int],
        transactions: Transactions,
        endpoint: SipEndpoint,
        clock: Clock,
        timers: Timers,
    ) -> None:
        """Use these transactions to speak to the server."""
        self.server = server
        self._transactions, self._endpoint = transactions, endpoint
        self._clock, self._timers = clock, timers
        transactions.on_request = self._requested
        transactions.on_cancel = self._cancelled
        transactions.on_ack = self._acknowledged

    @property
    def is_awake(self) -> bool:
        """Whether it can be reached by SIP."""
        return self._transactions is not None

    async def sleep(self) -> None:
        """Close its sockets without a word, as a phone does whose app is suspended or killed."""
        if self._sockets is not None:
            await self._sockets.close()
        if self._wheel is not None:
            self._wheel.close()
        self._sockets = self._wheel = self._transactions = self._endpoint = None
        self._challenge = None

    async def wake(self) -> Message:
        """Do what a push makes an app do: come up, register, and return the final response."""
        if not self.is_awake:
            await self.start(self.server, self.local_host)
        return await self.register()

    # REGISTER

    async def register(self, expires: int | None = None, contact: str = "", within: float = 5.0) -> Message:
        """Register and return the final response. Raises TimeoutError."""
        seconds = self.expires if expires is None else expires
        async with asyncio.timeout(within):
            return await self._register(contact or self._contact_header(), seconds)

    def forget_challenge(self) -> None:
        """Begin anew: the next REGISTER goes out without an answer."""
        self._challenge = None

    async def unregister(self) -> Message:
        """Take the Contact back (`expires=0`)."""
        return await self.register(expires=0)

    async def _register(self, contact: str, expires: int) -> Message:
        response: Message | None = None
        for _ in range(_MOST_TRIES):
            response = await self._send_register(contact, expires)
            found = digest.strongest(digest.challenges(response)) if response.status == 401 else None
            if found is None or self._is_refused(found):
                break
            self._challenge, self._nc = found, 0
        assert response is not None
        self.registers.append(response)
        self._changed.set()
        return response

    def _is_refused(self, again: digest.Challenge) -> bool:
        """Whether our answer was not taken, so that to repeat it is in vain (RFC 3261 22.3)."""
        return self._challenge is not None and again.realm == self._challenge.realm and not again.stale

    async def _send_register(self, contact: str, expires: int) -> Message:
        self._cseq += 1
        request = Message.request(
            "REGISTER",
            f"sip:{self.domain}",
            [
                ("Max-Forwards", "70"),
                ("From", f"<{self.aor}>;tag={hex_token(self.entropy, 6)}"),
                ("To", f"<{self.aor}>"),
                ("Call-ID", self._register_call_id),
                ("CSeq", f"{self._cseq} REGISTER"),
                ("Contact", contact),
                ("Expires", str(expires)),
            ],
        )
        if self._challenge is not None:
            self._nc += 1
            request.add("Authorization", self._answer(self._challenge, request, self._nc))
        return await self._final(request)

    # Calls

    def dial(self, number: str) -> PhoneCall:
        """Call a number or a SIP URI through the server."""
        target = number if ":" in number else f"sip:{number}@{self.domain}"
        tag = hex_token(self.entropy, 6)
        call_id = f"{hex_token(self.entropy, 8)}@phone"
        call = PhoneCall(self, call_id, f"<{self.aor}>;tag={tag}", f"<{target}>")
        invite = self.request_to("INVITE", target, call_id, tag)
        invite.add("Content-Type", "application/sdp")
        invite.body = SDP
        self._by_call_id[call_id] = [call]
        call.dial(invite)
        return call

    def request_to(self, method: str, target: str, call_id: str = "", tag: str = "") -> Message:
        """Return a request outside a dialog, with the server as its preloaded Route."""
        host, port = self.server
        route = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        transport = "" if self.transport is Transport.UDP else f";transport={self.transport}"
        return Message.request(
            method,
            target,
            [
                ("Max-Forwards", "70"),
                ("Route", f"<sip:{route}{transport};lr>"),
                ("From", f"<{self.aor}>;tag={tag or hex_token(self.entropy, 6)}"),
                ("To", f"<{target}>"),
                ("Call-ID", call_id or f"{hex_token(self.entropy, 8)}@phone"),
                ("CSeq", f"1 {method}"),
                ("Contact", f"<{self.contact}>"),
                ("Allow", _ALLOW),
            ],
        )

    async def send(self, request: Message, within: float = 5.0) -> Message:
        """Send a request outside a dialog and return its final response."""
        async with asyncio.timeout(within):
            return await self._final(request)

    async def wait_call(self, count: int = 1, within: float = 5.0) -> PhoneCall:
        """Wait for the call with this number, from 1. Raises TimeoutError."""
        async with asyncio.timeout(within):
            while len(self.calls) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.calls[count - 1]

    def authorize(self, request: Message, response: Message) -> bool:
        """Answer the challenge of a 401 or 407 in `request`. False: it cannot be answered."""
        found = digest.strongest(digest.challenges(response))
        if found is None:
            return False
        header = "Proxy-Authorization" if found.proxy else "Authorization"
        request.set(header, self._answer(found, request, 1))
        return True

    # What a call needs

    @property
    def transactions(self) -> Transactions:
        """Its transaction layer."""
        assert self._transactions is not None, "the phone sleeps"
        return self._transactions

    @property
    def endpoint(self) -> SipEndpoint:
        """Its sockets."""
        assert self._endpoint is not None, "the phone sleeps"
        return self._endpoint

    @property
    def clock(self) -> Clock:
        """Its clock."""
        assert self._clock is not None, "the phone was never awake"
        return self._clock

    @property
    def timers(self) -> Timers:
        """Its timers."""
        assert self._timers is not None, "the phone was never awake"
        return self._timers

    @property
    def flow(self) -> Flow:
        """The way to its server."""
        return self.endpoint.flow_to(self.transport, *self.server)

    @property
    def contact(self) -> str:
        """The URI under which it can be reached."""
        host, port = self.endpoint.local_address(self.transport, self.server[0])
        shown = f"[{host}]" if ":" in host else host
        transport = "" if self.transport is Transport.UDP else f";transport={self.transport}"
        return f"sip:{SipUri.parse(self.aor).user}@{shown}:{port}{transport}{self.contact_params}"

    def _contact_header(self) -> str:
        instance = f';+sip.instance="<{self.instance}>"' if self.instance else ""
        return f"<{self.contact}>{instance}"

    def _answer(self, challenge: digest.Challenge, request: Message, nc: int) -> str:
        ha1 = digest.ha1(challenge.algorithm, self.username, challenge.realm, self.password)
        return digest.answer(
            challenge,
            username=self.username,
            ha1=ha1,
            method=request.method,
            uri=request.uri,
            nc=nc,
            cnonce=hex_token(self.entropy, 8),
            body=request.body,
        )

    async def _final(self, request: Message) -> Message:
        answered: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

        def response_came(response: Message) -> None:
            if response.status >= 200 and not answered.done():
                answered.set_result(response)

        def failed(reason: str) -> None:
            if not answered.done():
                answered.set_exception(ConnectionError(reason))

        self.transactions.request(request, self.flow, response_came, failed)
        return await answered

    def _requested(self, transaction: ServerTransactionHandle) -> None:
        request = transaction.request
        known = self._call_of(request)
        if request.to_tag is not None:
            if known is not None and not known.is_over:
                known.received(transaction)
            else:
                transaction.respond(respond(request, 481))
        elif request.method == "INVITE":
            transaction.respond(respond(request, 100))
            call = incoming_call(self, transaction)
            self._by_call_id.setdefault(call.call_id, []).append(call)
            self._by_transaction[id(transaction)] = call
            self.calls.append(call)
            self._changed.set()
            self.on_call(call)
        else:
            self.others.append(request)
            self._changed.set()
            status = self.answer_others(request)
            if status:
                transaction.respond(respond(request, status, to_tag=hex_token(self.entropy, 6)))

    def _call_of(self, request: Message) -> PhoneCall | None:
        """Return the call by our tag: two copies of an INVITE are two calls."""
        calls = self._by_call_id.get(request.call_id, ())
        return next((call for call in calls if call.tag == request.to_tag), None)

    def _cancelled(self, cancel: ServerTransactionHandle, invite: ServerTransactionHandle) -> None:
        self._by_transaction[id(invite)].cancelled(cancel)

    def _acknowledged(self, ack: Message, _flow: Flow) -> None:
        known = self._call_of(ack)
        if known is not None:
            known.acknowledged(ack)
