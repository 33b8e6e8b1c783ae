"""What an offer says of the way that sound will take (RFC 8866): read, never changed.

Media never passes this server, but whether it can arrive at all is often plain from the offer: a browser
takes nothing without DTLS-SRTP and ICE (RFC 8827), and a private address leads nowhere from outside.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from wakerobin.core.addresses import Reach, parse_address, reach

_LINES = re.compile(
    rb"^(?:c=IN +IP[46] +([^\s/]+)|m=([a-z]+) +(\d+)|a=(fingerprint|ice-ufrag):)", re.MULTILINE
)
_WITH_SOUND = frozenset({b"audio", b"video"})
_UNREACHABLE = frozenset({Reach.PRIVATE, Reach.LOOPBACK, Reach.LINK_LOCAL})


@dataclass(frozen=True, slots=True)
class Offer:
    """The lines that matter of one session description, wherever they stand in it."""

    addresses: tuple[str, ...] = ()
    """Where each audio or video stream that is on is to be sent, by its `c=` or the session's."""
    has_fingerprint: bool = False
    """DTLS-SRTP (RFC 5763)."""
    has_ice: bool = False
    """RFC 8839."""

    @property
    def fits_browsers(self) -> bool:
        """Whether a browser can take it. A call without any stream is left to the phone."""
        return not self.addresses or (self.has_fingerprint and self.has_ice)

    @property
    def private_address(self) -> str:
        """An address that nobody outside can send to and that ICE does not mend; empty where all is well."""
        return "" if self.has_ice else next(filter(_is_private, self.addresses), "")


def read_offer(body: bytes) -> Offer:
    """Read the body of a request. What is no SDP, or none at all (a delayed offer), has no streams."""
    session, streams, attributes = "", list[str | None](), set[bytes]()
    is_within, is_on = False, False
    for address, kind, port, attribute in _LINES.findall(body):
        if attribute:
            attributes.add(attribute)
        elif kind:
            is_within, is_on = True, kind in _WITH_SOUND and port.strip(b"0") != b""
            if is_on:
                streams.append(None)
        elif not is_within:
            session = address.decode("ascii", "replace")
        elif is_on:
            streams[-1] = address.decode("ascii", "replace")
    return Offer(
        tuple(session if one is None else one for one in streams),
        has_fingerprint=b"fingerprint" in attributes,
        has_ice=b"ice-ufrag" in attributes,
    )


def _is_private(text: str) -> bool:
    address = parse_address(text)
    return address is not None and reach(address) in _UNREACHABLE
