"""Apple's push service (APNs): notifications as HTTP/2 requests, answers as outcomes."""

from wakerobin.push.apns.service import ApnsService

__all__ = ["ApnsService"]
