"""`POST /v1/push-registrations`: an app asks to be woken for an account."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from wakerobin import metrics
from wakerobin.services.enrolment import Refusal
from wakerobin.web.api.answers import EnrolmentAnswer, registration_fields
from wakerobin.web.api.fields import EnrolFields
from wakerobin.web.api.holding import ENROLMENT_KEY, Bearer, standing_of
from wakerobin.web.api.refusals import problem_of
from wakerobin.web.context import Context
from wakerobin.web.limits import CountedVisitor
from wakerobin.web.problems import ProblemError, responses

router = APIRouter(prefix="/v1/push-registrations", tags=["push registrations"])

PATH = "/v1/push-registrations"

Wait = Annotated[
    int, Query(ge=0, le=10, description="Seconds to wait for what the PBX says of the credentials.")
]

_PROBLEMS = (
    "malformed-request",
    "enrolment-key-refused",
    "registrar-not-allowed",
    "enrolment-closed",
    "aor-conflict",
    "too-large",
    "unsupported-media-type",
    "invalid-field",
    "credentials-refused",
    "registrar-unusable",
    "registrar-does-not-challenge",
    "target-unusable",
    "too-many-requests",
    "too-many-refused-credentials",
    "registrar-busy",
)


@router.post(
    "",
    status_code=201,
    summary="Enrol",
    responses={200: {"model": EnrolmentAnswer, "description": "Enrolled again."}, **responses(*_PROBLEMS)},
)
async def enrol(
    fields: EnrolFields,
    context: Context,
    bearer: Annotated[Bearer, Depends(ENROLMENT_KEY)],
    visitor: CountedVisitor,
    response: Response,
    wait: Wait = 0,
) -> EnrolmentAnswer:
    """Enrol an installation for an account.

    The same installation enrols again with the same call: it keeps its id and gets a new secret; the
    old one works until the new one is first used.
    """
    app = context.access.app_of(fields.app, bearer.credentials if bearer is not None else "")
    if app is None:
        raise ProblemError("enrolment-key-refused", "The key belongs to the app; both must fit.")
    enrolled = await context.enrolment.enrol(app, fields.request(), wait)
    if isinstance(enrolled, Refusal):
        metrics.ENROLMENTS.labels(outcome=enrolled.problem).inc()
        raise problem_of(enrolled)
    if enrolled.registration.proven and context.handover.is_aside(enrolled.registration):
        await context.handover.come_back(enrolled.registration, wait, "enrolled")
    metrics.ENROLMENTS.labels(outcome="new" if enrolled.is_new else "again").inc()
    standing = standing_of(context, enrolled.registration.id)
    if not enrolled.is_new:
        response.status_code = 200
    response.headers["Location"] = f"{PATH}/{enrolled.registration.public_id}"
    answer = registration_fields(context, standing, visitor.address)
    payload_key = enrolled.registration.payload_key.reveal() or None
    return EnrolmentAnswer(**answer, secret=enrolled.secret.reveal(), payload_key=payload_key)
