"""Pushes to a server of the operator's own, signed as Standard Webhooks are."""

from wakerobin.push.webhook.letter import read_secrets
from wakerobin.push.webhook.service import webhook_service

__all__ = ["read_secrets", "webhook_service"]
