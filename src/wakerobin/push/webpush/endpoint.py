"""The endpoint of a subscription (RFC 8030 section 4): a URL that the app brought, and so to be distrusted.

What it may be is said here; whether its address may be connected to, the destination policy says at
each connect.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from wakerobin.core.addresses import DestinationPolicy, matches_host

MOST_OCTETS: Final = 1000
"""The limit of UnifiedPush; browsers' are shorter."""

_HTTPS_PORT: Final = 443
# Printable ASCII without a blank: nothing that could end a header field or a request line.
_WRITABLE: Final = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the pushes of one subscription go."""

    host: str
    port: int
    path: str
    """With the query, as it stands in the URL."""

    @property
    def authority(self) -> str:
        """The host, with the port where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _HTTPS_PORT else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """What a token for this push service names (RFC 6454 section 6.2)."""
        return f"https://{self.authority}"


def read_endpoint(url: str, policy: DestinationPolicy) -> Endpoint | str:
    """Read an endpoint; a string says why it is none that may be pushed to.

    Only https, no userinfo, and no port but 443 unless the operator named the host with that port.
    """
    if len(url) > MOST_OCTETS or _WRITABLE.fullmatch(url) is None:
        return "no URL, or longer than 1000 octets"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "no URL"
    if parts.scheme != "https" or not parts.hostname:
        return "no https URL"
    if "@" in parts.netloc:
        return "a URL with a user in it"
    if not matches_host("*", parts.hostname):
        return "a URL with no host in it"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    endpoint = Endpoint(parts.hostname, _HTTPS_PORT if port is None else port, path)
    if endpoint.port != _HTTPS_PORT and endpoint.authority.lower() not in policy.named:
        return f"a URL with port {endpoint.port}"
    return endpoint
