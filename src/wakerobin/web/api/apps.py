"""`/v1/apps/{app}`: what an app must know of this server before it can enrol."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from wakerobin.services.enrolment import providers_of
from wakerobin.web.api.answers import AppAnswer
from wakerobin.web.api.holding import ENROLMENT_KEY, Bearer
from wakerobin.web.context import Context
from wakerobin.web.problems import ProblemError, responses

router = APIRouter(prefix="/v1/apps", tags=["apps"])


@router.get(
    "/{app}",
    summary="What there is for an app",
    responses=responses("enrolment-key-refused", "invalid-field"),
)
async def read(app: str, context: Context, bearer: Annotated[Bearer, Depends(ENROLMENT_KEY)]) -> AppAnswer:
    """Return which push services can be enrolled with, and the key that web pages subscribe with."""
    options = context.access.app_of(app, bearer.credentials if bearer is not None else "")
    if options is None:
        raise ProblemError("enrolment-key-refused", "The key belongs to the app; both must fit.")
    return AppAnswer(
        app=app,
        providers=providers_of(options),
        webpush_key=context.webpush_key(app) or None,
        push_privacy=options.push_privacy,
    )
