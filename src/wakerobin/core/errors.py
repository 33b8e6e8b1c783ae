"""The exceptions that Wakerobin raises itself: a peer's fault, a configuration, a store that cannot serve.

Expected outcomes are values; whatever is not one of these is a bug.
"""

from __future__ import annotations


class WakerobinError(Exception):
    """Anything that a peer or a person, not a programmer, has to mend. The text says what to do."""


class SipSyntaxError(WakerobinError):
    """A SIP message, header or URI that breaks the grammar. `status` is what to answer it with."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


class ConfigurationError(WakerobinError):
    """A setting that cannot be used. The text names the key, what is wrong and what would be right."""


class StoreUnavailableError(WakerobinError):
    """The store cannot commit now (full, locked, closed). Nothing of the work was kept; try again."""
