"""Signed things that leave the house and come back: Record-Routes, branches, phones' nonces.

They replace state. A call is routed, a response of before a restart recognised and a challenge
judged by what the peer brings back, if its MAC is ours. All of them are base64url text made of
`key id | payload | MAC`; the MAC also covers the kind of token, so that none passes for another.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from dataclasses import dataclass, field
from enum import Enum, auto

from wakerobin.core.ids import keyed_hash, same

BRANCH_COOKIE = "z9hG4bK"
"""What every branch of an RFC 3261 element begins with (8.1.1.7)."""

_ID_LIMIT = 2**62
_KEY_OCTETS = range(16, 65)
_TEXT_LIMIT = 128
_TEXT = re.compile(rf"[A-Za-z0-9_-]{{8,{_TEXT_LIMIT}}}")

_ROUTE = "record-route user"
_ROUTE_MAC = 10
_ROUTE_VERSION = 1

_WAY = "way to a phone"
_WAY_MAC = 8
_WAY_RUN = 4
_WAY_PORT = 2

_PURR = "proxy unique registration reference"
_PURR_MAC = 8

_BRANCH = "branch"
_BRANCH_MAC = 8

_NONCE = "nonce"
_NONCE_SOURCE = "source of a nonce"
_NONCE_MAC = 10
_NONCE_SOURCE_TAG = 6
_NONCE_TIME = 6
_CLOCK_SKEW_MS = 30_000


@dataclass(slots=True, eq=False)
class TokenKeys:
    """The secrets that sign and verify: `current` makes tokens, `previous` are still understood.

    Driven by its keeper, which renews it now and then, and keeps a previous key for 7 days, longer than
    any call. `lasting` never changes: ids and numbers are derived from it. Keys have 16 to 64 octets.
    """

    current: bytes = field(repr=False)
    previous: tuple[bytes, ...] = field(default=(), repr=False)
    lasting: bytes = field(default=b"", repr=False)
    """Without one it is the first `current`."""
    generation: int = field(default=0, init=False, repr=False)
    """Counts renewals: what was judged by the keys of an earlier one has to be judged again."""
    key_id: int = field(init=False, repr=False)
    """The octet that says, in a token, which key made it."""
    _by_id: dict[int, tuple[bytes, ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.lasting = self.lasting or self.current
        self._by_id = _by_id(self.current, *self.previous)
        self.key_id = _key_id(self.current)

    def renew(self, current: bytes, previous: tuple[bytes, ...]) -> None:
        """Sign with another key from now on, and understand these only."""
        self._by_id = _by_id(current, *previous)
        self.current, self.previous = current, previous
        self.key_id = _key_id(current)
        self.generation += 1

    def with_id(self, key_id: int) -> tuple[bytes, ...]:
        """Return the keys that may have made a token with this key id: mostly one or none."""
        return self._by_id.get(key_id, ())


class Side(Enum):
    """Which of our two Record-Routes a request came back through (RFC 5658)."""

    PBX = 0
    PHONE = 1


@dataclass(frozen=True, slots=True)
class RouteToken:
    """What a Record-Route of ours says: the side, the account, and the phone it leads to.

    The phone is an installation's push registration, or a flow for a client that has none. A flow's
    number must never be given out again, also not by the next process. All numbers are below 2**62.
    """

    side: Side
    account: int
    installation: int | None = None
    flow: int | None = None

    def __post_init__(self) -> None:
        if (self.installation is None) == (self.flow is None):
            raise ValueError("a route leads to an installation or to a flow")


def sign(route: RouteToken, keys: TokenKeys) -> str:
    """Return the user part of a Record-Route: letters, digits, `-` and `_`; its case matters.

    At most 32 characters for numbers below 2**40, at most 40 above. From 2**62: ValueError.
    """
    if route.flow is None:
        assert route.installation is not None
        phone, kind = route.installation, 0
    else:
        phone, kind = route.flow, 1
    head = _ROUTE_VERSION << 2 | route.side.value << 1 | kind
    payload = bytes((head,)) + _varint(route.account) + _varint(phone)
    return _seal(keys, _ROUTE, payload, size=_ROUTE_MAC)


def read(text: str, keys: TokenKeys) -> RouteToken | None:
    """Return what a Record-Route user says, or None for anything that is not ours or no longer."""
    payload = _open(keys, _ROUTE, text, size=_ROUTE_MAC)
    if payload is None or payload[0] >> 2 != _ROUTE_VERSION:
        return None
    account, at = _read_varint(payload, 1)
    phone, _ = _read_varint(payload, at)
    side = Side(payload[0] >> 1 & 1)
    if payload[0] & 1:
        return RouteToken(side, account, flow=phone)
    return RouteToken(side, account, installation=phone)


def seal_way(keys: TokenKeys, run: bytes, account: int, host: str, port: int) -> str:
    """Return where a phone of this account is, for its dialogs of after the end of this run of the server.

    `run` are 4 octets that no other run has. At most 44 characters. ValueError: `host` is no address.
    """
    packed = ipaddress.ip_address(host).packed
    payload = run + port.to_bytes(_WAY_PORT, "big") + packed
    return _seal(keys, _WAY, payload, str(account), size=_WAY_MAC)


def read_way(text: str, keys: TokenKeys, account: int) -> tuple[bytes, str, int] | None:
    """Return run, host and port as they were sealed for a phone of this account, else None."""
    payload = _open(keys, _WAY, text, str(account), size=_WAY_MAC)
    if payload is None:
        return None
    run, rest = payload[:_WAY_RUN], payload[_WAY_RUN:]
    host = ipaddress.ip_address(rest[_WAY_PORT:])
    return run, str(host), int.from_bytes(rest[:_WAY_PORT], "big")


def seal_purr(keys: TokenKeys, guest: int, nonce: bytes) -> str:
    """Return what a phone without enrolment shows in its dialogs so that it is woken for them (RFC 8599 6).

    It says nothing of the phone, and with another nonce (8 octets of entropy) it is another one.
    """
    return _seal(keys, _PURR, nonce, str(guest), size=_PURR_MAC)


def is_purr(text: str, keys: TokenKeys, guest: int) -> bool:
    """Whether we made this for that phone."""
    return _open(keys, _PURR, text, str(guest), size=_PURR_MAC) is not None


def branch(keys: TokenKeys, call_id: str, cseq: int, installation: int, nonce: bytes) -> str:
    """Return a branch that will be known again, also after a restart, by Call-ID and CSeq number.

    `nonce` makes it unique among all branches ever: 8 octets of entropy, or a loop-detecting hash
    (RFC 5393 4.2) and some. 34 characters with 8 octets of nonce and a small installation id.
    """
    payload = _varint(installation) + nonce
    return BRANCH_COOKIE + _seal(keys, _BRANCH, payload, call_id, str(cseq), size=_BRANCH_MAC)


def read_branch(text: str, keys: TokenKeys, call_id: str, cseq: int) -> int | None:
    """Return the installation that a branch of ours went to; None if it was not made for these."""
    if not text.startswith(BRANCH_COOKIE):
        return None
    sealed = text[len(BRANCH_COOKIE) :]
    payload = _open(keys, _BRANCH, sealed, call_id, str(cseq), size=_BRANCH_MAC)
    return None if payload is None else _read_varint(payload, 0)[0]


class NonceVerdict(Enum):
    """FRESH: usable. STALE: ours, but old or of another source, ask again. FOREIGN: never ours."""

    FRESH = auto()
    STALE = auto()
    FOREIGN = auto()


@dataclass(frozen=True, slots=True)
class NonceKeys:
    """Makes and judges the nonces with which phones are challenged; they are kept nowhere.

    A nonce is worth nothing away from its account and its source (address and port, or connection):
    a REGISTER that was overheard cannot be replayed from elsewhere. Times are wall-clock seconds.
    """

    keys: TokenKeys

    def make(self, now_s: float, account: str, source: str, salt: bytes = b"") -> str:
        """Return a nonce. Without salt (say 4 fresh octets) two of one millisecond are the same."""
        made = int(now_s * 1000).to_bytes(_NONCE_TIME, "big") + salt
        tag = _source_tag(self.keys.current, made, account, source)
        return _seal(self.keys, _NONCE, made + tag, account, size=_NONCE_MAC)

    def judge(self, nonce: str, now_s: float, account: str, source: str, life_s: float = 300) -> NonceVerdict:
        """Say whether a nonce that came back may be used; its count is for `NonceCounts` to judge."""
        payload = _open(self.keys, _NONCE, nonce, account, size=_NONCE_MAC)
        if payload is None:
            return NonceVerdict.FOREIGN
        made, tag = payload[:-_NONCE_SOURCE_TAG], payload[-_NONCE_SOURCE_TAG:]
        age_ms = int(now_s * 1000) - int.from_bytes(made[:_NONCE_TIME], "big")
        # From the future: the clock was set back, and such a nonce would live for as long as that.
        if not -_CLOCK_SKEW_MS <= age_ms <= life_s * 1000:
            return NonceVerdict.STALE
        keys = (self.keys.current, *self.keys.previous)
        if any(same(tag, _source_tag(key, made, account, source)) for key in keys):
            return NonceVerdict.FRESH
        return NonceVerdict.STALE


class NonceCounts:
    """Remembers the highest nc of each nonce, so that no answer is taken twice (RFC 7616 3.4).

    Ask it last, only about answers that verified: then only those who know a password can fill it.
    It holds at most `most` nonces. From a nonce that it had to forget, and from every older one that
    it does not know, it takes nothing: a phone is asked once more (`stale`), a replay gains nothing.
    """

    def __init__(self, most: int = 200_000) -> None:
        if most < 1:
            raise ValueError("at least one nonce has to be remembered")
        self._most = most
        self._highest: dict[str, int] = {}  # in the order of their first answers
        self._forgotten_ms = -1

    def __len__(self) -> int:
        return len(self._highest)

    def accept(self, nonce: str, nc: int) -> bool:
        """Take an answer if its count is higher than all before; 0 (it had none) is taken once."""
        highest = self._highest.get(nonce)
        if highest is None:
            made_ms = _made_ms(nonce)
            if made_ms is None or made_ms <= self._forgotten_ms:
                return False
            if len(self._highest) >= self._most:
                self._forget(next(iter(self._highest)))
        elif nc <= highest:
            return False
        self._highest[nonce] = nc
        return True

    def prune(self, now_s: float, life_s: float = 300) -> None:
        """Forget the nonces that are older than the longest life they are judged by."""
        before_ms = int((now_s - life_s) * 1000)
        while self._highest:
            oldest = next(iter(self._highest))
            if (_made_ms(oldest) or 0) >= before_ms:
                return
            self._forget(oldest)

    def _forget(self, nonce: str) -> None:
        del self._highest[nonce]
        self._forgotten_ms = max(self._forgotten_ms, _made_ms(nonce) or 0)


def _seal(keys: TokenKeys, purpose: str, payload: bytes, *context: str, size: int) -> str:
    mac = keyed_hash(keys.current, purpose, payload, *context, size=size)
    text = _encode(bytes((keys.key_id,)) + payload + mac)
    if len(text) > _TEXT_LIMIT:
        raise ValueError(f"{purpose}: {len(text)} characters, the limit is {_TEXT_LIMIT}")
    return text


def _open(keys: TokenKeys, purpose: str, text: str, *context: str, size: int) -> bytes | None:
    """Return the payload of a token that one of our keys made in this very context, else None."""
    sealed = _decode(text)
    if sealed is None or len(sealed) < size + 2:
        return None
    payload, mac = sealed[1:-size], sealed[-size:]
    for key in keys.with_id(sealed[0]):
        if same(mac, keyed_hash(key, purpose, payload, *context, size=size)):
            return payload
    return None


def _by_id(*keys: bytes) -> dict[int, tuple[bytes, ...]]:
    found: dict[int, tuple[bytes, ...]] = {}
    for key in keys:
        if len(key) not in _KEY_OCTETS:
            raise ValueError(f"a token key has 16 to 64 octets, not {len(key)}")
        key_id = _key_id(key)
        found[key_id] = (*found.get(key_id, ()), key)  # one octet: two keys may share it
    return found


def _key_id(key: bytes) -> int:
    return keyed_hash(key, "key id", size=1)[0]


def _source_tag(key: bytes, made: bytes, account: str, source: str) -> bytes:
    return keyed_hash(key, _NONCE_SOURCE, made, account, source, size=_NONCE_SOURCE_TAG)


def _made_ms(nonce: str) -> int | None:
    sealed = _decode(nonce)
    if sealed is None or len(sealed) < 1 + _NONCE_TIME + _NONCE_SOURCE_TAG + _NONCE_MAC:
        return None
    return int.from_bytes(sealed[1 : 1 + _NONCE_TIME], "big")


def _encode(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes | None:
    if _TEXT.fullmatch(text) is None or len(text) % 4 == 1:
        return None
    octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    # The last character may carry bits that stand for nothing: one token has one spelling.
    return octets if _encode(octets) == text else None


def _varint(number: int) -> bytes:
    """Return a number in groups of 7 bits, lowest first (LEB128): small ids stay short."""
    if not 0 <= number < _ID_LIMIT:
        raise ValueError(f"an id is at least 0 and below 2**62, not {number}")
    octets = bytearray()
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)


def _read_varint(octets: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at `at`, and its end. The octets are ours: the MAC verified."""
    number = shift = 0
    while octets[at] & 0x80:
        number |= (octets[at] & 0x7F) << shift
        shift += 7
        at += 1
    return number | octets[at] << shift, at + 1
