"""A guest: a phone that nobody enrolled, registered at its PBX through us with a push resource of its own.

Its number stands for it in our Path and Record-Routes in the place of an account's id, far beyond them all.
"""

from __future__ import annotations

from dataclasses import dataclass

from wakerobin.core.guests.resource import push_wish
from wakerobin.core.ids import keyed_hash
from wakerobin.core.sip.uri import SipUri
from wakerobin.core.values import NO_SECRET, Purpose, PushTarget, Secret

FIRST_NUMBER = 2**48

REFRESH_LEAD_MS = 120_000
"""RFC 8599 5.5: a binding is refreshed at least so long before it ends."""

_SHARES = (1.0, 0.75, 0.5, 0.25, 0.1)
"""When a push is sent for a refresh, as shares of the lead: until one works, and never after the end."""

_LONGEST_LEAD_MS = 15 * 60_000

LONGEST_REST_MS = 3 * 24 * 3_600_000
"""No phone is left longer without a REGISTER: our Path is signed, and old keys are understood for a week."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """What has to be known of it to wake it and to keep its binding."""

    number: int
    app: str
    aor: str
    instance: str = ""
    """`urn:uuid:…` of its `+sip.instance`; empty where it has none."""
    contact_uri: str
    """As the PBX has it."""
    registrar: str
    """Where its PBX is: the outbound proxy that its REGISTERs name, else their Request-URI."""
    pbx: str
    """The address that the PBX answered from."""
    targets: tuple[PushTarget, ...] = ()
    """Where it is pushed; empty for one that asked for no pushes, or not any more."""
    has_own_timer: bool = False
    """It refreshes by itself: it is pushed only where it did not."""
    registered_at: int
    expires_at: int
    """The end of its binding at the PBX, as granted."""
    step: int = 0
    """How many pushes for a refresh are behind this binding."""

    def for_purpose(self, purpose: Purpose) -> tuple[PushTarget, ...]:
        """Return its targets that may be used for that."""
        return tuple(target for target in self.targets if purpose in target.purposes)

    @property
    def resource(self) -> Secret:
        """What its Contact says of its push resource (`PushWish.resource`); empty where that is nothing."""
        wish = push_wish(SipUri.parse(self.contact_uri))
        return wish.resource if wish is not None else NO_SECRET

    @property
    def next_at(self) -> int:
        """When there is something to do: a push for a refresh, else the end."""
        times = refreshes(self)
        return times[self.step] if self.step < len(times) else self.expires_at


def refreshes(guest: Guest) -> tuple[int, ...]:
    """Return when a guest is pushed so that it refreshes its binding.

    Early enough for several tries: a fifth of the binding, but 2 to 15 minutes; half of a very short one.
    None for a guest without a target that may be pushed in silence: Apple ends an app that reports no call
    after a VoIP push.
    """
    if not guest.for_purpose(Purpose.NOTICE):
        return ()
    granted = min(guest.expires_at - guest.registered_at, LONGEST_REST_MS)
    due_at = guest.registered_at + granted
    lead = min(max(granted // 5, REFRESH_LEAD_MS), _LONGEST_LEAD_MS, granted // 2)
    if guest.has_own_timer:
        lead = min(lead, REFRESH_LEAD_MS)  # its own REGISTER is due before that (sip.pnsreg)
    return tuple(due_at - round(lead * share) for share in _SHARES)


def steps_behind(guest: Guest, now: int) -> int:
    """Return how many pushes for a refresh lie behind `now`, this moment included."""
    return sum(at <= now for at in refreshes(guest))


def guest_number(key: bytes, aor: str, instance: str, contact_uri: str, attempt: int = 0) -> int:
    """Return the number of a phone: the same for the same AOR and instance, else Contact, in every run.

    `attempt` gives another one where a number is taken by another phone: two in a hundred thousand are.
    """
    digest = keyed_hash(key, "guest", aor, instance or contact_uri, str(attempt), size=6)
    return FIRST_NUMBER + int.from_bytes(digest, "big")


def is_guest_number(number: int) -> bool:
    """Whether a number in a token stands for a guest, not for an account."""
    return number >= FIRST_NUMBER
