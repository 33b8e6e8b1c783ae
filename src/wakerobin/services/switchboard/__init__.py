"""Calls from the PBX to phones that may sleep."""

from wakerobin.services.switchboard.aftermath import seen_state
from wakerobin.services.switchboard.board import Switchboard

__all__ = ["Switchboard", "seen_state"]
