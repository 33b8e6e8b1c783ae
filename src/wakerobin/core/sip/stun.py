"""STUN Binding requests on a SIP port: the keep-alive of phones behind NAT (RFC 5389, RFC 5626 3.5.2)."""

from __future__ import annotations

import binascii
import ipaddress
import struct

_COOKIE = 0x2112A442
_HEAD = struct.Struct("!HHI12s")
_ATTRIBUTE = struct.Struct("!HH")

_REQUEST, _SUCCESS, _ERROR = 0x0001, 0x0101, 0x0111

_ERROR_CODE = 0x0009
_UNKNOWN_ATTRIBUTES = 0x000A
_XOR_MAPPED_ADDRESS = 0x0020
_FINGERPRINT = 0x8028
_FINGERPRINT_XOR = 0x5354554E

_OPTIONAL_FROM = 0x8000
# USERNAME, MESSAGE-INTEGRITY, REALM, NONCE: nobody is asked for them here, and they change no answer.
_UNDERSTOOD = frozenset((0x0006, 0x0008, 0x0014, 0x0015))
_MOST_UNKNOWN = 8


def is_stun(datagram: bytes) -> bool:
    """Whether a datagram is STUN: what no SIP message can be (RFC 5626 8.2)."""
    if len(datagram) < _HEAD.size or datagram[0] > 0x3F or len(datagram) % 4:
        return False
    _, length, cookie, _ = _HEAD.unpack_from(datagram)
    return bool(cookie == _COOKIE and length == len(datagram) - _HEAD.size)


def answer(datagram: bytes, remote: tuple[str, int]) -> bytes | None:
    """Return the response to a Binding request: where it came from. None: nothing is to be said.

    An attribute that has to be understood and is not gets error 420 (RFC 5389 7.3.1). Never raises.
    """
    kind, _, _, number = _HEAD.unpack_from(datagram)
    if kind != _REQUEST:
        return None
    attributes = _attributes(datagram)
    if attributes is None:
        return None
    unknown = [one for one in attributes if one < _OPTIONAL_FROM and one not in _UNDERSTOOD]
    if unknown:
        listed = b"".join(one.to_bytes(2, "big") for one in unknown[:_MOST_UNKNOWN])
        code = _attribute(_ERROR_CODE, bytes((0, 0, 4, 20)) + b"Unknown Attribute")
        return _response(_ERROR, number, code + _attribute(_UNKNOWN_ATTRIBUTES, listed), attributes)
    return _response(_SUCCESS, number, _attribute(_XOR_MAPPED_ADDRESS, _mapped(number, remote)), attributes)


def _attributes(datagram: bytes) -> list[int] | None:
    """Return the types of a message's attributes, or None where they do not fit into it."""
    found, at = [], _HEAD.size
    while at < len(datagram):
        kind, length = _ATTRIBUTE.unpack_from(datagram, at)
        found.append(kind)
        at += _ATTRIBUTE.size + length + -length % 4
    return found if at == len(datagram) else None


def _mapped(number: bytes, remote: tuple[str, int]) -> bytes:
    address = ipaddress.ip_address(remote[0].partition("%")[0])
    family = 1 if address.version == 4 else 2
    mask = _COOKIE.to_bytes(4, "big") + number
    hidden = bytes(octet ^ key for octet, key in zip(address.packed, mask, strict=False))
    return struct.pack("!BBH", 0, family, remote[1] ^ (_COOKIE >> 16)) + hidden


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(kind, len(value)) + value + bytes(-len(value) % 4)


def _response(kind: int, number: bytes, body: bytes, asked: list[int]) -> bytes:
    """Return a response; with a fingerprint if the request had one (RFC 5389 8)."""
    if _FINGERPRINT not in asked:
        return _HEAD.pack(kind, len(body), _COOKIE, number) + body
    head = _HEAD.pack(kind, len(body) + 8, _COOKIE, number)
    check = binascii.crc32(head + body) ^ _FINGERPRINT_XOR
    return head + body + _attribute(_FINGERPRINT, check.to_bytes(4, "big"))
