"""Test pushes that the operator asks for: `/v1/admin/registrations/{id}/tests`."""

from __future__ import annotations

from fastapi import APIRouter, Response

from wakerobin.core.values import PushRegistration
from wakerobin.services.selftest import SelfTest, TooMany
from wakerobin.web.admin.inspection import Json
from wakerobin.web.context import Context, WebContext
from wakerobin.web.problems import Action, ProblemError, plain_response

router = APIRouter(prefix="/v1/admin/registrations/{public_id}/tests", tags=["operator"])


@router.post("", response_model=None)
async def begin(public_id: str, context: Context) -> Json | Response:
    """Send a test push to the call targets of one; its app may report that it came."""
    registration = _find(context, public_id)
    if registration is None:
        return _nothing()
    asked = context.selftests.ask(registration)
    if isinstance(asked, TooMany):
        raise ProblemError("too-many-requests", "One test a minute, ten a day.", retry_after_s=asked.wait_s)
    return _shown(asked)


@router.get("/{test_id}", response_model=None)
async def outcome(public_id: str, test_id: str, context: Context) -> Json | Response:
    """Show what became of a test."""
    registration = _find(context, public_id)
    found = context.selftests.of(registration, test_id) if registration is not None else None
    return _shown(found) if found is not None else _nothing()


def _find(context: WebContext, public_id: str) -> PushRegistration | None:
    return context.store.read(lambda tx: tx.registrations.by_public_id(public_id))


def _shown(test: SelfTest) -> Json:
    return {
        "id": test.id,
        "state": test.state,
        "sent_at": test.sends_at,
        "received_at": test.received_at,
        "targets": [
            {
                "provider": target.provider,
                "state": target.state,
                "reason": target.reason,
                "after_ms": target.after_ms,
            }
            for target in test.targets
        ],
    }


def _nothing() -> Response:
    return plain_response(404, "There is none with this id.", Action.FIX_REQUEST)
