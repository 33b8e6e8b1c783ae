"""Problems of the API (RFC 9457): one catalogue, one shape. No problem repeats what the client sent."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi.responses import JSONResponse

URN: Final = "urn:wakerobin:problem:"
MEDIA_TYPE: Final = "application/problem+json"


class Action(enum.StrEnum):
    """What the app does about a problem."""

    ENROL_AGAIN = "enrol-again"
    ASK_PASSWORD = "ask-password"  # noqa: S105 - a word of the API
    RETRY = "retry"
    FIX_REQUEST = "fix-request"
    CONTACT_OPERATOR = "contact-operator"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Kind:
    """One entry of the catalogue."""

    status: int
    action: Action
    title: str


CATALOGUE: Final[Mapping[str, Kind]] = {
    "malformed-request": Kind(400, Action.FIX_REQUEST, "The request cannot be read."),
    "enrolment-key-refused": Kind(401, Action.CONTACT_OPERATOR, "This is not the enrolment key of the app."),
    "secret-refused": Kind(401, Action.ENROL_AGAIN, "There is no push registration with this secret."),
    "registrar-not-allowed": Kind(403, Action.CONTACT_OPERATOR, "Accounts of this PBX cannot be enrolled."),
    "enrolment-closed": Kind(403, Action.CONTACT_OPERATOR, "No account can be enrolled for this app."),
    "tls-required": Kind(403, Action.FIX_REQUEST, "Secrets travel over HTTPS only."),
    "call-unknown": Kind(404, Action.NONE, "This push registration knows no such call."),
    "message-unknown": Kind(404, Action.NONE, "This push registration knows no such message."),
    "test-unknown": Kind(404, Action.NONE, "This push registration knows no such test."),
    "call-over": Kind(409, Action.NONE, "The call rings no more."),
    "aor-conflict": Kind(409, Action.CONTACT_OPERATOR, "The address is held at another registrar."),
    "handover-unavailable": Kind(
        409, Action.NONE, "The binding of this push registration does not step aside."
    ),
    "push-registration-expired": Kind(410, Action.ENROL_AGAIN, "The push registration has expired."),
    "push-registration-ended": Kind(410, Action.ENROL_AGAIN, "The push registration has ended."),
    "too-large": Kind(413, Action.FIX_REQUEST, "The request is larger than 16 KiB."),
    "unsupported-media-type": Kind(415, Action.FIX_REQUEST, "The request is not application/json."),
    "misdirected": Kind(421, Action.FIX_REQUEST, "This server does not answer for that host name."),
    "invalid-field": Kind(422, Action.FIX_REQUEST, "A field of the request cannot be used."),
    "credentials-refused": Kind(422, Action.ASK_PASSWORD, "The PBX does not accept these credentials."),
    "registrar-unusable": Kind(422, Action.FIX_REQUEST, "The PBX cannot be used as it was described."),
    "registrar-does-not-challenge": Kind(
        422, Action.CONTACT_OPERATOR, "The PBX asks for no password, so that it proves nothing."
    ),
    "target-unusable": Kind(422, Action.FIX_REQUEST, "A push target cannot be used."),
    "too-many-requests": Kind(429, Action.RETRY, "Too many requests came from there."),
    "too-many-refused-credentials": Kind(
        429, Action.RETRY, "The credentials of this account were refused too often."
    ),
    "store-unavailable": Kind(503, Action.RETRY, "Nothing can be stored at the moment."),
    "starting": Kind(503, Action.RETRY, "The server is starting."),
    "registrar-busy": Kind(503, Action.RETRY, "No more credentials can be tried at this PBX for now."),
}

RETRY_S: Final = 1
"""Retry-After where nobody knows better."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that cannot be used. `pointer` is a JSON Pointer (RFC 6901) into the request."""

    pointer: str
    code: str
    detail: str


class ProblemError(Exception):
    """Ends a request with a problem of the catalogue. `detail` says what to do."""

    def __init__(
        self,
        name: str,
        detail: str = "",
        *,
        errors: Iterable[FieldError] = (),
        retry_after_s: float = 0,
    ) -> None:
        super().__init__(name)
        self.name = name
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s


def response_of(problem: ProblemError) -> JSONResponse:
    """Return the answer to a request that ended so."""
    kind = CATALOGUE[problem.name]
    body: dict[str, Any] = {
        "type": URN + problem.name,
        "title": kind.title,
        "status": kind.status,
        "action": kind.action.value,
    }
    if problem.detail:
        body["detail"] = problem.detail
    if problem.errors:
        body["errors"] = [
            {"pointer": one.pointer, "code": one.code, "detail": one.detail} for one in problem.errors
        ]
    headers = {}
    if kind.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if kind.action is Action.RETRY:
        headers["Retry-After"] = str(max(RETRY_S, math.ceil(problem.retry_after_s)))
    return JSONResponse(body, kind.status, headers, MEDIA_TYPE)


def plain_response(
    status: int, title: str, action: Action, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return an answer that says no more than its status (RFC 9457 4.2.1, `about:blank`)."""
    body = {"type": "about:blank", "title": title, "status": status, "action": action.value}
    return JSONResponse(body, status, dict(headers or {}), MEDIA_TYPE)


def responses(*names: str) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of the problems of a route, those of the doors before it included."""
    by_status: dict[int | str, list[str]] = {}
    for name in (*names, *EVERYWHERE):
        by_status.setdefault(CATALOGUE[name].status, []).append(name)
    return {
        status: {
            "description": "; ".join(f"`{name}`: {CATALOGUE[name].title}" for name in known),
            "content": {
                MEDIA_TYPE: {
                    "schema": {
                        "allOf": [{"$ref": "#/components/schemas/Problem"}],
                        "properties": {"type": {"enum": [URN + name for name in known]}},
                    }
                }
            },
        }
        for status, known in by_status.items()
    }


EVERYWHERE: Final = ("tls-required", "misdirected", "starting", "store-unavailable")
"""What any request of the API may be answered."""

SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "description": "RFC 9457. The catalogue of types is stable; unknown members are to be ignored.",
    "required": ["type", "title", "status", "action"],
    "properties": {
        "type": {"type": "string", "enum": ["about:blank", *(URN + name for name in CATALOGUE)]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What to do."},
        "action": {"type": "string", "enum": [action.value for action in Action]},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "code", "detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "JSON Pointer into the request."},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}
