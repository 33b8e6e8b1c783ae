"""A call from the PBX to an account whose phones may sleep: held → waking → offered → answered, or not."""

from wakerobin.core.call.effects import (
    Abandon,
    Effect,
    Follow,
    Offer,
    Over,
    Push,
    Recall,
    Repeat,
    Ring,
    Save,
    Tell,
)
from wakerobin.core.call.machine import NO_WEBRTC, IncomingCall
from wakerobin.core.call.values import CallPolicy, CallState

__all__ = [
    "NO_WEBRTC",
    "Abandon",
    "CallPolicy",
    "CallState",
    "Effect",
    "Follow",
    "IncomingCall",
    "Offer",
    "Over",
    "Push",
    "Recall",
    "Repeat",
    "Ring",
    "Save",
    "Tell",
]
