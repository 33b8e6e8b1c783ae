"""`…/step-aside` and `…/return`: the app takes its calls over at the PBX itself, and gives them back."""

from __future__ import annotations

from fastapi import APIRouter, Response

from wakerobin.web.api.answers import RegistrationAnswer, as_json, registration_fields
from wakerobin.web.api.enrolment import PATH, Wait
from wakerobin.web.api.holding import Held, Holding, note_use, standing_of
from wakerobin.web.problems import ProblemError, responses

router = APIRouter(prefix=f"{PATH}/{{id}}", tags=["push registrations"])

_HELD = ("secret-refused", "push-registration-expired", "push-registration-ended", "invalid-field")


@router.post(
    "/step-aside",
    summary="Step aside",
    response_model=RegistrationAnswer,
    responses=responses(*_HELD, "handover-unavailable"),
)
async def step_aside(held: Held, wait: Wait = 5) -> Response:
    """Let our binding make way: the app, in the foreground, registers at its PBX itself.

    Answers when our binding is removed there, or after `wait` seconds: then `binding.state` is
    `stepped-aside`, and `binding.expires_at` is null as soon as the PBX has let go of it. Another `state`:
    the binding stays, e.g. for another phone of the account. Without a word from the app it comes back by
    itself; any request of the app puts that off.
    """
    if not await held.context.handover.step_aside(held.registration, wait):
        raise ProblemError(
            "handover-unavailable", "Calls come through this server; do not register elsewhere."
        )
    return await _answer(held)


@router.post("/return", summary="Return", response_model=RegistrationAnswer, responses=responses(*_HELD))
async def come_back(held: Held, wait: Wait = 5) -> Response:
    """Take the calls over again, when the app leaves the foreground and its own registration has ended.

    Answers when our binding is made, or after `wait` seconds. Saying it twice does no harm.
    """
    await held.context.handover.come_back(held.registration, wait, "background")
    return await _answer(held)


async def _answer(held: Holding) -> Response:
    await note_use(held)
    standing = standing_of(held.context, held.registration.id)
    return as_json(RegistrationAnswer(**registration_fields(held.context, standing, held.address)))
