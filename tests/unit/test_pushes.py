from __future__ import annotations

import json
from typing import Any

import pytest

from wakerobin.core.pushes import (
    LANES,
    CallDetails,
    Lane,
    PayloadHead,
    PushType,
    call_message,
    call_over_message,
    call_payload,
    notice_payload,
    variant_of,
)
from wakerobin.core.values import Provider, Purpose, PushTarget, Secret

HEAD = PayloadHead(
    id="0b0e2f6c-0000-8000-8000-000000000001",
    registration="pr_abc",
    generation=4,
    sent_at=1_735_689_600_999,
    expires_at=1_735_689_630_000,
    stage="active",
    life_expires_at=1_736_294_400_000,
)
CALL = CallDetails(
    call_id="0b0e2f6c-0000-8000-8000-0000000000ca",
    sip_call_id="abc@pbx",
    caller={"uri": "sip:bob@pbx.example", "number": "42", "password": "not for phones"},
    has_video=True,
    api="https://push.example.com",
)
TARGET = PushTarget(
    id=5,
    registration_id=1,
    provider=Provider.APNS,
    purposes=frozenset({Purpose.CALL}),
    token=Secret("t"),
    reported_at=0,
)


def test_a_notice_says_which_push_and_how_the_life_stands_in_whole_seconds() -> None:
    assert notice_payload(PushType.EXPIRY_WARNING, HEAD) == {
        "v": 1,
        "type": "expiry-warning",
        "id": "0b0e2f6c-0000-8000-8000-000000000001",
        "registration": "pr_abc",
        "generation": 4,
        "sent_at": 1_735_689_600,
        "expires_at": 1_735_689_630,
        "life": {"stage": "active", "expires_at": 1_736_294_400},
    }


def test_a_missed_call_is_counted_and_nothing_else_is() -> None:
    assert notice_payload(PushType.MISSED_CALL, HEAD, {"count": 3, "caller": "Bob"}) == {
        **notice_payload(PushType.MISSED_CALL, HEAD),
        "count": 3,
    }
    assert "count" not in notice_payload(PushType.RENEW, HEAD, {"count": 3})


def test_a_call_says_who_calls_and_where_to_ask() -> None:
    payload = call_payload(HEAD, CALL)
    assert payload["type"] == "call"
    assert payload["caller"] == {"uri": "sip:bob@pbx.example", "number": "42", "name": ""}
    assert (payload["call_id"], payload["sip_call_id"]) == (CALL.call_id, "abc@pbx")
    assert (payload["has_video"], payload["api"]) == (True, "https://push.example.com")
    assert payload["life"] == {"stage": "active", "expires_at": 1_736_294_400}


def test_a_call_push_has_no_text_and_no_collapse_key_and_ends_with_the_call() -> None:
    message = call_message("softphone", TARGET, HEAD, CALL)
    assert (message.title, message.text, message.collapse_key) == ("", "", "")
    assert (message.id, message.expires_at) == (HEAD.id, HEAD.expires_at)
    assert message.lane is Lane.CALLS


def test_a_call_that_is_over_says_which_and_how_it_ended() -> None:
    message = call_over_message("softphone", TARGET, HEAD, CALL, "answered-elsewhere")
    payload = message.payload
    assert payload["type"] == message.type == "call-over"
    assert (message.id, message.expires_at, message.lane) == (HEAD.id, HEAD.expires_at, Lane.CALLS)
    assert (payload["call_id"], payload["state"]) == (CALL.call_id, "answered-elsewhere")
    assert "caller" not in payload


@pytest.mark.parametrize(
    ("type_", "details", "stage", "variant"),
    [
        (PushType.EXPIRY_WARNING, {}, "warned", ""),
        (PushType.EXPIRY_WARNING, {"registered": True}, "warned", ""),
        (PushType.EXPIRY_WARNING, {"registered": False}, "warned", "unregistered"),
        (PushType.REGISTRATION_TROUBLE, {"cause": "refused"}, "active", ""),
        (PushType.REGISTRATION_TROUBLE, {"cause": "unreachable"}, "active", "unreachable"),
        (PushType.REGISTRATION_TROUBLE, {"cause": "refused", "ended": True}, "ended", "ended"),
        (PushType.MISSED_CALL, {}, "renewing", ""),
        (PushType.MISSED_CALL, {}, "warned", "warned"),
        (PushType.EXPIRED, {"registered": False}, "expired", ""),
        (PushType.MESSAGE, {}, "active", ""),
        (PushType.MESSAGE, {}, "warned", "warned"),
        (PushType.MWI, {"waiting": True, "new": 2}, "warned", ""),
        (PushType.MWI, {"waiting": True, "new": 0}, "active", "uncounted"),
        (PushType.MWI, {"waiting": False, "new": 0}, "active", "none"),
    ],
)
def test_no_text_says_what_is_not_true(
    type_: PushType, details: dict[str, Any], stage: str, variant: str
) -> None:
    assert variant_of(type_, details, stage) == variant


@pytest.mark.parametrize("type_", list(PushType))
def test_every_payload_is_json_and_every_type_has_a_lane(type_: PushType) -> None:
    payload = call_payload(HEAD, CALL) if type_ is PushType.CALL else notice_payload(type_, HEAD)
    assert json.loads(json.dumps(payload)) == payload
    urgent = {PushType.CALL, PushType.CALL_OVER, PushType.TEST}
    assert (LANES[type_] is Lane.CALLS) == (type_ in urgent), "nothing else in the lane of calls"
