"""The timers of RFC 3261 (table 4) and RFC 6026, all derived from T1, T2 and T4.

Where a timer is zero over a reliable transport (D, I, J, K), the value here is the one for an
unreliable transport; the transaction knows which it runs over.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timers:
    """Round-trip estimate T1, longest retransmission interval T2, life in the net T4; seconds."""

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0

    @property
    def timer_b(self) -> float:
        """How long an INVITE client transaction waits for any response."""
        return 64 * self.t1

    @property
    def timer_d(self) -> float:
        """How long repeated 300-699 responses to an INVITE are acknowledged; 32 s by default."""
        return 64 * self.t1

    @property
    def timer_f(self) -> float:
        """How long a client transaction other than INVITE lasts at most."""
        return 64 * self.t1

    @property
    def timer_h(self) -> float:
        """How long an INVITE server transaction waits for the ACK."""
        return 64 * self.t1

    @property
    def timer_i(self) -> float:
        """How long repeated ACKs are absorbed."""
        return self.t4

    @property
    def timer_j(self) -> float:
        """How long repeated requests other than INVITE are answered."""
        return 64 * self.t1

    @property
    def timer_k(self) -> float:
        """How long repeated responses to a request other than INVITE are absorbed."""
        return self.t4

    @property
    def timer_l(self) -> float:
        """How long an INVITE server transaction stays Accepted (RFC 6026)."""
        return 64 * self.t1

    @property
    def timer_m(self) -> float:
        """How long an INVITE client transaction stays Accepted (RFC 6026)."""
        return 64 * self.t1
