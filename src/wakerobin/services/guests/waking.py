"""Pushes to guests: one wakes a phone for all that waits for it (RFC 8599 5.6.2, the bucket)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from wakerobin import log
from wakerobin.core.guests import Guest
from wakerobin.core.ids import keyed_hash, uuid_from
from wakerobin.core.pushes import (
    Accepted,
    CallDetails,
    Outcome,
    PayloadHead,
    PushMessage,
    PushType,
    TargetGone,
    call_message,
    notice_payload,
)
from wakerobin.core.values import Provider, Purpose, PushTarget
from wakerobin.ports.store import Transaction
from wakerobin.services import story
from wakerobin.services.guests.around import Around


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of the pushes of one phone. `reason`: who took one, or why nobody did."""

    is_accepted: bool
    reason: str


OnSettled: TypeAlias = Callable[[Settled], None]

BUCKET_S = 10.0
"""So long one push stands for all that is to follow, unless the phone has registered meanwhile."""

MOST_BUCKETS = 100_000
SILENT_FOR_S = 20.0
"""How long a push without a call is of use: the request behind it ends by then."""

_log = log.get("guests")


@dataclass(slots=True)
class _Bucket:
    until: float
    left: int
    """Pushes whose outcome is not known."""
    settled: Settled | None = None
    listeners: list[OnSettled] = field(default_factory=list)


class Waking:
    """Sends the pushes of guests, and forgets the targets that are gone."""

    def __init__(self, around: Around) -> None:
        self._around = around
        self._buckets: dict[tuple[int, Purpose], _Bucket] = {}

    def for_call(self, guest: Guest, details: CallDetails, expires_at: int, on_settled: OnSettled) -> None:
        """Wake a guest for a call; `on_settled` is called once, perhaps before this returns."""
        targets = guest.for_purpose(Purpose.CALL)
        messages = [
            call_message(guest.app, target, self._head(guest, target, details.call_id, expires_at), details)
            for target in targets
        ]
        self._wake(guest, Purpose.CALL, messages, expires_at, on_settled)

    def in_silence(self, guest: Guest, name: str, on_settled: OnSettled, *, is_message: bool = False) -> None:
        """Wake a guest without a call: for another request, or to refresh; `name` is what it is for.

        A message, which its user is shown, may wake an Android phone out of its deep sleep.
        """
        expires_at = self._around.clock.now() + round(SILENT_FOR_S * 1000)
        messages = []
        for target in guest.for_purpose(Purpose.NOTICE):
            head = self._head(guest, target, name, expires_at)
            is_urgent = is_message and target.provider is Provider.FCM
            kind = PushType.MESSAGE if is_urgent else PushType.RENEW
            messages.append(
                PushMessage(
                    type=kind,
                    id=head.id,
                    target=target,
                    app=guest.app,
                    payload=notice_payload(kind, head),
                    expires_at=expires_at,
                )
            )
        self._wake(guest, Purpose.NOTICE, messages, expires_at, on_settled)

    def arrived(self, number: int) -> None:
        """A guest has registered: the next request that finds it asleep needs a push of its own."""
        for purpose in Purpose:
            self._buckets.pop((number, purpose), None)

    def _wake(
        self,
        guest: Guest,
        purpose: Purpose,
        messages: list[PushMessage],
        expires_at: int,
        on_settled: OnSettled,
    ) -> None:
        around, now = self._around, self._around.clock.monotonic()
        known = self._buckets.get((guest.number, purpose))
        if known is not None and now < known.until:
            if known.settled is not None:
                on_settled(known.settled)
            else:
                known.listeners.append(on_settled)
            return
        if not messages:
            on_settled(Settled(is_accepted=False, reason="it has no push resource for that"))
            return
        self._forget(now)
        bucket = _Bucket(now + BUCKET_S, len(messages), None, [on_settled])
        self._buckets[guest.number, purpose] = bucket
        deadline = now + (expires_at - around.clock.now()) / 1000
        around.pusher.call_now(
            messages, lambda one, outcome: self._came(guest, bucket, one, outcome), deadline
        )

    def _came(self, guest: Guest, bucket: _Bucket, message: PushMessage, outcome: Outcome) -> None:
        bucket.left -= 1
        service = message.target.provider.value.upper()
        if isinstance(outcome, TargetGone) and outcome.certain:
            self._around.start(self._gone(guest, message.target, outcome.reason))
        if isinstance(outcome, Accepted):
            self._settle(bucket, Settled(is_accepted=True, reason=service))
        elif bucket.left <= 0:
            self._settle(bucket, Settled(is_accepted=False, reason=f"{service}: {outcome.reason}"))

    def _settle(self, bucket: _Bucket, settled: Settled) -> None:
        if bucket.settled is not None:
            return
        bucket.settled = settled
        listeners, bucket.listeners = bucket.listeners, []
        for on_settled in listeners:
            on_settled(settled)

    async def _gone(self, guest: Guest, target: PushTarget, reason: str) -> None:
        """A push service says that a target is no more: without any, nothing is left to keep."""
        now = self._around.clock.now()

        def forget(tx: Transaction) -> None:
            stored = tx.guests.get(guest.number)
            if stored is None or target.token not in {one.token for one in stored.targets}:
                return  # it has registered anew with another one
            left = tuple(one for one in stored.targets if one.token != target.token)
            story.tell(tx, story.of_guest(guest.number), now, "guest-target-gone", reason=reason)
            if left:
                tx.guests.put(replace(stored, targets=left, step=0))
            else:
                tx.guests.remove(guest.number)

        await self._around.store.transact(forget)
        _log.info("guest_target_gone", app=guest.app, provider=target.provider, reason=reason)

    def _head(self, guest: Guest, target: PushTarget, name: str, expires_at: int) -> PayloadHead:
        secret, now = self._around.secret, self._around.clock.now()
        token = target.token.reveal()
        return PayloadHead(
            id=uuid_from(keyed_hash(secret, "guest-push", str(guest.number), token, name)),
            registration=public_name(secret, guest.number),
            generation=1,
            sent_at=now,
            expires_at=expires_at,
            stage="active",
            life_expires_at=guest.expires_at,
        )

    def _forget(self, now: float) -> None:
        while self._buckets:
            key = next(iter(self._buckets))
            if len(self._buckets) < MOST_BUCKETS and self._buckets[key].until > now:
                return
            del self._buckets[key]


def public_name(secret: bytes, number: int) -> str:
    """Return what a guest is called in payloads, in the place of a push registration's id."""
    return "guest_" + keyed_hash(secret, "name of a guest", str(number), size=8).hex()
