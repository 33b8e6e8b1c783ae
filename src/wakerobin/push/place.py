"""A URL that the operator wrote, as what is needed to send something there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from wakerobin.core.addresses import DestinationPolicy
from wakerobin.core.errors import ConfigurationError
from wakerobin.push.connection import EITHER, Headers, Origin, split_url

# What RFC 3986 lets a path and a query consist of: anything else could break out of a request line.
_PATH: Final = re.compile(r"/[A-Za-z0-9\-._~!$&'()*+,;=:@/%?]*")


@dataclass(frozen=True, slots=True)
class Place:
    """An origin, and the path with its query there."""

    origin: Origin
    path: str

    @classmethod
    def from_url(cls, url: str, ca_file: str, policy: DestinationPolicy, key: str) -> Place:
        """Read `url` from the setting `key`; ConfigurationError, in words, where nothing can be sent there.

        HTTP/2 or HTTP/1.1 is spoken, as the peer likes; without TLS only to addresses that are not public.
        """
        right = "write https://host/path"
        try:
            origin, path = split_url(url)
        except ValueError as error:
            raise ConfigurationError(f"{key} = {url!r}: {error}; {right}") from None
        if "@" in origin or "#" in url or _PATH.fullmatch(path) is None:
            raise ConfigurationError(f"{key} = {url!r} is more than a host, a path and a query; {right}")
        return cls(Origin.from_url(origin, ca_file, policy, key, protocols=EITHER), path)

    def post(self, *fields: tuple[str, str]) -> Headers:
        """Return the headers of a POST to it, the given ones at the end."""
        return (
            (":method", "POST"),
            (":scheme", self.origin.scheme),
            (":authority", self.origin.authority),
            (":path", self.path),
            *fields,
        )
