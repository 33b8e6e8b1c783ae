"""Wakerobin: a self-hosted SIP push server."""

__version__ = "0.1.0"
