"""Whether a phone will hear anything: said of a call in its story, and of a PBX as an alarm (sip 23)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from wakerobin.core.addresses import Reach, parse_address, reach
from wakerobin.core.sdp import Offer
from wakerobin.core.values import Account, Flow
from wakerobin.ports.alarms import Alarm
from wakerobin.ports.clock import Clock
from wakerobin.ports.store import Transaction

_ALARM = "no-sound:"
_MOST = 1_000
"""PBXs of which is remembered what they offered last."""


class Acoustics:
    """Compares what PBXs offer with where their phones are."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._standing: dict[str, str] = {}
        """By PBX: the private address that it offered last to a phone outside; empty for none."""
        self._unwritten: dict[str, Alarm | None] = {}

    def doubt(self, account: Account, pbx: Flow, phone: Flow, offer: Callable[[], Offer]) -> str:
        """Return the private address that will keep this phone from hearing anything; empty if none will.

        The offer is only read for a phone outside. Behind the same public address, the private one may do.
        """
        if not _is_outside(pbx.remote[0], phone.remote[0]):
            return ""
        said = offer()
        if not said.addresses:
            return ""  # a delayed offer
        address = said.private_address
        if address and not _is_same_family(address, phone.remote[0]):
            return ""
        self._note(account.aor.rpartition("@")[2], address)
        return address

    @property
    def unwritten(self) -> dict[str, Alarm | None]:
        """Return, by name, the alarms that are to be raised, or taken back (None)."""
        return dict(self._unwritten)

    def written(self, alarms: Mapping[str, Alarm | None]) -> None:
        """These are stored."""
        for name, alarm in alarms.items():
            if self._unwritten.get(name) is alarm:
                self._unwritten.pop(name, None)

    def _note(self, domain: str, address: str) -> None:
        if self._standing.get(domain) == address:
            return
        if len(self._standing) >= _MOST:
            del self._standing[next(iter(self._standing))]
        self._standing[domain] = address
        name = _ALARM + domain
        words = (
            f"Calls from {domain} to phones outside its network will have no sound: it offers the private "
            f"address {address}. Set external_media_address (Asterisk) or ext-rtp-ip (FreeSWITCH) there."
        )
        self._unwritten[name] = Alarm(name, self._clock.now(), words) if address else None


def write_alarms(tx: Transaction, alarms: Mapping[str, Alarm | None]) -> None:
    """Raise or take back what is to be; doing it twice does no harm."""
    for name, alarm in alarms.items():
        if alarm is not None:
            tx.alarms.put(alarm)
        else:
            tx.alarms.clear(name)


def _is_outside(pbx: str, phone: str) -> bool:
    address = parse_address(phone)
    return pbx != phone and address is not None and reach(address) is Reach.PUBLIC


def _is_same_family(one: str, other: str) -> bool:
    return (":" in one) == (":" in other)
