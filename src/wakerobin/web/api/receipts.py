"""`POST …/receipts`: what became of pushes on the phone. Accepted by a push service is not yet shown."""

from __future__ import annotations

from fastapi import APIRouter, Response

from wakerobin.core.lifetime import LAST_RESORT, PlanKind
from wakerobin.core.pushes import PushType
from wakerobin.core.values import PushRegistration
from wakerobin.ports.store import Transaction
from wakerobin.services import story
from wakerobin.services.courier.messages import push_id
from wakerobin.services.lives import LifeView
from wakerobin.web.api.enrolment import PATH
from wakerobin.web.api.fields import Receipts
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
_OUTSIDE = (PushType.EXPIRY_WARNING, PushType.TARGETS_NEEDED)


@router.post("", status_code=204, summary="Report pushes", responses=responses(*_PROBLEMS))
async def receipts(fields: Receipts, held: Held, budget: ReceiptsBudget) -> Response:
    """Report pushes that arrived. A push of this life that was sent within a day renews it."""
    registration, now = held.registration, held.context.clock.now()
    if not registration.proven:
        await note_use(held)  # no push was ever sent to it
        return Response(status_code=204)
    budget.expect(registration.public_id, len(fields))
    view = standing_of(held.context, registration.id).view

    def store(tx: Transaction) -> bool:
        fresh = _fresh(tx, registration, view, now)
        for one in fields:
            details = {"push": one.push_id.lower(), "kind": one.kind, "received_at": one.received_at}
            for name in ("original_priority", "delivered_priority"):
                if getattr(one, name):
                    details[name] = getattr(one, name)
            story.tell(tx, story.of_registration(registration.id), now, "receipt", **details)
        return any(one.push_id.lower() in fresh for one in fields)

    if await held.context.store.transact(store):
        await use(held, "receipt")
    else:
        await note_use(held)
    return Response(status_code=204)


def _fresh(tx: Transaction, registration: PushRegistration, view: LifeView, now: int) -> set[str]:
    """Return the ids of the pushes of this generation that were sent within a day, or may have been."""
    life = view.life
    sent = [(_TYPES[entry.kind], step, entry.at) for step, entry in enumerate(view.plan) if step < life.step]
    # What is sent outside the plan: the overdue warning, and the request to report targets.
    sent_at = max(life.warning_tried_at, life.warned_at)
    sent += [(kind, LAST_RESORT, sent_at) for kind in _OUTSIDE if sent_at]
    targets = tx.targets.of_registration(registration.id)
    return {
        push_id(registration, life.generation, kind, step, target)
        for kind, step, at in sent
        if at > now - FRESH_MS
        for target in targets
    }
