"""Google's push service (Firebase Cloud Messaging, HTTP v1): messages of data for Android apps."""

from wakerobin.push.fcm.account import ServiceAccount, read_service_account
from wakerobin.push.fcm.pacing import ProjectPace
from wakerobin.push.fcm.service import FcmService

__all__ = ["FcmService", "ProjectPace", "ServiceAccount", "read_service_account"]
