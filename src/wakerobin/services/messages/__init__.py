"""Text messages and mailboxes: taken from PBXs, kept, pushed, and brought to phones (RFC 3428, RFC 3842)."""

from wakerobin.services.messages.messages import Messages
from wakerobin.services.messages.values import MessageLimits

__all__ = ["MessageLimits", "Messages"]
