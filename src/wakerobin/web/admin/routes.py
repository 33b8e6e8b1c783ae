"""`/v1/admin`: what the command line asks of a running server. Times are epoch milliseconds here."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from wakerobin.web.admin.inspection import MOST, Inspection, Json
from wakerobin.web.context import Context
from wakerobin.web.problems import Action, plain_response

router = APIRouter(prefix="/v1/admin", tags=["operator"])


async def _inspection(context: Context) -> Inspection:
    return Inspection(context.store, context.lives, lambda account: context.fleet.status(account.id))


Inspected = Annotated[Inspection, Depends(_inspection)]
Limit = Annotated[int, Query(ge=1, le=MOST)]


@router.get("/registrations")
async def registrations(
    inspection: Inspected, after: Annotated[int, Query(ge=0)] = 0, limit: Limit = 100, aor: str = ""
) -> Json:
    """List push registrations; `aor` keeps those whose address contains it."""
    return inspection.registrations(after, limit, aor)


@router.get("/registrations/{public_id}", response_model=None)
async def registration(public_id: str, inspection: Inspected) -> Json | Response:
    """Show one."""
    return inspection.registration(public_id) or _nothing()


@router.get("/registrations/{public_id}/timeline", response_model=None)
async def timeline(public_id: str, inspection: Inspected) -> Json | Response:
    """Tell what happened to it."""
    return inspection.registration_timeline(public_id) or _nothing()


@router.delete("/registrations/{public_id}")
async def end(public_id: str, inspection: Inspected) -> Response:
    """End it."""
    return Response(status_code=202) if await inspection.end(public_id) else _nothing()


@router.get("/calls")
async def calls(inspection: Inspected, limit: Limit = 50) -> Json:
    """List calls."""
    return inspection.calls(limit)


@router.get("/calls/{call_id}", response_model=None)
async def call(call_id: str, inspection: Inspected) -> Json | Response:
    """Show a call and what happened to it."""
    return inspection.call(call_id) or _nothing()


def _nothing() -> Response:
    return plain_response(404, "There is none with this id.", Action.FIX_REQUEST)
