"""The REGISTER that makes, removes or looks at our binding (RFC 3261 section 10)."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from wakerobin.core.sip.message import Message

CSEQ_EPOCH_S = 1_577_836_800
"""2020-01-01 UTC: CSeq numbers are seconds since then, so that they rise over restarts."""

_NAMES = ("max-forwards", "from", "to", "call-id", "supported", "user-agent", "cseq")


class Intent(enum.Enum):
    """What a REGISTER is to do with our Contact."""

    BIND = "bind"
    REMOVE = "remove"
    LOOK = "look"
    """Nothing: a REGISTER without Contact only lists the bindings (10.2.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BindingRequest:
    """What every REGISTER of one conversation says. All texts were checked when the account was made."""

    aor: str
    domain: str
    """`host[:port]` of the Request-URI."""
    contact_uri: str
    instance: str
    """`urn:uuid:…` of our `+sip.instance`."""
    call_id: str
    routes: tuple[str, ...] = ()
    user_agent: str = "Wakerobin"
    has_secret_user: bool = True
    """Whether a contact with the user part of ours is ours: else it may be a desk phone's."""
    contact: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "contact", f'<{self.contact_uri}>;+sip.instance="<{self.instance}>"')

    @property
    def uri(self) -> str:
        """The Request-URI, which is also the `uri` of digest answers."""
        return f"sip:{self.domain}"


def next_cseq(wall_s: float, last: int) -> int:
    """Return the number of a conversation's first REGISTER: risen, whatever the clock did meanwhile."""
    return max(last + 1, int(wall_s) - CSEQ_EPOCH_S, 1)


def register(
    request: BindingRequest,
    intent: Intent,
    *,
    cseq: int,
    from_tag: str,
    expires_s: int,
    authorizations: list[tuple[str, str]],
) -> Message:
    """Return the REGISTER, without a Via.

    Its lines are laid out here and not added one by one: a fleet sends thousands of these a second.
    """
    to, number = f"<{request.aor}>", f"{cseq} REGISTER"
    values = ["70", f"{to};tag={from_tag}", to, request.call_id, "path", request.user_agent, number]
    names = [*_NAMES]
    lines = [
        "Max-Forwards: 70",
        f"From: {to};tag={from_tag}",
        f"To: {to}",
        f"Call-ID: {request.call_id}",
        "Supported: path",
        f"User-Agent: {request.user_agent}",
        f"CSeq: {number}",
    ]
    if intent is not Intent.LOOK:
        seconds = str(expires_s if intent is Intent.BIND else 0)
        # Contact's own parameter beside the header: some registrars read only one of the two.
        contact = request.contact if intent is Intent.BIND else f"{request.contact};expires=0"
        names += ["contact", "expires"]
        values += [contact, seconds]
        lines += [f"Contact: {contact}", f"Expires: {seconds}"]
    message = Message()
    message.method, message.uri = "REGISTER", request.uri
    message.take_lines(names, values, lines)
    for route in request.routes:
        message.add("Route", route)
    for name, value in authorizations:
        message.add(name, value)
    return message
