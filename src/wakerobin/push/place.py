"""A URL that the operator wrote, as what is needed to send something there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from wakerobin.core.addresses import DestinationPolicy
from wakerobin.core.errors import ConfigurationError
from wakerobin.push.connection import Headers, Origin

# What RFC 3986 lets a path and a query consist of: anything else could break out of a request line.
_PATH: Final = re.compile(r"/[A-Za-z0-9\-._~!$&'()*+,;=:@/%?]*")


@dataclass(frozen=True, slots=True)
class Place:
    """An origin, and the path with its query there."""

    origin: Origin
    path: str

    @classmethod
    def from_url(cls, url: str, ca_file: str, policy: DestinationPolicy, key: str) -> Place:
        """Read `url` from the setting `key`; ConfigurationError, in words, where it is no https address."""
        right = "write https://host/path"
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise ConfigurationError(f"{key} = {url!r}: {error}; {right}") from None
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if parts.username is not None or parts.fragment or not _PATH.fullmatch(path):
            raise ConfigurationError(f"{key} = {url!r} is more than a host, a path and a query; {right}")
        origin = Origin.from_url(f"{parts.scheme}://{parts.netloc}", ca_file, policy, key)
        return cls(origin, path)

    def post(self, *fields: tuple[str, str]) -> Headers:
        """Return the headers of a POST to it, the given ones at the end."""
        return (
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", self.origin.authority),
            (":path", self.path),
            *fields,
        )
