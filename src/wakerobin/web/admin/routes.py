"""`/v1/admin`: what the command line asks of a running server. Times are epoch milliseconds here."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from wakerobin.web.admin.importing import ImportFields, import_lines
from wakerobin.web.admin.inspection import MOST, Inspection, Json
from wakerobin.web.admin.operations import Operations
from wakerobin.web.api.fields import Fields
from wakerobin.web.context import Context
from wakerobin.web.problems import Action, plain_response

router = APIRouter(prefix="/v1/admin", tags=["operator"])


async def _inspection(context: Context) -> Inspection:
    return Inspection(context.store, context.lives, lambda account: context.fleet.status(account.id))


async def _operations(context: Context) -> Operations:
    return Operations(context.store, context.clock, context.lives)


Inspected = Annotated[Inspection, Depends(_inspection)]
Operated = Annotated[Operations, Depends(_operations)]
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
async def end(public_id: str, operations: Operated) -> Response:
    """End it."""
    return Response(status_code=202) if await operations.end(public_id) else _nothing()


class ExtendFields(Fields):
    """`POST …/extend`."""

    by_s: Annotated[int, Field(ge=1, le=400 * 86_400)]


@router.post("/registrations/{public_id}/extend", response_model=None)
async def extend(public_id: str, fields: ExtendFields, operations: Operated) -> Json | Response:
    """Let it live for so many seconds from now."""
    return await operations.extend(public_id, fields.by_s) or _nothing()


@router.post("/registrations/{public_id}/warn", response_model=None)
async def warn(public_id: str, operations: Operated) -> Json | Response:
    """Warn its user now."""
    return await operations.warn(public_id) or _nothing()


@router.get("/statistics")
async def statistics(operations: Operated, days: Annotated[int, Query(ge=1, le=400)] = 30) -> Json:
    """Count what became of lives, by app and platform."""
    return operations.statistics(days)


@router.get("/alarms")
async def alarms(operations: Operated) -> Json:
    """List what a person has to mend."""
    return operations.alarms()


@router.post("/clock/confirm")
async def confirm_clock(operations: Operated) -> Json:
    """Believe the clock of this machine after it stepped."""
    return {"was_in_doubt": await operations.confirm_clock()}


@router.post("/push/check")
async def check_push(context: Context, app: str = "") -> Json:
    """Ask every push service of one app, or of all, whether it takes us."""
    return await context.push_checks.all(app)


@router.post("/accounts/import")
async def import_accounts(fields: ImportFields, context: Context) -> Json:
    """Take in accounts of a file, some lines at a time; what was taken in before stays as it is."""
    return {"lines": await import_lines(context.importing, fields.lines)}


@router.get("/calls")
async def calls(inspection: Inspected, limit: Limit = 50) -> Json:
    """List calls."""
    return inspection.calls(limit)


@router.get("/calls/{call_id}", response_model=None)
async def call(call_id: str, inspection: Inspected) -> Json | Response:
    """Show a call and what happened to it."""
    return inspection.call(call_id) or _nothing()


@router.get("/guests")
async def guests(inspection: Inspected, limit: Limit = 50, aor: str = "") -> Json:
    """List phones that never enrolled."""
    return inspection.guests(limit, aor)


@router.get("/guests/{id_}", response_model=None)
async def guest(id_: str, inspection: Inspected) -> Json | Response:
    """Show one of them and what happened to it."""
    return inspection.guest(id_) or _nothing()


def _nothing() -> Response:
    return plain_response(404, "There is none with this id.", Action.FIX_REQUEST)
