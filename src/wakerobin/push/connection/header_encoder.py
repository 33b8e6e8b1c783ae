"""HPACK (RFC 7541) as a push wants it: no Huffman coding, no dynamic table, and secrets never indexed.

Nearly everything in a push's headers is new with each push, so that a table saves nothing; keeping one, and
Huffman coding, would take a third of the time that a push costs us.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from hpack import Encoder
from hpack.table import HeaderTable

_NEVER_INDEXED: Final = frozenset((b":path", b"authorization", b"apns-id", b"crypto-key"))
_STATIC: Final[dict[tuple[bytes, bytes], int]] = {}
_STATIC_NAMES: Final[dict[bytes, int]] = {}
for _index, (_name, _value) in enumerate(HeaderTable.STATIC_TABLE, 1):
    _STATIC[_name, _value] = _index
    _STATIC_NAMES.setdefault(_name, _index)

_NO_TABLE: Final = b"\x20"
"""6.3: the dynamic table has no room from now on, whatever the peer would allow."""


class HeaderEncoder(Encoder):
    """Takes the place of the encoder of `h2`."""

    def __init__(self) -> None:
        super().__init__()
        self._prefix = _NO_TABLE

    def encode(self, headers: Any, huffman: bool = True) -> bytes:  # noqa: FBT001, FBT002 - as in hpack
        """Encode pairs of octets, names in lower case. What hpack takes beside that is not taken."""
        parts, self._prefix = [self._prefix], b""
        for name, value in headers:
            index = _STATIC.get((name, value)) if value else None
            if index is not None:
                parts.append(_integer(index, 7, 0x80))  # 6.1
            else:
                parts += (_name_of(name), _length(len(value)), value)
        return b"".join(parts)


@lru_cache(maxsize=256)
def _name_of(name: bytes) -> bytes:
    """Begin a field that is not indexed (6.2.2), or must not be by anybody (6.2.3)."""
    pattern = 0x10 if name in _NEVER_INDEXED else 0x00
    index = _STATIC_NAMES.get(name, 0)
    begun = _integer(index, 4, pattern)
    return begun if index else begun + _length(len(name)) + name


@lru_cache(maxsize=1024)
def _length(length: int) -> bytes:
    return _integer(length, 7, 0x00)


def _integer(value: int, bits: int, pattern: int) -> bytes:
    """Encode an integer with a prefix of so many bits (5.1)."""
    most = (1 << bits) - 1
    if value < most:
        return bytes((pattern | value,))
    octets = bytearray((pattern | most,))
    value -= most
    while value >= 0x80:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)
