"""A MESSAGE from the PBX: checked, kept in one transaction with its pushes, and only then accepted."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from wakerobin import log, metrics
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.ids import keyed_hash, uuid_from
from wakerobin.core.messages import Kind, kind_of
from wakerobin.core.pacing import TokenBuckets
from wakerobin.core.pushes import PushType
from wakerobin.core.sip.message import Message
from wakerobin.core.story import readable
from wakerobin.core.values import Account, Duration, Life, PushRegistration
from wakerobin.ports.messages import KeptMessage
from wakerobin.ports.sip import ServerTransactionHandle
from wakerobin.ports.store import OutboxRow, Transaction
from wakerobin.services import story
from wakerobin.services.callers import caller_of, shown_name
from wakerobin.services.messages import copies
from wakerobin.services.messages.deliveries import Deliveries
from wakerobin.services.messages.encoding import decoded
from wakerobin.services.messages.values import PUSHED_FOR_MS, Around, living
from wakerobin.services.phones.answers import answer, refuse

MESSAGES_PER_SECOND = 5.0
MESSAGES_AT_ONCE = 50.0
TRY_AGAIN_S = 30

_log = log.get("messages")


class _Fate(enum.Enum):
    """What became of a message that was to be kept."""

    REPEATED = "it came before"
    FULL = "too many wait"
    NOBODY = "nobody is enrolled any more"


@dataclass(frozen=True, slots=True)
class _Kept:
    """A message that is kept now, and whose it is."""

    registration_ids: tuple[int, ...]


class Receiving:
    """`kept_for` says for how long an app's messages are kept, milliseconds."""

    def __init__(self, around: Around, deliveries: Deliveries, kept_for: Callable[[str], Duration]) -> None:
        self._around = around
        self._deliveries = deliveries
        self._kept_for = kept_for
        self._rates: TokenBuckets[int] = TokenBuckets(MESSAGES_PER_SECOND, MESSAGES_AT_ONCE)

    def receive(self, transaction: ServerTransactionHandle, account: Account) -> bool:
        """Take a MESSAGE for an account. False: nobody is enrolled whom it could wait for."""
        request = transaction.request
        around = self._around
        if self._is_refused(transaction, account):
            return True
        if request.expires == 0 or not around.store.read(lambda tx: living(tx, account.id)):
            return False  # of use now or never
        kind = kind_of(request, decoded(request))
        if kind is Kind.COMPOSING:
            transaction.respond(answer(request, 200))
            self._deliveries.pass_on(request, around.phones.flows(account.id))
            metrics.MESSAGES.labels("passed-on").inc()
        else:
            around.start(self._keep(transaction, account, kind))
        return True

    def _is_refused(self, transaction: ServerTransactionHandle, account: Account) -> bool:
        request, limits = transaction.request, self._around.limits
        asked = request.values("require")
        wait = self._rates.take(account.id, self._around.clock.monotonic())
        if wait:
            refuse(transaction, 503, "Too many messages at once", retry_after=int(wait) + 1)
        elif asked:
            # 8.2.2.3: whoever keeps a message answers for the phone, and must know what is asked of it.
            transaction.respond(answer(request, 420, headers=[("Unsupported", ", ".join(asked))]))
        elif len(request.body) > limits.octets:
            refuse(transaction, 413, f"A message has {limits.octets} octets at most")
        else:
            return False
        metrics.MESSAGES.labels("refused").inc()
        return True

    async def _keep(self, transaction: ServerTransactionHandle, account: Account, kind: Kind) -> None:
        request, now = transaction.request, self._around.clock.now()
        caller = caller_of(request) if kind is Kind.TEXT else None
        try:
            fate = await self._around.store.transact(
                lambda tx: self._keep_in(tx, request, account, caller, now)
            )
        except StoreUnavailableError as error:
            _log.warning("store_unavailable", reason=str(error))
            self._deliveries.look_again()
            refuse(transaction, 500, "It cannot be stored now", retry_after=TRY_AGAIN_S)
            return
        match fate:
            case _Kept(registration_ids=ids):
                # RFC 3428 section 7: taken, and on its way; whether anybody reads it is not known yet.
                transaction.respond(answer(request, 202))
                metrics.MESSAGES.labels("kept").inc()
                self._deliveries.came(account.id, ids, request)
            case _Fate.REPEATED:
                transaction.respond(answer(request, 202))
                metrics.MESSAGES.labels("repeated").inc()
                self._deliveries.came_before(account.id)
            case _Fate.FULL:
                # Not a 503: a PBX would leave us alone with the calls of all others for it.
                text = "Too many messages wait for each of these phones"
                refuse(transaction, 480, text, retry_after=TRY_AGAIN_S)
                metrics.MESSAGES.labels("full").inc()
            case _Fate.NOBODY:
                refuse(transaction, 480, "No phone of this account is enrolled any more")
                metrics.MESSAGES.labels("refused").inc()

    def _keep_in(
        self, tx: Transaction, request: Message, account: Account, caller: dict[str, str] | None, now: int
    ) -> _Kept | _Fate:
        """Keep it for all that have room, with the pushes that tell of it, where they name a `caller`."""
        around = self._around
        those = living(tx, account.id)
        if not those:
            return _Fate.NOBODY
        most = around.limits.most_waiting
        with_room = [one for one in those if tx.messages.count_for(one[0].id) < most]
        if not with_room:
            return _Fate.FULL
        came = KeptMessage(
            account_id=account.id,
            public_id=message_id(around.secret, request, account.id),
            received_at=now,
            expires_at=now + self._time_left(request, account.app),
            content=copies.kept(request, now),
        )
        # A phone that fetches nothing for weeks takes no message from one that does.
        ids = tuple(registration.id for registration, _ in with_room)
        message = tx.messages.add(came, ids)
        if message is None:
            return _Fate.REPEATED
        for registration, life in with_room:
            story.tell(tx, story.of_registration(registration.id), now, "message")
            if caller is not None:
                not_before = around.pushed_from(account.id, registration.id, now)
                tx.outbox.add(_push(message, registration, life, caller, not_before))
        return _Kept(ids)

    def _time_left(self, request: Message, app: str) -> int:
        kept_for = int(self._kept_for(app))
        return kept_for if request.expires is None else min(kept_for, request.expires * 1000)


def message_id(secret: bytes, request: Message, account_id: int) -> str:
    """Return the UUID of a message: the same for every copy that the PBX sends of it (RFC 3261 8.2.2.2)."""
    named = (request.call_id, request.from_tag or "", str(request.cseq), str(account_id))
    return uuid_from(keyed_hash(secret, "message", *named))


def _push(
    message: KeptMessage,
    registration: PushRegistration,
    life: Life,
    caller: Mapping[str, str],
    not_before: int,
) -> OutboxRow:
    return OutboxRow(
        slot=life.slot,
        registration_id=registration.id,
        generation=life.generation,
        kind=PushType.MESSAGE,
        step=message.id,
        not_before=not_before,
        deadline_at=max(not_before + 1, min(message.received_at + PUSHED_FOR_MS, message.expires_at)),
        payload={
            "message": message.id,
            "message_id": message.public_id,
            "from": dict(caller),
            "caller": readable(shown_name(dict(caller))),
        },
    )
