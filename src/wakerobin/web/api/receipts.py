"""`POST …/receipts`: what became of pushes on the phone. Accepted by a push service is not yet shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fastapi import APIRouter, Response

from wakerobin import metrics
from wakerobin.core.lifetime import LAST_RESORT, REWARN, TROUBLE_TEXT, PlanKind
from wakerobin.core.pushes import PushType
from wakerobin.core.values import PushRegistration
from wakerobin.ports.store import Transaction
from wakerobin.ports.upkeep import ReceiptRow
from wakerobin.services import story
from wakerobin.services.courier.messages import push_id
from wakerobin.services.lives import LifeView
from wakerobin.web.api.enrolment import PATH
from wakerobin.web.api.fields import ReceiptFields, Receipts
from wakerobin.web.api.holding import Held, note_use, standing_of, use
from wakerobin.web.limits import ReceiptsBudget
from wakerobin.web.problems import responses

router = APIRouter(prefix=f"{PATH}/{{id}}/receipts", tags=["push registrations"])

FRESH_MS = 24 * 3_600_000
"""A receipt for an older push says nothing of how the phone is used now."""

_PROBLEMS = (
    "malformed-request",
    "secret-refused",
    "push-registration-expired",
    "push-registration-ended",
    "too-large",
    "unsupported-media-type",
    "invalid-field",
    "too-many-requests",
)
_TYPES = {PlanKind.RENEW: PushType.RENEW, PlanKind.WARNING: PushType.EXPIRY_WARNING}
_NOT_PERMITTED = "not-permitted"
_TAPPED = "tapped"


@router.post("", status_code=204, summary="Report pushes", responses=responses(*_PROBLEMS))
async def receipts(fields: Receipts, held: Held, budget: ReceiptsBudget) -> Response:
    """Report pushes that arrived. A push of this life that was sent within a day renews it.

    `not-permitted` says that nothing can be shown on this phone: it is not warned any more.
    """
    registration, now = held.registration, held.context.clock.now()
    if not registration.proven:
        await note_use(held)  # no push was ever sent to it
        return Response(status_code=204)
    budget.expect(registration.public_id, len(fields))
    view = standing_of(held.context, registration.id).view

    def store(tx: Transaction) -> str:
        fresh = _fresh(tx, registration, view, now)
        for one in fields:
            _keep(tx, registration, one, fresh.get(one.push_id.lower()), now)
        if any(one.kind == _NOT_PERMITTED for one in fields):
            _note_denial(tx, registration.id)
        return _cause(fields, fresh)

    push_ids = {one.push_id.lower() for one in fields}
    held.context.selftests.received(registration.id, push_ids)
    await held.context.switchboard.known(registration, push_ids=push_ids)
    cause = await held.context.store.transact(store)
    for one in fields:
        metrics.RECEIPTS.labels(one.kind).inc()
    if cause:
        await use(held, cause)
    else:
        await note_use(held)
    return Response(status_code=204)


def _keep(
    tx: Transaction, registration: PushRegistration, one: ReceiptFields, sent: PushType | None, now: int
) -> None:
    """Keep a receipt, and tell of it."""
    push_type = sent.value if sent is not None else ""
    tx.receipts.add(
        ReceiptRow(
            registration_id=registration.id,
            at=now,
            push_id=one.push_id.lower(),
            kind=one.kind,
            push_type=push_type,
        )
    )
    details = {"push": one.push_id.lower(), "kind": one.kind, "received_at": one.received_at}
    for name in ("original_priority", "delivered_priority"):
        if getattr(one, name):
            details[name] = getattr(one, name)
    story.tell(tx, story.of_registration(registration.id), now, "receipt", **details)


def _note_denial(tx: Transaction, registration_id: int) -> None:
    registration = tx.registrations.get(registration_id)
    if registration is not None and registration.capabilities.get("notifications", True):
        capabilities = registration.capabilities | {"notifications": False}
        tx.registrations.update(replace(registration, capabilities=capabilities))


def _cause(fields: Receipts, fresh: Mapping[str, PushType]) -> str:
    """Return which use the receipts are; empty for none."""
    confirmed = [(one.kind, sent) for one in fields if (sent := fresh.get(one.push_id.lower()))]
    if any(kind == _TAPPED for kind, _ in confirmed):
        return "tapped-warning"
    if any(sent is PushType.RENEW for _, sent in confirmed):
        return "renewal-push"
    return "receipt" if confirmed else ""


def _fresh(tx: Transaction, registration: PushRegistration, view: LifeView, now: int) -> dict[str, PushType]:
    """Return the pushes of this generation that were sent within a day, or may have been, by their ids."""
    life = view.life
    sent = [(_TYPES[entry.kind], step, entry.at) for step, entry in enumerate(view.plan) if step < life.step]
    # What is sent outside the plan: warnings that are overdue or asked for, and the request for targets.
    sent_at = max(life.warning_tried_at, life.warned_at)
    outside = (
        (PushType.EXPIRY_WARNING, LAST_RESORT, sent_at),
        (PushType.TARGETS_NEEDED, LAST_RESORT, sent_at),
        (PushType.EXPIRY_WARNING, REWARN, life.warned_at),
        (PushType.REGISTRATION_TROUBLE, TROUBLE_TEXT, life.trouble_told_at),
    )
    sent += [one for one in outside if one[2]]
    targets = tx.targets.of_registration(registration.id)
    return {
        push_id(registration, life.generation, kind, step, target): kind
        for kind, step, at in sent
        if at > now - FRESH_MS
        for target in targets
    }
