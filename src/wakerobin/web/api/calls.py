"""`…/calls`: what a woken app asks about a call, and what it says about it. No SIP is needed for it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from wakerobin.core.call import CallState
from wakerobin.ports.options import AppOptions
from wakerobin.ports.store import CallRecord
from wakerobin.services import story
from wakerobin.web.api.answers import CallAnswer, CallsAnswer, TimelineAnswer, call_answer, timeline
from wakerobin.web.api.enrolment import PATH
from wakerobin.web.api.fields import DeclineFields
from wakerobin.web.api.holding import Held, Holding, use
from wakerobin.web.problems import ProblemError, responses

router = APIRouter(prefix=f"{PATH}/{{id}}/calls", tags=["calls"])

KNOWN_MS = 24 * 3_600_000
"""How long a call is known after it began."""
MOST_CALLS = 100
BUSY = 486

_HELD = ("secret-refused", "push-registration-expired", "push-registration-ended", "invalid-field")
_CALL = (*_HELD, "call-unknown")
_READ = ("malformed-request", "too-large", "unsupported-media-type")


@router.get("", summary="List calls", responses=responses(*_HELD))
async def calls(held: Held) -> CallsAnswer:
    """Return the calls of the last day, newest first."""
    await use(held, "other")
    if not held.registration.proven:
        return CallsAnswer(calls=[])
    known_from = held.context.clock.now() - KNOWN_MS
    account_id = held.registration.account_id
    records = held.context.store.read(lambda tx: tx.calls.of_account(account_id, MOST_CALLS))
    return CallsAnswer(calls=[_answer(held, record) for record in records if record.started_at >= known_from])


@router.get("/{call_id}", summary="Read a call", responses=responses(*_CALL))
async def call(
    call_id: str,
    held: Held,
    wait: Annotated[int, Query(ge=0, le=30, description="Seconds to wait for a change.")] = 0,
) -> CallAnswer:
    """Return a call; with `wait` as soon as it changes. From its report to its INVITE the app holds this."""
    _find(held, call_id)
    record = await held.context.switchboard.wait(held.registration, call_id, wait)
    if record is None:
        raise _unknown()
    await use(held, "other")
    return _answer(held, record)


@router.get("/{call_id}/timeline", summary="Why did it not ring?", responses=responses(*_CALL))
async def call_timeline(call_id: str, held: Held) -> TimelineAnswer:
    """Return what happened to a call, in words."""
    record = _find(held, call_id)
    await use(held, "other")
    subject = story.of_call(record.call_id)
    return timeline(held.context.store.read(lambda tx: tx.stories.of(subject)))


@router.post(
    "/{call_id}/progress",
    status_code=204,
    summary="Say that the app is awake",
    responses=responses(*_CALL, "call-over"),
)
async def progress(call_id: str, held: Held) -> Response:
    """The app is awake and deals with the call."""
    _find(held, call_id)
    if not held.context.switchboard.progress(held.registration, call_id):
        await held.context.switchboard.known(held.registration, call_id=call_id)
        raise _over()
    await use(held, "call")
    return Response(status_code=204)


@router.post(
    "/{call_id}/decline", status_code=204, summary="Decline", responses=responses(*_CALL, *_READ, "call-over")
)
async def decline(call_id: str, fields: DeclineFields, held: Held) -> Response:
    """Decline a call, on this phone or on all. A call that was declined already stays so."""
    record = _find(held, call_id)
    app = held.context.options.apps.get(held.registration.app, AppOptions())
    scope = fields.scope or ("all" if app.decline == "all" else "this")
    status = BUSY if fields.reason == "busy" else app.decline_code
    is_taken = held.context.switchboard.decline(
        held.registration, call_id, everywhere=scope == "all", status=status
    )
    if not is_taken and record.state != CallState.DECLINED:
        raise _over()
    await use(held, "call")
    return Response(status_code=204)


def _find(held: Holding, call_id: str) -> CallRecord:
    """Raise `call-unknown` for a call of others, an old one, and every call of unproven credentials."""
    record = None
    if held.registration.proven:
        record = held.context.switchboard.call_of(held.registration, call_id)
    if record is None or record.started_at < held.context.clock.now() - KNOWN_MS:
        raise _unknown()
    return record


def _answer(held: Holding, record: CallRecord) -> CallAnswer:
    call_id = held.context.switchboard.call_id_for(held.registration, record)
    return call_answer(call_id, record, held.registration)


def _unknown() -> ProblemError:
    return ProblemError("call-unknown", "End the call on the phone.")


def _over() -> ProblemError:
    return ProblemError("call-over", "End the call on the phone.")
