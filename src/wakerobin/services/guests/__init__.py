"""Phones that have not enrolled and speak RFC 8599: registered at their PBX through us, and woken by us."""

from wakerobin.services.guests.around import Sponsor
from wakerobin.services.guests.guests import Guests

__all__ = ["Guests", "Sponsor"]
