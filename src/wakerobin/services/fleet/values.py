"""What the fleet tells the other services."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from wakerobin.core.values import BindingState, Flow


@dataclass(frozen=True, slots=True)
class BindingStatus:
    """Where the binding of an account stands; times are epoch milliseconds, 0 for unknown."""

    state: BindingState
    since_at: int = 0
    reason_code: str = ""
    reason: str = ""
    expires_at: int = 0


@dataclass(frozen=True, slots=True)
class Upstream:
    """The way from us to an account's PBX: the binding's own path (RFC 3261, RFC 3608)."""

    flow: Flow
    contact_uri: str
    """Our Contact as the PBX has it."""
    our_address: tuple[str, int]
    """Address and port under which this PBX reaches us: for Record-Route."""
    service_route: tuple[str, ...]
    """Route values that requests to the PBX must carry, as they came; often none."""
    proxy_uri: str
    """The outbound proxy as a Route value, `<sip:…;lr>`, or empty."""
    domain: str


class TrialVerdict(enum.StrEnum):
    """What became of credentials that were tried at the PBX."""

    PROVEN = "proven"
    REFUSED = "refused"
    UNCHALLENGED = "unchallenged"
    """The PBX asks for no password, so nothing was proven."""
    BUSY = "busy"
    """Too many wrong credentials were tried at this PBX lately: nothing was asked."""
    TOO_MANY_REFUSED = "too-many-refused"
    """This user's credentials were refused too often: nothing was asked."""
    UNREACHABLE = "unreachable"
    """No answer, or one that says nothing of the credentials. It will be tried again."""
    GONE = "gone"
    """There is nothing to try any more."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """The first answer to a trial. `code` is the name of a problem of the API, empty when proven."""

    verdict: TrialVerdict
    code: str = ""
    reason: str = ""
    retry_after_s: int = 0
