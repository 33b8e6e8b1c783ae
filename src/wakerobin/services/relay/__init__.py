"""What passes between PBX and phone beside new calls: requests in dialogs, and those that phones begin."""

from wakerobin.services.relay.relay import Relay

__all__ = ["Relay"]
