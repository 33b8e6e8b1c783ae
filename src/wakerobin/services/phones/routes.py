"""Our two Record-Routes: one for the PBX's side, one for the phone's (RFC 5658), known again by their token.

Whatever host, port and transport stand behind a token of ours, it is ours: some PBXs rewrite them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from wakerobin.core.addresses import parse_address
from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.ids import keyed_hash
from wakerobin.core.sip.uri import SipUri
from wakerobin.core.tokens import RouteToken, Side, TokenKeys, read, read_way, seal_way, sign
from wakerobin.core.values import Flow, PhoneFlow, Transport

FLOW_BITS = 39
"""Keeps the token of a client without push registration within 32 characters."""

_LONGEST_TOKEN = 64
_SEEN = "seen"
_AT = "at"


@dataclass(frozen=True, slots=True)
class Address:
    """Where one side reaches us."""

    host: str
    port: int
    transport: Transport


class RecordRoutes:
    """Makes and recognises them. `run` are 4 octets that no other run of the server has."""

    def __init__(
        self,
        keys: TokenKeys,
        is_listener: Callable[[str, int | None], bool],
        public: str = "",
        run: bytes = bytes(4),
    ) -> None:
        self._keys = keys
        self._is_listener = is_listener
        self._public = public
        self._run = run
        # Each request of a dialog shows the same tokens several times: to know them again takes a twentieth.
        # After a renewal of the keys it has to be read anew.
        self._known = lru_cache(maxsize=4096)(lambda user, _generation: read(user, keys))

    def pair(self, phone: PhoneFlow, pbx_side: Address, seen: Flow | None = None) -> tuple[str, str]:
        """Return the URIs for the PBX's side and for the phone's side of a dialog with this phone.

        `seen` is the flow over which the PBX's request came: where to answer if its Contact leads nowhere.
        """
        host, port = phone.flow.local
        phone_side = Address(self._public or host, port, phone.flow.transport)
        pbx_uri = self._uri(Side.PBX, phone, pbx_side)
        if seen is not None:
            pbx_uri += f";{_SEEN}={_host_port(*seen.remote)}"
        phone_uri = self._uri(Side.PHONE, phone, phone_side)
        if phone.flow.transport is Transport.UDP:
            way = seal_way(self._keys, self._run, phone.account_id, *phone.flow.remote)
            phone_uri += f";{_AT}={way}"
        return pbx_uri, phone_uri

    def former_way(self, routes: Iterable[SipUri], account_id: int) -> tuple[str, int] | None:
        """Return where a phone was, by UDP, in a dialog of an earlier run; None: in this one, or not said.

        Flows are not stored. Those of this run are known: a phone that has none now is gone. It is sealed,
        as what goes there leaves without that anybody asked for it.
        """
        for uri in routes:
            found = read_way(uri.param(_AT) or "", self._keys, account_id)
            if found is not None and found[0] != self._run:
                return found[1], found[2]
        return None

    def read(self, uri: SipUri) -> RouteToken | None:
        """Return what a Route of ours says; None for a foreign or forged one, or a listener without token."""
        if len(uri.user) > _LONGEST_TOKEN:
            return None
        return self._known(uri.user, self._keys.generation) if uri.user else None

    def is_ours(self, uri: SipUri) -> bool:
        """Whether a Route leads here: by its token, or because it names a listener of ours."""
        return self.read(uri) is not None if uri.user else self.is_here(uri)

    def is_written_by_us(self, uri: str) -> bool:
        """Whether the URI of a Record-Route value, as it was written, leads here."""
        try:
            return self.is_ours(SipUri.parse(uri))
        except SipSyntaxError:
            return False

    def is_here(self, uri: SipUri) -> bool:
        """Whether host and port are ours, whatever the user part."""
        host = uri.host.strip("[]").lower()
        return self._is_listener(host, uri.port) or (bool(self._public) and host == self._public.lower())

    def token(self, phone: PhoneFlow, side: Side = Side.PHONE) -> RouteToken:
        """Return what stands for a phone in its dialogs; the same when it comes back on another flow."""
        number = self.installation_number(phone)
        if phone.registration_id:
            return RouteToken(side, phone.account_id, installation=number)
        return RouteToken(side, phone.account_id, flow=number)

    def installation_number(self, phone: PhoneFlow) -> int:
        """Return the number that stands for a phone in tokens and branches."""
        if phone.registration_id:
            return phone.registration_id
        parts = (str(phone.account_id), phone.installation)
        digest = keyed_hash(self._keys.lasting, "flow", *parts, size=8)
        return int.from_bytes(digest, "big") >> (64 - FLOW_BITS)

    def _uri(self, side: Side, phone: PhoneFlow, address: Address) -> str:
        user = sign(self.token(phone, side), self._keys)
        transport = "" if address.transport is Transport.UDP else f";transport={address.transport}"
        return f"sip:{user}@{_host_port(address.host, address.port)}{transport};lr"


def seen_address(routes: Iterable[SipUri]) -> tuple[str, int] | None:
    """Return where the PBX of a dialog was seen, from our own Routes as they came back; None: not said.

    Nobody signed it. Whoever changes it could as well have written another Request-URI.
    """
    for uri in routes:
        host, _, port = (uri.param(_SEEN) or "").rpartition(":")
        address = parse_address(host)
        if address is not None and port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536:
            return str(address), int(port)
    return None


def _host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
