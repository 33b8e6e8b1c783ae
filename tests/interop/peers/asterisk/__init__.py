"""Asterisk 16 of Debian bullseye as the second PBX: a B2BUA that rewrites Contacts."""

from tests.interop.peers.asterisk.pbx import Asterisk

__all__ = ["Asterisk"]
