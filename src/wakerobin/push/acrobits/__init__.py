"""The push interface of the Acrobits app family: verbs in JSON, posted to their push server."""

from wakerobin.push.acrobits.service import acrobits_service

__all__ = ["acrobits_service"]
