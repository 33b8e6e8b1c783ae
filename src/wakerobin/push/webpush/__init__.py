"""Web Push (RFC 8030) to browsers and to UnifiedPush apps: encrypted messages, signed by the app's key."""

from wakerobin.push.webpush.service import WebPushService
from wakerobin.push.webpush.vapid import VapidKey, make_key_file, public_key, read_vapid_key

__all__ = ["VapidKey", "WebPushService", "make_key_file", "public_key", "read_vapid_key"]
