"""Our two Record-Routes: one for the PBX's side, one for the phone's (RFC 5658), known again by their token.

Whatever host, port and transport stand behind a token of ours, it is ours: some PBXs rewrite them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wakerobin.core.ids import keyed_hash
from wakerobin.core.sip.uri import SipUri
from wakerobin.core.tokens import RouteToken, Side, TokenKeys, read, sign
from wakerobin.core.values import PhoneFlow, Transport

FLOW_BITS = 39
"""Keeps the token of a client without push registration within 32 characters."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where one side reaches us."""

    host: str
    port: int
    transport: Transport


class RecordRoutes:
    """Makes and recognises them."""

    def __init__(
        self, keys: TokenKeys, is_listener: Callable[[str, int | None], bool], public: str = ""
    ) -> None:
        self._keys = keys
        self._is_listener = is_listener
        self._public = public

    def pair(self, phone: PhoneFlow, pbx_side: Address) -> tuple[str, str]:
        """Return the URIs for the PBX's side and for the phone's side of a dialog with this phone."""
        host, port = phone.flow.local
        phone_side = Address(self._public or host, port, phone.flow.transport)
        return (
            self._uri(Side.PBX, phone, pbx_side),
            self._uri(Side.PHONE, phone, phone_side),
        )

    def read(self, uri: SipUri) -> RouteToken | None:
        """Return what a Route of ours says; None for a foreign or forged one, or a listener without token."""
        return read(uri.user, self._keys) if uri.user else None

    def is_ours(self, uri: SipUri) -> bool:
        """Whether a Route leads here: by its token, or because it names a listener of ours."""
        if uri.user:
            return self.read(uri) is not None
        host = uri.host.strip("[]").lower()
        return self._is_listener(host, uri.port) or (bool(self._public) and host == self._public.lower())

    def installation_number(self, phone: PhoneFlow) -> int:
        """Return the number that stands for a phone in tokens and branches."""
        if phone.registration_id:
            return phone.registration_id
        digest = keyed_hash(self._keys.current, "flow", phone.installation, str(phone.flow), size=8)
        return int.from_bytes(digest, "big") >> (64 - FLOW_BITS)

    def _uri(self, side: Side, phone: PhoneFlow, address: Address) -> str:
        number = self.installation_number(phone)
        if phone.registration_id:
            token = RouteToken(side, phone.account_id, installation=number)
        else:
            token = RouteToken(side, phone.account_id, flow=number)
        host = f"[{address.host}]" if ":" in address.host else address.host
        transport = "" if address.transport is Transport.UDP else f";transport={address.transport}"
        return f"sip:{sign(token, self._keys)}@{host}:{address.port}{transport};lr"
