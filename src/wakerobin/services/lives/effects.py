"""Writing down what a life's decision says: outbox rows, the end, the released binding, the story."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeAlias, assert_never

from wakerobin.core.lifetime import Effect, End, Event, Release, Send, Tell, Void
from wakerobin.core.values import BindingState, Life, Purpose, PushRegistration
from wakerobin.ports.store import OutboxRow, Transaction, Unregister
from wakerobin.services import story

GrantedUntil: TypeAlias = Callable[[int], int | None]
"""Until when the PBX granted the binding of an account (epoch milliseconds), where that is known."""

Apply: TypeAlias = Callable[[Transaction, PushRegistration, Event], Life]
"""Decides an event of a registration's life and writes what follows."""

UNKNOWN_GRANT = 3600_000
"""For how long an un-REGISTER is tried where nobody knows what the PBX granted."""


def perform(
    tx: Transaction,
    account_id: int,
    life: Life,
    effects: Iterable[Effect],
    now: int,
    granted_until: GrantedUntil,
) -> None:
    """Write a decided life and everything that follows from it."""
    tx.lives.update(life)
    subject = story.of_registration(life.id)
    for effect in effects:
        match effect:
            case Send():
                tx.outbox.add(_row(life, effect))
            case Void(below_generation=below):
                tx.outbox.void(life.id, below)
            case End(with_targets=with_targets):
                _end(tx, life.id, with_targets=with_targets)
            case Release():
                release(tx, account_id, life.id, now, granted_until)
            case Tell(event=event, details=details):
                story.tell(tx, subject, now, event, **details)
            case _:
                assert_never(effect)


def release(
    tx: Transaction, account_id: int, registration_id: int, now: int, granted_until: GrantedUntil
) -> None:
    """Let the binding of an account go unless an active push registration needs it (laws 4 and 6).

    `registration_id`: whose end it is, for its story. The HA1s move to the un-REGISTER and are erased from
    the account in this transaction.
    """
    account = tx.accounts.get(account_id)
    if account is None or any(other.proven for other in tx.registrations.of_account(account_id)):
        return
    credentials = tx.accounts.credentials(account_id)
    if credentials is not None:
        tx.accounts.set_credentials(account_id, None)
    if not account.proven:
        return
    if credentials is not None:
        give_up_at = granted_until(account_id) or now + UNKNOWN_GRANT
        tx.binding_work.add_unregister(
            Unregister(
                account=account,
                credentials=credentials,
                registration_id=registration_id,
                created_at=now,
                give_up_at=give_up_at,
            )
        )
    tx.accounts.update(
        replace(
            account,
            proven=False,
            state=BindingState.UNPROVEN,
            reason_code="",
            reason="",
            state_since_at=now,
        )
    )


def _end(tx: Transaction, registration_id: int, *, with_targets: bool) -> None:
    if tx.binding_work.trial(registration_id) is not None:
        tx.binding_work.remove_trial(registration_id)
    for target in tx.targets.of_registration(registration_id):
        # The notice of the end is the last thing sent; its own settlement erases where it went.
        if with_targets or Purpose.NOTICE not in target.purposes:
            tx.targets.remove(target.id)


def _row(life: Life, send: Send) -> OutboxRow:
    return OutboxRow(
        slot=life.slot,
        registration_id=life.id,
        generation=send.generation,
        kind=send.kind,
        step=send.step,
        not_before=send.not_before,
        deadline_at=send.deadline_at,
        payload=send.payload,
    )
