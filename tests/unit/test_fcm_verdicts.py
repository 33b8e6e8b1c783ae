"""Every answer that Google documents, and what it means for a push."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.pushes import Accepted, Outcome, Rejected, TargetGone, Throttled, Unavailable
from wakerobin.push.connection import Answer
from wakerobin.push.fcm.verdicts import VERDICTS, Consequence, judge

NOW = 1_800_000_000_000
NOTHING, RENEW = Consequence.NOTHING, Consequence.RENEW_TOKEN
BAD_TOKEN = "The registration token is not a valid FCM registration token"


def detail(type_: str, **values: Any) -> dict[str, Any]:
    return {"@type": f"type.googleapis.com/google.{type_}", **values}


def fcm(code: str) -> dict[str, Any]:
    return detail("firebase.fcm.v1.FcmError", errorCode=code)


def quota(subject: str) -> dict[str, Any]:
    return detail("rpc.QuotaFailure", violations=[{"subject": subject, "description": "too many"}])


def field(name: str) -> dict[str, Any]:
    return detail("rpc.BadRequest", fieldViolations=[{"field": name, "description": "Invalid value"}])


def answer(status: int, name: str, *details: dict[str, Any], message: str = "", **headers: str) -> Answer:
    error = {"code": status, "message": message, "status": name, "details": list(details)}
    fields = {key.replace("_", "-"): value for key, value in headers.items()}
    return Answer(status, fields, json.dumps({"error": error}).encode())


# The row of the table, the answer, the outcome for a push that is no call, and what follows beside it.
ROWS: list[tuple[tuple[int, str], Answer, Outcome, Consequence]] = [
    (
        (400, "INVALID_ARGUMENT of the token"),
        answer(400, "INVALID_ARGUMENT", fcm("INVALID_ARGUMENT"), message=BAD_TOKEN),
        TargetGone("INVALID_ARGUMENT", certain=False),
        NOTHING,
    ),
    (
        (400, "INVALID_ARGUMENT"),
        answer(400, "INVALID_ARGUMENT", field("message.android.ttl"), message="Invalid value"),
        Rejected("INVALID_ARGUMENT"),
        NOTHING,
    ),
    (
        (401, "UNAUTHENTICATED"),
        answer(401, "UNAUTHENTICATED"),
        Rejected("UNAUTHENTICATED", ours=True),
        RENEW,
    ),
    (
        (401, "THIRD_PARTY_AUTH_ERROR"),
        answer(401, "UNAUTHENTICATED", fcm("THIRD_PARTY_AUTH_ERROR")),
        Rejected("THIRD_PARTY_AUTH_ERROR", ours=True),
        NOTHING,
    ),
    (
        (403, "SENDER_ID_MISMATCH"),
        answer(403, "PERMISSION_DENIED", fcm("SENDER_ID_MISMATCH")),
        TargetGone("SENDER_ID_MISMATCH", certain=False),
        NOTHING,
    ),
    (
        (403, "PERMISSION_DENIED"),
        answer(403, "PERMISSION_DENIED"),
        Rejected("PERMISSION_DENIED", ours=True),
        NOTHING,
    ),
    (
        (403, "SERVICE_DISABLED"),
        answer(403, "PERMISSION_DENIED", detail("rpc.ErrorInfo", reason="SERVICE_DISABLED")),
        Rejected("SERVICE_DISABLED", ours=True),
        NOTHING,
    ),
    (
        (404, "UNREGISTERED"),
        answer(404, "NOT_FOUND", fcm("UNREGISTERED")),
        TargetGone("UNREGISTERED"),
        NOTHING,
    ),
    ((404, "NOT_FOUND"), answer(404, "NOT_FOUND"), Rejected("NOT_FOUND", ours=True), NOTHING),
    (
        (429, "QUOTA_EXCEEDED of the project"),
        answer(429, "RESOURCE_EXHAUSTED", fcm("QUOTA_EXCEEDED"), quota("project:4711")),
        Throttled("QUOTA_EXCEEDED", 60_000),
        Consequence.PAUSE_PROJECT,
    ),
    (
        (429, "QUOTA_EXCEEDED of the device"),
        answer(429, "RESOURCE_EXHAUSTED", fcm("QUOTA_EXCEEDED"), quota("device message rate")),
        Throttled("QUOTA_EXCEEDED", 60_000),
        Consequence.PAUSE_DEVICE,
    ),
    (
        (429, "QUOTA_EXCEEDED"),
        answer(429, "RESOURCE_EXHAUSTED", fcm("QUOTA_EXCEEDED")),
        Throttled("QUOTA_EXCEEDED", 60_000),
        NOTHING,
    ),
    (
        (429, "RESOURCE_EXHAUSTED"),
        answer(429, "RESOURCE_EXHAUSTED"),
        Throttled("RESOURCE_EXHAUSTED", 60_000),
        NOTHING,
    ),
    (
        (500, "INTERNAL"),
        answer(500, "INTERNAL", fcm("INTERNAL")),
        Unavailable("INTERNAL", 10_000, processed=False),
        NOTHING,
    ),
    (
        (503, "UNAVAILABLE"),
        answer(503, "UNAVAILABLE", fcm("UNAVAILABLE")),
        Unavailable("UNAVAILABLE", 10_000, processed=False),
        NOTHING,
    ),
]


@pytest.mark.parametrize(
    ("row", "one", "outcome", "consequence"), ROWS, ids=[f"{row[0][0]} {row[0][1]}" for row in ROWS]
)
def test_an_answer_of_googles_has_its_outcome(
    row: tuple[int, str], one: Answer, outcome: Outcome, consequence: Consequence
) -> None:
    judgement = judge(one, NOW)
    assert judgement.outcome == outcome
    assert judgement.consequence is consequence
    assert VERDICTS[row].consequence is consequence


def test_every_row_of_the_table_is_tested_here_and_says_why() -> None:
    assert set(VERDICTS) == {row[0] for row in ROWS}
    assert all(verdict.why for verdict in VERDICTS.values())


def test_200_is_accepted_under_the_name_that_google_gave_it() -> None:
    assert judge(Answer(200, {}, b'{"name": "projects/p/messages/1"}'), NOW).outcome == Accepted(
        "projects/p/messages/1"
    )


def test_a_wrong_token_is_known_by_its_field_as_well() -> None:
    for name in ("message.token", "message.fid"):
        one = answer(400, "INVALID_ARGUMENT", fcm("INVALID_ARGUMENT"), field(name))
        assert judge(one, NOW).outcome == TargetGone("INVALID_ARGUMENT", certain=False)


def test_words_about_the_token_do_not_end_it_where_another_field_is_wrong() -> None:
    one = answer(400, "INVALID_ARGUMENT", fcm("INVALID_ARGUMENT"), field("message.data"), message=BAD_TOKEN)
    assert judge(one, NOW).outcome == Rejected("INVALID_ARGUMENT")


def test_only_what_fcm_itself_says_ends_a_target() -> None:
    assert judge(answer(404, "UNREGISTERED"), NOW).outcome == Rejected("UNREGISTERED", ours=True)
    assert judge(answer(400, "INVALID_ARGUMENT", message=BAD_TOKEN), NOW).outcome == Rejected(
        "INVALID_ARGUMENT"
    )
    assert judge(Answer(404, {}, b"<html>not here</html>"), NOW).outcome == Rejected("status 404", ours=True)


@pytest.mark.parametrize(
    ("text", "wait"),
    [("7", 7_000), ("0", 10_000), ("", 10_000), ("nonsense", 10_000), ("99999999", 86_400_000)],
)
def test_the_wait_that_google_asks_for_goes_before_ours(text: str, wait: int) -> None:
    one = answer(503, "UNAVAILABLE", fcm("UNAVAILABLE"), retry_after=text)
    assert judge(one, NOW).outcome == Unavailable("UNAVAILABLE", wait, processed=False)


def test_a_call_waits_for_nothing_but_what_google_asks_for() -> None:
    one = answer(503, "UNAVAILABLE", fcm("UNAVAILABLE"))
    assert judge(one, NOW, is_call=True).outcome == Unavailable("UNAVAILABLE", 0, processed=False)
    one = answer(503, "UNAVAILABLE", retry_after="3")
    assert judge(one, NOW, is_call=True).outcome == Unavailable("UNAVAILABLE", 3_000, processed=False)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (401, Rejected("status 401", ours=True)),
        (403, Rejected("status 403", ours=True)),
        (408, Unavailable("status 408", 10_000, processed=False)),
        (429, Throttled("status 429", 60_000)),
        (502, Unavailable("status 502", 10_000, processed=False)),
        (418, Rejected("status 418")),
        (302, Rejected("status 302")),
    ],
)
def test_an_answer_of_nobody_knows_whom_is_read_by_its_status(status: int, outcome: Outcome) -> None:
    assert judge(Answer(status, {}, b""), NOW).outcome == outcome


_TYPES = ("firebase.fcm.v1.FcmError", "rpc.BadRequest", "rpc.QuotaFailure", "rpc.ErrorInfo")
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_LIST = _JSON | st.lists(_JSON | st.fixed_dictionaries({"field": _JSON}), min_size=1, max_size=2)
_DETAIL = st.fixed_dictionaries(
    {"@type": st.sampled_from([f"x/google.{name}" for name in (*_TYPES, "other")])},
    optional={
        "errorCode": _JSON | st.just("X"),
        "reason": _JSON,
        "violations": _LIST,
        "fieldViolations": _LIST,
    },
)
_ODD = st.fixed_dictionaries(
    {"error": _JSON | st.fixed_dictionaries({"details": st.lists(_DETAIL | _JSON, min_size=2, max_size=5)})}
)
"""Answers that look like Google's from afar."""


@given(st.integers(0, 999), st.one_of(st.binary(max_size=200), _ODD.map(lambda v: json.dumps(v).encode())))
def test_no_answer_ends_a_target_by_accident_or_makes_it_crash(status: int, body: bytes) -> None:
    outcome = judge(Answer(status, {"retry-after": "x"}, body), NOW).outcome
    assert not isinstance(outcome, TargetGone) or b"errorCode" in body


@pytest.mark.parametrize("name", [[], {}, None, 5, ["message.token"]])
def test_a_field_that_has_no_name_is_not_the_token(name: object) -> None:
    violation = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{"field": name}]}
    one = answer(400, "INVALID_ARGUMENT", fcm("INVALID_ARGUMENT"), violation, message=BAD_TOKEN)
    assert judge(one, NOW).outcome == Rejected("INVALID_ARGUMENT")
