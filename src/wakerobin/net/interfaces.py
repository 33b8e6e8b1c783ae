"""Which addresses this machine has, as Linux lists them."""

from __future__ import annotations

import ipaddress
from itertools import pairwise
from pathlib import Path

_PROC = Path("/proc/net")
_LOCAL = "/32 host LOCAL"


def local_addresses(proc: Path = _PROC) -> frozenset[str]:
    """Return every address of this machine; what cannot be found out is left out."""
    return frozenset(_ipv4(_lines(proc / "fib_trie")) | _ipv6(_lines(proc / "if_inet6")))


def _ipv4(lines: list[str]) -> set[str]:
    # An address, and below it what kind of a route leads to it.
    return {above.split()[-1] for above, below in pairwise(lines) if below.strip() == _LOCAL}


def _ipv6(lines: list[str]) -> set[str]:
    return {str(ipaddress.IPv6Address(int(line.split()[0], 16))) for line in lines if line.strip()}


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("ascii").splitlines()
    except OSError:
        return []
