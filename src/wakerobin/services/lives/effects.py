"""Writing down what a life's decision says: outbox rows, the end, the binding, the story, the tallies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, assert_never

from wakerobin.core.ids import Entropy, token
from wakerobin.core.lifetime import Effect, End, Event, Release, Resume, Send, Tell, Void
from wakerobin.core.values import Account, BindingState, Ended, Life, Purpose, PushRegistration
from wakerobin.ports.store import OutboxRow, Standing, Transaction, Unregister
from wakerobin.services import story
from wakerobin.services.lives.tallies import ENDS, tally

GrantedUntil: TypeAlias = Callable[[int], int | None]
"""Until when the PBX granted the binding of an account (epoch milliseconds), where that is known."""

Apply: TypeAlias = Callable[[Transaction, PushRegistration, Event], Life]
"""Decides an event of a registration's life and writes what follows."""

UNKNOWN_GRANT = 3600_000
"""For how long an un-REGISTER is tried where nobody knows what the PBX granted."""

_CONTACT_OCTETS = 16


@dataclass(frozen=True, slots=True)
class Writing:
    """What writing a decision needs beside it."""

    now: int
    granted_until: GrantedUntil
    entropy: Entropy


def perform(
    tx: Transaction, account_id: int, life: Life, effects: Iterable[Effect], writing: Writing
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
            case End():
                _end(tx, life.id, effect, writing.now)
            case Release(keeps_credentials=keeps):
                release(tx, account_id, life.id, writing, keeps_credentials=keeps)
            case Resume():
                _resume(tx, account_id, writing)
            case Tell(event=event, details=details):
                story.tell(tx, subject, writing.now, event, **details)
            case _:
                assert_never(effect)


def perform_sends(tx: Transaction, decided: Sequence[tuple[Standing, Life, Sequence[Send]]]) -> None:
    """Write many lives that only climbed their ladders, and the pushes that follow from it, all at once."""
    tx.lives.climb([life for _, life, _ in decided])
    rows: list[OutboxRow] = []
    for standing, life, sends in decided:
        provider = _sole_provider(standing)
        rows += [_row(life, send, standing.app, provider) for send in sends]
    tx.outbox.add_all(rows)


def _sole_provider(standing: Standing) -> str:
    """Return the provider of all notice targets; empty where it is not one."""
    found = {kind.provider for kind in standing.kinds if Purpose.NOTICE in kind.purposes}
    return found.pop().value if len(found) == 1 else ""


def release(
    tx: Transaction,
    account_id: int,
    registration_id: int,
    writing: Writing,
    *,
    keeps_credentials: bool = False,
) -> None:
    """Let the binding of an account go unless an active push registration needs it (laws 4 and 6).

    `registration_id`: whose end it is, for its story. The HA1s move to the un-REGISTER and are erased from
    the account in this transaction, unless a dormant push registration may want a binding again.
    """
    account = tx.accounts.get(account_id)
    if account is None or any(other.proven for other in tx.registrations.of_account(account_id)):
        return
    credentials = tx.accounts.credentials(account_id)
    keeps_credentials = keeps_credentials or _sleeps(tx, account_id)
    if credentials is not None and not keeps_credentials:
        tx.accounts.set_credentials(account_id, None)
    if not account.proven:
        return
    if credentials is not None:
        give_up_at = writing.granted_until(account_id) or writing.now + UNKNOWN_GRANT
        tx.binding_work.add_unregister(
            Unregister(
                account=account,
                credentials=credentials,
                registration_id=registration_id,
                created_at=writing.now,
                give_up_at=give_up_at,
            )
        )
    tx.troubles.remove(account_id)
    tx.accounts.update(_in_state(replace(account, proven=False), BindingState.UNPROVEN, writing.now))


def is_resumable(tx: Transaction, account_id: int) -> bool:
    """Whether an account still has what a dormant push registration needs to get its binding back."""
    return tx.accounts.credentials(account_id) is not None


def _resume(tx: Transaction, account_id: int, writing: Writing) -> None:
    """Let an account be bound again, as another Contact: a late un-REGISTER must not meet it."""
    account = tx.accounts.get(account_id)
    if account is None or account.proven:
        return
    contact_user = token(writing.entropy, _CONTACT_OCTETS)
    again = replace(account, proven=True, contact_user=contact_user)
    tx.accounts.update(_in_state(again, BindingState.REGISTERING, writing.now))


def _in_state(account: Account, state: BindingState, now: int) -> Account:
    return replace(account, state=state, reason_code="", reason="", state_since_at=now)


def _sleeps(tx: Transaction, account_id: int) -> bool:
    lives = (tx.lives.get(one.id) for one in tx.registrations.dormant(account_id))
    return any(life is not None and life.ended is Ended.DORMANT for life in lives)


def _end(tx: Transaction, registration_id: int, end: End, now: int) -> None:
    registration = tx.registrations.get(registration_id)
    if registration is not None:
        tally(tx, registration, ENDS[end.reason], now)
    if end.keeps_credentials:
        return
    if tx.binding_work.trial(registration_id) is not None:
        tx.binding_work.remove_trial(registration_id)
    tx.messages.drop(registration_id, now)
    for target in tx.targets.of_registration(registration_id):
        # The notice of the end is the last thing sent; its own settlement erases where it went.
        if end.with_targets or Purpose.NOTICE not in target.purposes:
            tx.targets.remove(target.id)


def _row(life: Life, send: Send, app: str = "", provider: str = "") -> OutboxRow:
    return OutboxRow(
        slot=life.slot,
        registration_id=life.id,
        generation=send.generation,
        kind=send.kind,
        step=send.step,
        not_before=send.not_before,
        deadline_at=send.deadline_at,
        payload=send.payload,
        app=app,
        provider=provider,
    )
