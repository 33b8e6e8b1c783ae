"""One REGISTER conversation carried out over the transaction layer, at one address of the PBX or the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from wakerobin import metrics
from wakerobin.core.binding import (
    BindingRequest,
    Bound,
    ComeLater,
    Conversation,
    Intent,
    KeptNonce,
    Looked,
    Outcome,
    RealmUnknown,
    Refused,
    Removed,
    Unreachable,
    Unusable,
    next_cseq,
)
from wakerobin.core.ids import keyed_hash
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.targets import Target
from wakerobin.core.sip.uri import SipUri
from wakerobin.core.values import Account, Credentials, Flow
from wakerobin.services.fleet.hops import Hop, hop_to
from wakerobin.services.fleet.our_address import OurAddresses
from wakerobin.services.fleet.registrars import Registrar
from wakerobin.services.fleet.surroundings import Surroundings
from wakerobin.services.fleet.turns import Urgency

NO_ANSWER = "The PBX does not answer."

_COUNTERS = {
    kind: metrics.REGISTERS.labels(label)
    for kind, label in (
        (Bound, "bound"),
        (Removed, "removed"),
        (Looked, "looked"),
        (Refused, "refused"),
        (RealmUnknown, "realm-unknown"),
        (ComeLater, "come-later"),
        (Unusable, "unusable"),
        (Unreachable, "unreachable"),
    )
}
_NO_ADDRESS = Unreachable("The name of the PBX does not resolve to an address.")
_UNAVAILABLE = 503
_CALL_ID_OCTETS = 15
_USER_AGENT = "Wakerobin"

OnEnd: TypeAlias = Callable[["Ending"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What a conversation is for."""

    account: Account
    credentials: Credentials
    intent: Intent
    registrar: Registrar
    last_cseq: int = 0
    kept: Iterable[KeptNonce] = ()
    urgency: Urgency = Urgency.ROUTINE
    """At whose rate its REGISTERs go."""
    purpose: str = "binding"
    """Conversations of another purpose have another Call-ID: the trial of new credentials."""
    contact: str = ""
    """The Contact URI, where it is not that of the present address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a conversation ended, and where."""

    outcome: Outcome
    flow: Flow | None
    """None where the PBX has no address."""
    hop: Hop | None = None
    """The way that this flow is."""
    contact: str
    """The Contact URI that it was about."""
    cseq: int
    expires_s: int
    """What was asked for in the end."""
    started_s: float
    """When it began, monotonic seconds."""


class Cycles:
    """Starts conversations. Each is a few objects that its transaction keeps alive, and no task."""

    def __init__(self, surroundings: Surroundings, addresses: OurAddresses) -> None:
        self.around = surroundings
        self.addresses = addresses

    def start(self, errand: Errand, on_end: OnEnd) -> None:
        """Send a REGISTER now. `on_end` is called once, maybe before this returns."""
        _Cycle(self, errand, on_end).try_next()


class _Cycle:
    __slots__ = (
        "_contact",
        "_conversation",
        "_cseq",
        "_cycles",
        "_errand",
        "_flow",
        "_hop",
        "_on_end",
        "_otherwise",
        "_started_s",
        "_target",
        "_targets",
    )

    def __init__(self, cycles: Cycles, errand: Errand, on_end: OnEnd) -> None:
        self._cycles = cycles
        self._errand = errand
        self._on_end = on_end
        self._started_s = cycles.around.clock.monotonic()
        self._targets = errand.registrar.targets(errand.account.id, will_try=True)
        self._target: Target | None = None
        self._otherwise: Outcome = _NO_ADDRESS
        self._flow: Flow | None = None
        self._hop: Hop | None = None
        self._contact = errand.contact
        self._conversation: Conversation | None = None
        self._cseq = next_cseq(cycles.around.wall_s(), errand.last_cseq) - 1

    def try_next(self) -> None:
        """Turn to the next target; without one more, end."""
        errand, around = self._errand, self._cycles.around
        if not self._targets:
            self._end(self._otherwise)
            return
        self._target = target = self._targets.pop(0)
        self._hop = hop_to(target, errand.account.id, around.options.sip.pbx_connections)
        self._flow = flow = self._hop.flow(around.endpoint)
        if not errand.contact:
            self._contact = self._cycles.addresses.contact(errand.account, flow)
        is_secret = self._cycles.addresses.has_secret_user(errand.account)
        self._conversation = Conversation(
            binding_request(errand.account, self._contact, self._call_id(), has_secret_user=is_secret),
            errand.credentials,
            intent=errand.intent,
            expires_s=errand.registrar.expires_s,
            first_cseq=self._cseq + 1,
            entropy=around.entropy,
            kept=errand.kept,
            is_reliable=flow.transport.is_reliable,
        )
        self._send(self._conversation.begin(), flow)

    def _send(self, register: Message, flow: Flow) -> None:
        self._cycles.around.transactions.request(register, flow, self._answered, self._failed)

    def _answered(self, response: Message) -> None:
        assert self._conversation is not None
        assert self._flow is not None
        step = self._conversation.take(response)
        if step is None:
            return
        if isinstance(step, Message):
            self._errand.registrar.spend(self._errand.urgency)
            self._send(step, self._flow)
            return
        if isinstance(step, ComeLater) and step.status == _UNAVAILABLE:
            self._give_up_on_target(step)
            return
        if self._target is not None:
            self._cycles.around.resolver.answered(self._target)
        self._end(step)

    def _failed(self, reason: str) -> None:
        if reason == "timeout":
            self._give_up_on_target(Unreachable(NO_ANSWER))
        else:
            self._give_up_on_target(Unreachable(f"The PBX cannot be reached: {reason}.", is_refused=True))

    def _give_up_on_target(self, outcome: ComeLater | Unreachable) -> None:
        """RFC 3263 4.3: the same request goes to the next target, in a new transaction."""
        assert self._conversation is not None
        assert self._target is not None
        self._cycles.around.resolver.failed(self._target)
        self._cseq = self._conversation.cseq
        # What a PBX said itself, maybe with a Retry-After, counts more than that others said nothing.
        if not isinstance(self._otherwise, ComeLater):
            self._otherwise = outcome
        self.try_next()

    def _end(self, outcome: Outcome) -> None:
        _COUNTERS[type(outcome)].inc()
        conversation = self._conversation
        self._on_end(
            Ending(
                outcome=outcome,
                flow=self._flow,
                hop=self._hop,
                contact=self._contact,
                cseq=conversation.cseq if conversation else self._cseq,
                expires_s=conversation.expires_s if conversation else 0,
                started_s=self._started_s,
            )
        )

    def _call_id(self) -> str:
        account = self._errand.account
        registrar = f"{self._errand.registrar.hop}"
        parts = (self._errand.purpose, account.app, account.aor, registrar)
        return keyed_hash(self._cycles.around.server_secret, "Call-ID", *parts, size=_CALL_ID_OCTETS).hex()


def binding_request(
    account: Account, contact: str, call_id: str, *, has_secret_user: bool = True
) -> BindingRequest:
    """Return what each REGISTER for an account says."""
    return BindingRequest(
        aor=account.aor,
        domain=account.aor.rpartition("@")[2],
        contact_uri=contact,
        instance=account.instance,
        call_id=call_id,
        routes=(proxy_route(account.outbound_proxy),) if account.outbound_proxy else (),
        user_agent=_USER_AGENT,
        has_secret_user=has_secret_user,
    )


def proxy_route(outbound_proxy: str) -> str:
    """Return the Route value of an outbound proxy: its URI, as a loose router; empty without one."""
    if not outbound_proxy:
        return ""
    uri = SipUri.parse(outbound_proxy)
    return f"<{uri if uri.has_param('lr') else uri.with_params(lr=None)}>"
