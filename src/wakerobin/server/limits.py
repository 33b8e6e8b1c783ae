"""What SIP may cost, from the options and from what the machine allows."""

from __future__ import annotations

import resource

from wakerobin.core.addresses import networks_in
from wakerobin.core.gate import Allowances, Gate
from wakerobin.net.limits import StreamLimits
from wakerobin.ports.options import Options

_PAST_EXPIRY_S = 400.0
_SHARE_OF_FILES = 0.4
"""Of the file descriptors that this process may have, so many may be SIP connections."""

_LEAST = 16
_PBX_BURST_S = 2.0
_STRANGERS_BURST_S = 0.5
"""So much of strangers may come at once: others' datagrams must not be lost while it is worked off."""


def stream_limits(options: Options) -> StreamLimits:
    """Return what connections may cost."""
    limits = options.limits
    # A phone that registers for as long as it may must not lose its connection before it does so again.
    longest = options.sip.phone_expires_max / 1000 + _PAST_EXPIRY_S
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return StreamLimits(
        handshake=limits.handshake_time / 1000,
        first_message=limits.first_message_time / 1000,
        unproven=limits.unproven_time / 1000,
        idle=limits.idle_time / 1000 or longest,
        unread=limits.unread,
        connections=min(limits.connections, max(_LEAST, int(files * _SHARE_OF_FILES))),
        connections_from_one=limits.connections_per_source,
        unproven_from_one=limits.unproven_per_source,
        handshakes=limits.handshakes,
    )


def gate(options: Options) -> Gate:
    """Return who may send how much."""
    limits = options.limits
    allowances = Allowances(
        source_rate=limits.source_rate,
        source_burst=float(limits.source_burst),
        strangers_rate=limits.strangers_rate,
        strangers_burst=max(1.0, _STRANGERS_BURST_S * limits.strangers_rate),
        phone_rate=limits.phone_rate,
        phone_burst=float(limits.phone_burst),
        pbx_rate=limits.pbx_rate,
        pbx_burst=max(1.0, _PBX_BURST_S * limits.pbx_rate),
        ban_s=limits.ban / 1000,
    )
    return Gate(allowances, networks_in((*limits.trusted, *options.sip.call_sources)))
