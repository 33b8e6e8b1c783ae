"""Names to places to send to: RFC 3263 over the system's resolver, /etc/hosts and the DNS."""

from wakerobin.net.resolver.resolver import Resolver, source_of

__all__ = ["Resolver", "source_of"]
