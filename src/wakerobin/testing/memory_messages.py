"""Messages, mailboxes and what apps sent, of `MemoryStore`."""

# ruff: noqa: D102 - each method is described once, in ports/messages.py

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from wakerobin.core.mailbox import Mailbox
from wakerobin.ports.messages import KeptMessage, SendState, SentMessage
from wakerobin.testing.memory_tables import Tables


class MemoryMessages:
    """`ports.messages.Messages` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._all = tables
        self._rows = tables.message
        self._for = tables.message_for

    def add(self, message: KeptMessage, registrations: Sequence[int]) -> KeptMessage | None:
        self._all.expect_account(message.account_id)
        key = (message.public_id, message.account_id)
        if any((one.public_id, one.account_id) == key for one in self._rows.rows.values()):
            return None
        stored = replace(message, id=self._rows.next_id())
        self._rows.put(stored.id, stored)
        for registration_id in registrations:
            self._all.expect_registration(registration_id)
            self._for.put((registration_id, stored.id), 0)
        return stored

    def get(self, registration_id: int, public_id: str) -> KeptMessage | None:
        ids = (id_ for of, id_ in self._for.rows if of == registration_id)
        return next(
            (self._rows.rows[id_] for id_ in ids if self._rows.rows[id_].public_id == public_id), None
        )

    def waiting(
        self, registration_id: int, after: int, limit: int, *, fetched_too: bool = False
    ) -> list[KeptMessage]:
        ids = sorted(
            id_
            for (of, id_), fetched_at in self._for.rows.items()
            if of == registration_id and id_ > after and (fetched_too or not fetched_at)
        )
        return [self._rows.rows[id_] for id_ in ids[:limit]]

    def hand_on(self, registration_id: int, heir: int) -> None:
        self._all.expect_registration(heir)
        for of, id_ in [key for key, fetched_at in self._for.rows.items() if not fetched_at]:
            if of == registration_id and (heir, id_) not in self._for.rows:
                self._for.put((heir, id_), 0)

    def note_fetched(self, registration_id: int, message_ids: Sequence[int], at: int) -> None:
        for id_ in message_ids:
            if self._for.rows.get((registration_id, id_)) == 0:
                self._for.put((registration_id, id_), at)

    def settle(self, registration_id: int, message_ids: Sequence[int], known_until: int) -> int:
        count = 0
        for id_ in message_ids:
            count += (registration_id, id_) in self._for.rows
            self._for.drop((registration_id, id_))
            if id_ in self._rows.rows and not any(of == id_ for _, of in self._for.rows):
                self._rows.put(id_, replace(self._rows.rows[id_], content=b"", expires_at=known_until))
        return count

    def drop(self, registration_id: int, known_until: int) -> int:
        ids = [id_ for of, id_ in self._for.rows if of == registration_id]
        return self.settle(registration_id, ids, known_until)

    def count_for(self, registration_id: int) -> int:
        rows = self._for.rows.items()
        return sum(of == registration_id and not fetched_at for (of, _), fetched_at in rows)

    def forget(self, now: int, fetched_before: int, limit: int) -> int:
        fetched = [key for key, at in self._for.rows.items() if 0 < at < fetched_before][:limit]
        for registration_id, id_ in fetched:
            self.settle(registration_id, [id_], now)
        over = sorted((row.expires_at, row.id) for row in self._rows.rows.values() if row.expires_at <= now)
        gone = {id_ for _, id_ in over[:limit]}
        for id_ in gone:
            self._rows.drop(id_)
        for key in [key for key in self._for.rows if key[1] in gone]:
            self._for.drop(key)
        return max(len(fetched), len(gone))


class MemoryMailboxes:
    """`ports.messages.Mailboxes` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._all = tables
        self._rows = tables.mailbox

    def get(self, account_id: int) -> tuple[Mailbox, int] | None:
        return self._rows.rows.get(account_id)

    def put(self, account_id: int, mailbox: Mailbox, changes: int) -> None:
        self._all.expect_account(account_id)
        self._rows.put(account_id, (mailbox, changes))


class MemorySentMessages:
    """`ports.messages.SentMessages` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._all = tables
        self._rows = tables.sent_message

    def add(self, message: SentMessage) -> bool:
        self._all.expect_registration(message.registration_id)
        key = (message.registration_id, message.message_id)
        if key in self._rows.rows:
            return False
        self._rows.put(key, message)
        return True

    def get(self, registration_id: int, message_id: str) -> SentMessage | None:
        return self._rows.rows.get((registration_id, message_id))

    def waiting(self, limit: int) -> list[SentMessage]:
        rows = self._rows.where(lambda one: one.state is SendState.WAITING)
        return sorted(rows, key=lambda one: one.created_at)[:limit]

    def count_waiting(self, registration_id: int) -> int:
        key = (registration_id, SendState.WAITING)
        return len(self._rows.where(lambda one: (one.registration_id, one.state) == key))

    def end(self, message: SentMessage) -> None:
        key = (message.registration_id, message.message_id)
        if key in self._rows.rows:
            created_at = self._rows.rows[key].created_at
            ended = replace(message, to="", content_type="", body=b"", created_at=created_at)
            self._rows.put(key, ended)

    def forget(self, before: int, limit: int) -> int:
        old = sorted((row.created_at, key) for key, row in self._rows.rows.items() if row.created_at < before)
        for _, key in old[:limit]:
            self._rows.drop(key)
        return len(old[:limit])
