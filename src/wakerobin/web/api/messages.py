"""`…/messages` and `…/mwi`: what was written to the user, what the user writes, what waits in the mailbox."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.messages import Kind, content_type, kind_of
from wakerobin.core.sip.message import parse
from wakerobin.core.story import readable
from wakerobin.ports.messages import KeptMessage, SendState, SentMessage
from wakerobin.services.callers import caller_of
from wakerobin.services.messages.encoding import decoded, encodings
from wakerobin.services.messages.sending import HandOver
from wakerobin.web.api.answers import Caller, as_json
from wakerobin.web.api.enrolment import PATH
from wakerobin.web.api.fields import SendFields
from wakerobin.web.api.holding import Held, Holding, use
from wakerobin.web.problems import ProblemError, responses

router = APIRouter(prefix=f"{PATH}/{{id}}", tags=["messages"])

PLAIN_TEXT: Final = "text/plain;charset=UTF-8"
MOST: Final = 50
BUSY_S: Final = 10

_HELD = ("secret-refused", "push-registration-expired", "push-registration-ended", "invalid-field")
_READ = ("malformed-request", "too-large", "unsupported-media-type")

_EXAMPLE: Final[dict[str, Any]] = {
    "message_id": "0f9d8e7b-6a3f-8c7e-9f00-2b7a1c4d5e6f",
    "sip_call_id": "843817637684230@998sdasdh09",
    "kind": "text",
    "from": {"uri": "sip:+4930123456@pbx.example", "number": "+4930123456", "name": "Ben"},
    "received_at": 1_783_395_200,
    "expires_at": 1_784_604_800,
    "content_type": "text/plain;charset=UTF-8",
    "content_encoding": None,
    "body": "Shall we have lunch?",
    "body_base64": None,
}


class MessageAnswer(BaseModel):
    """A message that came for the account (RFC 3428)."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    message_id: str
    sip_call_id: str = Field(description="The Call-ID of its MESSAGE: the phone may get it by SIP, too.")
    kind: str = Field(
        description="`receipt` says what became of a message that the user wrote (RFC 5438).",
        json_schema_extra={"enum": ["text", "receipt"]},
    )
    sender: Caller = Field(alias="from")
    received_at: int
    expires_at: int
    content_type: str
    content_encoding: str | None = Field(
        description="How `body_base64` is encoded, where this server cannot tell what it says."
    )
    body: str | None = Field(description="Where it is text.")
    body_base64: str | None = Field(description="Where it is not.")


class MessagesAnswer(BaseModel):
    """Messages in the order in which they came."""

    messages: list[MessageAnswer]


class SentAnswer(BaseModel):
    """How far a message has come that the app handed over."""

    message_id: str
    state: SendState = Field(description="`sent`: the PBX took it.")
    status: int | None = Field(description="What the PBX answered.")
    reason: str = Field(description="Why it failed, in words.")


class MailboxAnswer(BaseModel):
    """What waits in the account's mailbox, as the PBX said it last (RFC 3842)."""

    waiting: bool
    new: int
    old: int
    urgent: int = Field(description="How many of the new ones are urgent.")


@router.get("/messages", summary="Fetch messages", responses=responses(*_HELD))
async def fetch(
    held: Held,
    after: Annotated[
        str, Query(max_length=64, description="The `message_id` up to which the app has them: erase those.")
    ] = "",
    limit: Annotated[int, Query(ge=1, le=MOST)] = 20,
) -> Response:
    """Return what waits for this push registration, the oldest first.

    The app asks again with the last `message_id` that it has, until nothing comes: what is up to there is
    erased. What was fetched is not sent to the phone by SIP any more, and erased a day later in any case.
    """
    await use(held, "other")
    found: list[KeptMessage] = []
    if held.registration.proven:
        found = await held.context.messages.fetching.fetch(held.registration, after, limit)
    answers = [one for one in map(_answer, found) if one is not None]
    return _as_json(MessagesAnswer(messages=answers))


@router.get(
    "/messages/{message_id}", summary="Fetch a message", responses=responses(*_HELD, "message-unknown")
)
async def fetch_one(message_id: str, held: Held) -> Response:
    """Return one message, such as a push has told of."""
    await use(held, "other")
    found = None
    if held.registration.proven:
        found = await held.context.messages.fetching.one(held.registration, message_id)
    answer = _answer(found) if found is not None else None
    if answer is None:
        raise _unknown()
    return _as_json(answer)


@router.delete(
    "/messages/{message_id}",
    status_code=204,
    summary="Erase a message",
    responses=responses(*_HELD, "message-unknown"),
)
async def erase(message_id: str, held: Held) -> Response:
    """The app has this message: nothing of it is kept for this push registration."""
    await use(held, "other")
    if not await held.context.messages.fetching.confirm(held.registration, message_id):
        raise _unknown()
    return Response(status_code=204)


@router.post(
    "/messages",
    status_code=202,
    summary="Write a message",
    response_model=SentAnswer,
    responses=responses(*_HELD, *_READ, "too-many-requests"),
)
async def send(fields: SendFields, held: Held) -> Response:
    """Send a message as the account. The same `message_id` again is the same message, and not sent twice."""
    await use(held, "other")
    if not held.registration.proven:
        raise ProblemError("too-many-requests", "Wait until the PBX has accepted the password.")
    message = SentMessage(
        registration_id=held.registration.id,
        message_id=fields.message_id or held.context.messages.sending.new_id(),
        to=fields.to,
        content_type=fields.content_type or PLAIN_TEXT,
        body=fields.body.encode("utf-8", "replace"),
        created_at=held.context.clock.now(),
    )
    if await held.context.messages.sending.hand_over(message) is HandOver.TOO_MANY:
        raise ProblemError("too-many-requests", "Wait for those under way.", retry_after_s=BUSY_S)
    return as_json(_sent(held, message.message_id), 202)


@router.get(
    "/messages/sent/{message_id}", summary="Read how far", responses=responses(*_HELD, "message-unknown")
)
async def sent(message_id: str, held: Held) -> SentAnswer:
    """Return how far a message has come that the app handed over in the last two days."""
    await use(held, "other")
    return _sent(held, message_id)


@router.get("/mwi", summary="Read what waits in the mailbox", responses=responses(*_HELD))
async def mwi(held: Held) -> MailboxAnswer:
    """Return what waits in the account's mailbox; nothing where its PBX has not said anything."""
    await use(held, "other")
    mailbox = None
    if held.registration.proven:
        mailbox = held.context.messages.mailbox_of(held.registration.account_id)
    if mailbox is None:
        return MailboxAnswer(waiting=False, new=0, old=0, urgent=0)
    return MailboxAnswer(waiting=mailbox.waiting, new=mailbox.new, old=mailbox.old, urgent=mailbox.urgent)


def _sent(held: Holding, message_id: str) -> SentAnswer:
    found = held.context.messages.sending.state(held.registration, message_id)
    if found is None:
        raise _unknown()
    return SentAnswer(
        message_id=found.message_id, state=found.state, status=found.status or None, reason=found.reason
    )


def _answer(message: KeptMessage) -> MessageAnswer | None:
    try:
        request = parse(message.content)
    except SipSyntaxError:
        return None
    body = decoded(request)
    kind = kind_of(request, body)
    text = _text(body)
    octets = request.body if body is None else body
    said = {"from": Caller(**caller_of(request))}
    return MessageAnswer(
        message_id=message.public_id,
        sip_call_id=readable(request.call_id),
        kind="receipt" if kind is Kind.RECEIPT else "text",
        received_at=message.received_at // 1000,
        expires_at=message.expires_at // 1000,
        content_type=readable(request.get("content-type") or content_type(request)),
        content_encoding=readable(", ".join(encodings(request))) if body is None else None,
        body=text,
        body_base64=base64.b64encode(octets).decode("ascii") if text is None else None,
        **said,
    )


def _text(body: bytes | None) -> str | None:
    try:
        return body.decode("utf-8") if body is not None else None
    except UnicodeDecodeError:
        return None


def _as_json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(by_alias=True), media_type="application/json")


def _unknown() -> ProblemError:
    return ProblemError("message-unknown", "Fetch the list of messages.")
