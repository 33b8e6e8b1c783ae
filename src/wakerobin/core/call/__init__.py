"""A call from the PBX to an account whose phones may sleep: held → waking → offered → answered, or not."""

from wakerobin.core.call.effects import Abandon, Effect, Offer, Over, Push, Repeat, Ring, Save, Tell
from wakerobin.core.call.machine import IncomingCall
from wakerobin.core.call.values import CallPolicy, CallState

__all__ = [
    "Abandon",
    "CallPolicy",
    "CallState",
    "Effect",
    "IncomingCall",
    "Offer",
    "Over",
    "Push",
    "Repeat",
    "Ring",
    "Save",
    "Tell",
]
