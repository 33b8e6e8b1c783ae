"""What streams may cost us."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """Seconds, octets, connections."""

    connect: float = 10.0
    """How long a connection of ours may take to be made."""
    handshake: float = 10.0
    """How long the TLS handshake of a peer may take."""
    first_message: float = 30.0
    """How soon an accepted connection must have brought a whole message."""
    unproven: float = math.inf
    """How soon somebody must have proved himself over it."""
    idle: float = 4_000.0
    """How long a connection may bring nothing: more than the longest expiry granted to a phone."""
    pong: float = 10.0
    """How soon a peer that answers keep-alives answers each of them (RFC 5626 4.4.1)."""
    unread: int = 256 * 1024
    """Octets that wait for a peer that does not read; beyond it the connection ends."""
    connections: int = 20_000
    """Accepted connections at a time."""
    connections_from_one: int = 2_000
    """Accepted connections at a time from one source: many phones may be behind it."""
    unproven_from_one: int = 2_000
    """Of these, those over which nobody has proved himself."""
    handshakes: int = 500
    """TLS handshakes under way at a time."""
