"""Messages and mailboxes as the store keeps them; what people wrote is sealed by the vault."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from wakerobin.core.mailbox import Mailbox


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptMessage:
    """A MESSAGE that came for an account and waits until each of its push registrations has it."""

    id: int = 0
    account_id: int
    public_id: str
    """A UUID, derived from what makes two MESSAGEs the same one."""
    received_at: int
    expires_at: int
    """After that nobody wants it, and it is erased."""
    content: bytes
    """The request as it came."""

    def __hash__(self) -> int:
        return hash((self.account_id, self.public_id))


class SendState(enum.StrEnum):
    """How far a message that an app wrote has come; the words of the API."""

    WAITING = "waiting"
    SENT = "sent"
    """The PBX took it."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SentMessage:
    """A message that an app handed over by the API. Unique by (registration, message id)."""

    registration_id: int
    message_id: str
    """The app's own name for it."""
    to: str
    """A SIP URI; empty once it is over."""
    content_type: str
    body: bytes
    created_at: int
    state: SendState = SendState.WAITING
    status: int = 0
    """What the PBX answered; 0 for nothing."""
    reason: str = ""
    """Why it failed, in words."""

    def __hash__(self) -> int:
        return hash((self.registration_id, self.message_id))


class Messages(Protocol):
    """What came in, and which push registrations wait for it. Content is erased when nobody does."""

    def add(self, message: KeptMessage, registrations: Sequence[int]) -> KeptMessage | None:
        """Keep a message for these push registrations. None: it came before; nothing changes."""
        ...

    def get(self, registration_id: int, public_id: str) -> KeptMessage | None:
        """Return a message that waits for a push registration, fetched or not."""
        ...

    def waiting(
        self, registration_id: int, after: int, limit: int, *, fetched_too: bool = False
    ) -> list[KeptMessage]:
        """Return messages for a push registration with an id beyond `after`, in the order they came."""
        ...

    def hand_on(self, registration_id: int, heir: int) -> None:
        """Let a push registration wait for all that another one waits for, and has not fetched."""
        ...

    def note_fetched(self, registration_id: int, message_ids: Sequence[int], at: int) -> None:
        """Note that the app was given these; they are no longer sent to its phone."""
        ...

    def settle(self, registration_id: int, message_ids: Sequence[int], known_until: int) -> int:
        """A push registration has these; returns how many it waited for.

        Of what nobody waits for the content is erased; that it came is known until `known_until`.
        """
        ...

    def drop(self, registration_id: int, known_until: int) -> int:
        """Settle all for a push registration: it is over."""
        ...

    def count_for(self, registration_id: int) -> int:
        """Return how many messages wait for a push registration and were not fetched."""
        ...

    def forget(self, now: int, fetched_before: int, limit: int) -> int:
        """Remove up to `limit` messages whose time is over, and settle what was fetched before that.

        Returns how many there were of that which there was more of.
        """
        ...


class Mailboxes(Protocol):
    """What PBXs said last of the mailboxes of accounts."""

    def get(self, account_id: int) -> tuple[Mailbox, int] | None:
        """Return the mailbox of an account, and how often it has changed; None where nothing was said."""
        ...

    def put(self, account_id: int, mailbox: Mailbox, changes: int) -> None: ...


class SentMessages(Protocol):
    """Messages that apps handed over; address and words are erased as soon as it is known how it ended."""

    def add(self, message: SentMessage) -> bool:
        """Keep one. False: the push registration has one of this name already; nothing changes."""
        ...

    def get(self, registration_id: int, message_id: str) -> SentMessage | None: ...
    def waiting(self, limit: int) -> list[SentMessage]:
        """Return those of which nobody knows how they ended, the oldest first."""
        ...

    def count_waiting(self, registration_id: int) -> int: ...
    def end(self, message: SentMessage) -> None:
        """Write down how one ended: state, status and reason."""
        ...

    def forget(self, before: int, limit: int) -> int:
        """Remove up to `limit` that were handed over before that, the oldest first; returns how many."""
        ...
