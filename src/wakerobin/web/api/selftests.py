"""`…/test` and `…/tests`: the app tries whether its phone can be woken. `…/verify`: a token is its own."""

from __future__ import annotations

from fastapi import APIRouter, Response

from wakerobin.services.selftest import SelfTest, TooMany
from wakerobin.web.api.answers import TestAnswer, TestedTarget
from wakerobin.web.api.enrolment import PATH
from wakerobin.web.api.fields import TestFields, VerifyFields
from wakerobin.web.api.holding import Held, use
from wakerobin.web.problems import FieldError, ProblemError, responses

router = APIRouter(prefix=f"{PATH}/{{id}}", tags=["push registrations"])

_HELD = ("secret-refused", "push-registration-expired", "push-registration-ended", "invalid-field")
_READ = ("malformed-request", "too-large", "unsupported-media-type")


@router.post(
    "/test",
    status_code=202,
    summary="Try a push",
    responses=responses(*_HELD, *_READ, "too-many-requests", "target-unusable"),
)
async def test(fields: TestFields, held: Held) -> TestAnswer:
    """Send a test push to every target that takes calls, after `delay_s`. Once a minute, ten times a day."""
    await use(held, "other")
    if not held.registration.proven:
        raise ProblemError("target-unusable", "Nothing is pushed before the PBX has accepted the password.")
    asked = held.context.selftests.ask(held.registration, fields.delay_s)
    if isinstance(asked, TooMany):
        raise ProblemError("too-many-requests", "Wait, then try again.", retry_after_s=asked.wait_s)
    return _answer(asked)


@router.get("/tests/{test_id}", summary="Read a test", responses=responses(*_HELD, "test-unknown"))
async def read_test(test_id: str, held: Held) -> TestAnswer:
    """Return what became of a test push: accepted by its push service, received by the app."""
    await use(held, "other")
    found = held.context.selftests.of(held.registration, test_id)
    if found is None:
        raise ProblemError("test-unknown", "Ask for another test.")
    return _answer(found)


@router.post(
    "/verify",
    status_code=204,
    summary="Prove a token",
    responses=responses(*_HELD, *_READ, "target-unusable"),
)
async def verify(fields: VerifyFields, held: Held) -> Response:
    """Return the nonce of a `verify` push: its token is this installation's, and no other's from now on."""
    await use(held, "other")
    if not await held.context.enrolment.verify(held.registration, fields.nonce.get_secret_value()):
        error = FieldError("/nonce", "target-unusable", "must be that of a verify push of the last day")
        raise ProblemError("target-unusable", "Report the targets again to get another.", errors=[error])
    return Response(status_code=204)


def _answer(found: SelfTest) -> TestAnswer:
    return TestAnswer(
        id=found.id,
        state=found.state,
        sends_at=found.sends_at // 1000,
        received_at=found.received_at // 1000 or None,
        targets=[
            TestedTarget(
                provider=one.provider,
                push_id=one.push_id,
                state=one.state,
                reason=one.reason,
                after_ms=one.after_ms,
            )
            for one in found.targets
        ],
    )
