"""Messages, mailboxes and what apps sent, in SQL."""

# ruff: noqa: D102 - each method is described once, in ports/messages.py

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace

from wakerobin.core.mailbox import Mailbox
from wakerobin.ports.messages import KeptMessage, SendState, SentMessage
from wakerobin.store.session import Row, Session, from_json, to_json
from wakerobin.store.statements import load

_MESSAGES = load("messages")
_MAILBOXES = load("mailboxes")
_SENT = load("sent_messages")


class MessageTable:
    """`ports.messages.Messages` over a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, message: KeptMessage, registrations: Sequence[int]) -> KeptMessage | None:
        values = {
            "account_id": message.account_id,
            "public_id": message.public_id,
            "received_at": message.received_at,
            "expires_at": message.expires_at,
        }
        id_ = self._session.insert("messages", _MESSAGES["add"], values)
        if not id_:
            return None
        # The seal is bound to the id, which the row must have first.
        sealed = self._session.seal(message.content, _place(id_))
        self._session.write("messages", _MESSAGES["seal"], {"id": id_, "sealed": sealed})
        for registration_id in registrations:
            awaits = {"registration_id": registration_id, "message_id": id_}
            self._session.write("messages", _MESSAGES["await"], awaits)
        return replace(message, id=id_)

    def get(self, registration_id: int, public_id: str) -> KeptMessage | None:
        row = self._session.one(_MESSAGES["get"], registration_id=registration_id, public_id=public_id)
        return self._message(row) if row else None

    def waiting(
        self, registration_id: int, after: int, limit: int, *, fetched_too: bool = False
    ) -> list[KeptMessage]:
        rows = self._session.all(
            _MESSAGES["waiting"],
            registration_id=registration_id,
            after=after,
            limit=limit,
            fetched_too=fetched_too,
        )
        return [self._message(row) for row in rows]

    def hand_on(self, registration_id: int, heir: int) -> None:
        values = {"registration_id": registration_id, "heir": heir}
        self._session.write("messages", _MESSAGES["hand_on"], values)

    def note_fetched(self, registration_id: int, message_ids: Sequence[int], at: int) -> None:
        for id_ in message_ids:
            values = {"registration_id": registration_id, "message_id": id_, "at": at}
            self._session.write("messages", _MESSAGES["note_fetched"], values)

    def settle(self, registration_id: int, message_ids: Sequence[int], known_until: int) -> int:
        count = 0
        for id_ in message_ids:
            values = {"registration_id": registration_id, "message_id": id_}
            count += self._session.write("messages", _MESSAGES["settle"], values)
            self._session.erase("messages", _MESSAGES["erase"], {"id": id_, "known_until": known_until})
        return count

    def drop(self, registration_id: int, known_until: int) -> int:
        rows = self._session.all(_MESSAGES["ids_for"], registration_id=registration_id)
        return self.settle(registration_id, [row[0] for row in rows], known_until)

    def count_for(self, registration_id: int) -> int:
        return int(self._session.all(_MESSAGES["count_for"], registration_id=registration_id)[0][0])

    def forget(self, now: int, fetched_before: int, limit: int) -> int:
        fetched = self._session.all(_MESSAGES["fetched"], before=fetched_before, limit=limit)
        for registration_id, message_id in fetched:
            self.settle(registration_id, [message_id], now)
        over = self._session.erase("messages", _MESSAGES["forget"], {"now": now, "limit": limit})
        return max(len(fetched), over)

    def _message(self, row: Row) -> KeptMessage:
        id_, account_id, public_id, received_at, expires_at, sealed = row
        return KeptMessage(
            id=id_,
            account_id=account_id,
            public_id=public_id,
            received_at=received_at,
            expires_at=expires_at,
            content=self._session.unseal(sealed, _place(id_)),
        )


class MailboxTable:
    """`ports.messages.Mailboxes` over a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, account_id: int) -> tuple[Mailbox, int] | None:
        row = self._session.one(_MAILBOXES["get"], account_id=account_id)
        if row is None:
            return None
        waiting, new, old, urgent, changes = row
        return Mailbox(bool(waiting), new, old, urgent), changes

    def put(self, account_id: int, mailbox: Mailbox, changes: int) -> None:
        values = {
            "account_id": account_id,
            "waiting": mailbox.waiting,
            "new": mailbox.new,
            "old": mailbox.old,
            "urgent": mailbox.urgent,
            "changes": changes,
        }
        self._session.write("mailboxes", _MAILBOXES["put"], values)


class SentMessageTable:
    """`ports.messages.SentMessages` over a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, message: SentMessage) -> bool:
        said = {
            "to": message.to,
            "content_type": message.content_type,
            "body": base64.b64encode(message.body).decode("ascii"),
        }
        place = _sent_place(message.registration_id, message.message_id)
        values = {
            "registration_id": message.registration_id,
            "message_id": message.message_id,
            "state": message.state.value,
            "status": message.status,
            "reason": message.reason,
            "created_at": message.created_at,
            "sealed": self._session.seal(to_json(said).encode("ascii"), place),
        }
        return self._session.write("sent_messages", _SENT["add"], values) > 0

    def get(self, registration_id: int, message_id: str) -> SentMessage | None:
        row = self._session.one(_SENT["get"], registration_id=registration_id, message_id=message_id)
        return self._sent(row) if row else None

    def waiting(self, limit: int) -> list[SentMessage]:
        return [self._sent(row) for row in self._session.all(_SENT["waiting"], limit=limit)]

    def count_waiting(self, registration_id: int) -> int:
        return int(self._session.all(_SENT["count_waiting"], registration_id=registration_id)[0][0])

    def end(self, message: SentMessage) -> None:
        values = {
            "registration_id": message.registration_id,
            "message_id": message.message_id,
            "state": message.state.value,
            "status": message.status,
            "reason": message.reason,
        }
        self._session.erase("sent_messages", _SENT["end"], values)

    def forget(self, before: int, limit: int) -> int:
        return self._session.erase("sent_messages", _SENT["forget"], {"before": before, "limit": limit})

    def _sent(self, row: Row) -> SentMessage:
        registration_id, message_id, state, status, reason, created_at, sealed = row
        said = {"to": "", "content_type": "", "body": ""}
        if sealed:
            said |= from_json(self._session.unseal(sealed, _sent_place(registration_id, message_id)).decode())
        return SentMessage(
            registration_id=registration_id,
            message_id=message_id,
            to=said["to"],
            content_type=said["content_type"],
            body=base64.b64decode(said["body"]),
            created_at=created_at,
            state=SendState(state),
            status=status,
            reason=reason,
        )


def _place(message_id: int) -> str:
    return f"message:sealed:{message_id}"


def _sent_place(registration_id: int, message_id: str) -> str:
    return f"sent_message:sealed:{registration_id} {message_id}"
