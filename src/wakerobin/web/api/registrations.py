"""`/v1/push-registrations/{id}`: reading, renewing, changing and ending one. Each success is a use."""

from __future__ import annotations

from fastapi import APIRouter, Response

from wakerobin.core.values import Ended
from wakerobin.ports.options import AppOptions
from wakerobin.services.enrolment import PatchRequest
from wakerobin.web.api.answers import (
    RegistrationAnswer,
    RenewAnswer,
    as_json,
    registration_fields,
)
from wakerobin.web.api.enrolment import PATH, Wait
from wakerobin.web.api.fields import Capabilities, PatchFields, RenewFields
from wakerobin.web.api.holding import Held, Holding, Standing, note_use, standing_of, use
from wakerobin.web.api.notices import notice_of
from wakerobin.web.api.refusals import problem_of
from wakerobin.web.limits import Budget
from wakerobin.web.problems import responses

router = APIRouter(prefix=f"{PATH}/{{id}}", tags=["push registrations"])

_HELD = ("secret-refused", "push-registration-expired", "push-registration-ended", "invalid-field")
_READ = ("malformed-request", "too-large", "unsupported-media-type")
_TRIED = (
    "credentials-refused",
    "registrar-does-not-challenge",
    "too-many-requests",
    "too-many-refused-credentials",
    "registrar-busy",
)

CLEAR = ["life"]
"""What a renewal makes untrue of the notifications that the phone shows."""


@router.get("", summary="Read", response_model=RegistrationAnswer, responses=responses(*_HELD))
async def read(held: Held) -> Response:
    """Return the push registration, its plan and where its account stands."""
    standing = await use(held, "other")
    return as_json(RegistrationAnswer(**registration_fields(held.context, standing, held.address)))


@router.post(
    "/renew",
    summary="Renew",
    response_model=RenewAnswer,
    responses=responses(*_HELD, *_READ, "target-unusable"),
)
async def renew(fields: RenewFields, held: Held) -> Response:
    """Renew it: its life begins anew, and everything planned for the old one is void.

    `clear` names the collapse keys of notifications that are no longer true; `notice` is what to show in
    their place, if anything.
    """
    if fields.targets is None and fields.capabilities is None:
        standing = await use(held, fields.cause)
    else:
        request = PatchRequest(
            targets=None if fields.targets is None else tuple(one.request() for one in fields.targets),
            capabilities=_merged(held, fields.capabilities) if fields.capabilities is not None else None,
        )
        standing = await _change(held, request, 0, fields.cause)
    answer = registration_fields(held.context, standing, held.address)
    notice = notice_of(held.context, standing, answer["binding"], fields.cause)
    return as_json(RenewAnswer(**answer, resumed=held.resumed, clear=CLEAR, notice=notice))


@router.patch(
    "",
    summary="Change",
    response_model=RegistrationAnswer,
    responses=responses(*_HELD, *_READ, *_TRIED, "target-unusable"),
)
async def patch(fields: PatchFields, held: Held, budget: Budget, wait: Wait = 0) -> Response:
    """Change it by JSON Merge Patch (RFC 7396).

    New credentials are tried at the PBX like those of an enrolment and replace the old only when they
    are accepted.
    """
    if fields.credentials is not None:
        budget.expect()
    standing = await _change(held, _patch_request(fields, held), wait, "changed")
    return as_json(RegistrationAnswer(**registration_fields(held.context, standing, held.address)))


@router.delete("", status_code=202, summary="End", responses=responses(*_HELD))
async def delete(held: Held) -> Response:
    """End it. Its secrets are erased at once; our Contact is removed at the PBX soon after."""
    await held.context.lives.end(held.registration.id, Ended.DELETED)
    return Response(status_code=202)


async def _change(held: Holding, request: PatchRequest, wait_s: int, cause: str) -> Standing:
    app = held.context.options.apps.get(held.registration.app, AppOptions())
    refusal = await held.context.enrolment.patch(app, held.registration, request, wait_s, cause=cause)
    if refusal is not None:
        raise problem_of(refusal)
    await note_use(held)
    return standing_of(held.context, held.registration.id)


def _patch_request(fields: PatchFields, held: Holding) -> PatchRequest:
    given = fields.model_fields_set
    lifetime_s = fields.lifetime_s
    if "lifetime_s" in given and lifetime_s is None:
        app = held.context.options.apps.get(held.registration.app, AppOptions())
        lifetime_s = app.lifetime.lifetime // 1000
    return PatchRequest(
        display_name=(fields.display_name or "") if "display_name" in given else None,
        auth_user=fields.auth_user or None,
        password=fields.credentials.secret() if fields.credentials is not None else None,
        keys=fields.credentials.keys() if fields.credentials is not None else (),
        targets=None if fields.targets is None else tuple(one.request() for one in fields.targets),
        locale=(fields.locale or "") if "locale" in given else None,
        time_zone=(fields.time_zone or "") if "time_zone" in given else None,
        os_version=(fields.os_version or "") if "os_version" in given else None,
        app_version=(fields.app_version or "") if "app_version" in given else None,
        capabilities=_capabilities(fields, held),
        lifetime_s=lifetime_s,
    )


def _capabilities(fields: PatchFields, held: Holding) -> dict[str, bool] | None:
    """Return the capabilities after a patch: null for all takes all back."""
    if "capabilities" not in fields.model_fields_set:
        return None
    return _merged(held, fields.capabilities) if fields.capabilities is not None else {}


def _merged(held: Holding, change: Capabilities) -> dict[str, bool]:
    """Return the capabilities with those changed that are named; null takes one back."""
    merged = dict(held.registration.capabilities)
    for name in change.model_fields_set:
        value = getattr(change, name)
        merged.pop(name, None)
        if value is not None:
            merged[name] = value
    return merged
