"""What every call on the switchboard shares: the doors to the transaction layer, the pushes, the tokens."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from wakerobin.core import tokens
from wakerobin.core.ids import Entropy
from wakerobin.core.lifetime import LifetimePolicy
from wakerobin.core.pushes import (
    Accepted,
    CallDetails,
    Outcome,
    PushMessage,
    PushType,
    Rejected,
    TargetGone,
    Throttled,
)
from wakerobin.core.sip.message import Message
from wakerobin.core.values import Account, Flow, PhoneFlow
from wakerobin.ports.clock import Clock, Timers
from wakerobin.ports.sip import SipEndpoint, TransactionLayer
from wakerobin.ports.texts import Texts
from wakerobin.services.phones.routes import Address, RecordRoutes
from wakerobin.services.switchboard.acoustics import Acoustics
from wakerobin.services.switchboard.incoming import leads_somewhere, registration_call_id
from wakerobin.services.switchboard.wake import (
    CALL_OVER_MS,
    ELSEWHERE,
    CallWords,
    Wakeable,
    call_details,
    call_over_pushes,
    call_push_id,
    call_pushes,
    can_be_told,
)


class CallPushes(Protocol):
    """The part of the courier that calls need."""

    def call_now(
        self,
        messages: list[PushMessage],
        on_outcome: Callable[[PushMessage, Outcome], None],
        deadline: float,
    ) -> None:
        """Send at once; `deadline` in monotonic seconds."""
        ...

    def call_over(self, call_id: str) -> None:
        """No push of this call (the `call_id` of its payload) may leave any more."""
        ...


class Exchange:
    """Constructed once; has no state of a call."""

    def __init__(  # noqa: PLR0913 - it is where the ports meet; all of them named
        self,
        *,
        clock: Clock,
        timers: Timers,
        transactions: TransactionLayer,
        endpoint: SipEndpoint,
        courier: CallPushes,
        routes: RecordRoutes,
        keys: tokens.TokenKeys,
        entropy: Entropy,
        lifetime: Callable[[str], LifetimePolicy],
        pbx_address: Callable[[Account], Address | None],
        texts: Texts,
        api: str = "",
    ) -> None:
        self.clock = clock
        self.timers = timers
        self.transactions = transactions
        self._endpoint = endpoint
        self._courier = courier
        self._routes = routes
        self.keys = keys
        self.entropy = entropy
        self._lifetime = lifetime
        self._pbx_address = pbx_address
        self._words = CallWords(texts)
        self._api = api
        self.acoustics = Acoustics(clock)

    def push(
        self,
        invite: Message,
        wakeable: Wakeable,
        expires_at: int,
        on_outcome: Callable[[int, bool, str], None],
    ) -> None:
        """Send the call pushes of one registration; `on_outcome(target id, accepted, reason)` for each."""
        now = self.clock.now()
        policy = self._lifetime(wakeable.registration.app)
        details = self._details(invite, wakeable)
        text = self._words.text(PushType.CALL, wakeable, details)
        messages = call_pushes(self.keys.lasting, details, wakeable, text, policy, (now, expires_at))
        deadline = self.clock.monotonic() + (expires_at - now) / 1000

        def settled(message: PushMessage, outcome: Outcome) -> None:
            on_outcome(message.target.id, isinstance(outcome, Accepted), _words(message, outcome))

        self._courier.call_now(messages, settled, deadline)

    def call_over(self, invite: Message, wakeable: Wakeable) -> None:
        """The call is over for this registration: what has not left, does not leave."""
        self._courier.call_over(self.call_id(invite, wakeable))

    def call_id(self, invite: Message, wakeable: Wakeable) -> str:
        """Return the `call_id` under which a registration knows this call."""
        public_id = wakeable.registration.public_id
        return registration_call_id(self.keys.lasting, invite.call_id, invite.from_tag or "", public_id)

    def push_ids(self, invite: Message, wakeable: Wakeable) -> list[str]:
        """Return the ids of the call pushes of a registration, as its receipts name them."""
        call_id = self.call_id(invite, wakeable)
        return [call_push_id(self.keys.lasting, call_id, target) for target in wakeable.targets]

    def take_back(
        self, invite: Message, wakeable: Wakeable, taken_by: Collection[int], state: str
    ) -> list[str]:
        """Tell the targets whose call push was accepted that the call is over; return the push services."""
        if not any(can_be_told(one, state) for one in wakeable.targets if one.id in taken_by):
            return []
        now = self.clock.now()
        details = self._details(invite, wakeable)
        variant = "elsewhere" if state == ELSEWHERE else ""
        messages = call_over_pushes(
            self.keys.lasting,
            details,
            wakeable,
            self._words.text(PushType.CALL_OVER, wakeable, details, variant),
            self._lifetime(wakeable.registration.app),
            taken_by=taken_by,
            state=state,
            now=now,
        )
        self._courier.call_now(messages, _ignore, self.clock.monotonic() + CALL_OVER_MS / 1000)
        return sorted({message.target.provider.value.upper() for message in messages})

    def _details(self, invite: Message, wakeable: Wakeable) -> CallDetails:
        return call_details(self.keys.lasting, invite, wakeable.registration, self._api)

    def record_routes(
        self, phone: PhoneFlow, account: Account, invite: Message, seen: Flow
    ) -> tuple[str, str]:
        """Return our two Record-Routes: the PBX's side carries the address under which *it* reaches us.

        Where the PBX's Contact may lead nowhere, it also says where the INVITE was `seen` to come from.
        """
        address = self._pbx_address(account)
        if address is None:
            host, port = self._endpoint.local_address(seen.transport, seen.remote[0])
            address = Address(host, port, seen.transport)
        return self._routes.pair(phone, address, None if leads_somewhere(invite, seen) else seen)

    def branch(self, sent: Message, phone: PhoneFlow) -> str:
        """Return a branch that is known again after a restart."""
        number = self._routes.installation_number(phone)
        return tokens.branch(self.keys, sent.call_id, sent.cseq.number, number, self.entropy(6))

    def is_ours(self, uri: str) -> bool:
        """Whether a Record-Route value is one of ours."""
        return self._routes.is_written_by_us(uri)


def _ignore(_message: PushMessage, _outcome: Outcome) -> None:
    """A phone that does not hear that a call is over asks the API, as it would without."""


def _words(message: PushMessage, outcome: Outcome) -> str:
    service = message.target.provider.value.upper()
    match outcome:
        case Accepted():
            return service
        case TargetGone(reason=reason):
            return f"{service} says that the app is gone ({reason})"
        case Throttled(reason=reason):
            return f"{service} takes no more now ({reason})"
        case Rejected(reason=reason):
            return f"{service} refuses the push ({reason})"
        case _:
            return f"{service} cannot be reached ({outcome.reason})"
