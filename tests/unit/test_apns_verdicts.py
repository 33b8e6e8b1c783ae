"""Every answer that Apple documents, and what it means for a push."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.pushes import Accepted, Outcome, Rejected, TargetGone, Throttled, Unavailable
from wakerobin.push.apns.verdicts import VERDICTS, Consequence, judge
from wakerobin.push.connection import Answer

NOW = 1_800_000_000_000
QUARTER = 15 * 60_000
KEEP, LEAVE, SIGN = Consequence.NOTHING, Consequence.LEAVE_CONNECTION, Consequence.SIGN_AGAIN

# Status, reason, the outcome for a push that is no call, and what follows for connection and token.
ROWS: list[tuple[int, str, Outcome, Consequence]] = [
    (400, "BadDeviceToken", TargetGone("BadDeviceToken", certain=False), KEEP),
    (400, "DeviceTokenNotForTopic", TargetGone("DeviceTokenNotForTopic", certain=False), KEEP),
    (400, "BadTopic", Rejected("BadTopic", ours=True), KEEP),
    (400, "MissingTopic", Rejected("MissingTopic", ours=True), KEEP),
    (400, "TopicDisallowed", Rejected("TopicDisallowed", ours=True), KEEP),
    (403, "Forbidden", Rejected("Forbidden", ours=True), KEEP),
    (400, "BadCollapseId", Rejected("BadCollapseId"), KEEP),
    (400, "BadExpirationDate", Rejected("BadExpirationDate"), KEEP),
    (400, "BadMessageId", Rejected("BadMessageId"), KEEP),
    (400, "BadPriority", Rejected("BadPriority"), KEEP),
    (400, "DuplicateHeaders", Rejected("DuplicateHeaders"), KEEP),
    (400, "InvalidPushType", Rejected("InvalidPushType"), KEEP),
    (400, "MissingDeviceToken", Rejected("MissingDeviceToken"), KEEP),
    (400, "PayloadEmpty", Rejected("PayloadEmpty"), KEEP),
    (404, "BadPath", Rejected("BadPath"), KEEP),
    (405, "MethodNotAllowed", Rejected("MethodNotAllowed"), KEEP),
    (413, "PayloadTooLarge", Rejected("PayloadTooLarge"), KEEP),
    (400, "IdleTimeout", Unavailable("IdleTimeout", 250, processed=False), LEAVE),
    (403, "ExpiredProviderToken", Unavailable("ExpiredProviderToken", 250, processed=False), SIGN),
    (403, "UnrelatedKeyIdInToken", Unavailable("UnrelatedKeyIdInToken", 250, processed=False), LEAVE),
    (403, "InvalidProviderToken", Rejected("InvalidProviderToken", ours=True), KEEP),
    (403, "MissingProviderToken", Rejected("MissingProviderToken", ours=True), KEEP),
    (403, "BadCertificate", Rejected("BadCertificate", ours=True), KEEP),
    (403, "BadCertificateEnvironment", Rejected("BadCertificateEnvironment", ours=True), KEEP),
    (403, "BadEnvironmentKeyIdInToken", Rejected("BadEnvironmentKeyIdInToken", ours=True), KEEP),
    (410, "Unregistered", TargetGone("Unregistered"), KEEP),
    (410, "ExpiredToken", TargetGone("ExpiredToken"), KEEP),
    (429, "TooManyProviderTokenUpdates", Throttled("TooManyProviderTokenUpdates", 60_000), LEAVE),
    (429, "TooManyRequests", Throttled("TooManyRequests"), KEEP),
    (500, "InternalServerError", Unavailable("InternalServerError", QUARTER, processed=False), KEEP),
    (503, "ServiceUnavailable", Unavailable("ServiceUnavailable", QUARTER, processed=False), KEEP),
    (503, "Shutdown", Unavailable("Shutdown", QUARTER, processed=False), LEAVE),
]


def answer(status: int, reason: str = "", headers: dict[str, str] | None = None, **more: object) -> Answer:
    return Answer(status, headers or {}, json.dumps({"reason": reason, **more}).encode())


@pytest.mark.parametrize(("status", "reason", "outcome", "consequence"), ROWS, ids=[row[1] for row in ROWS])
def test_an_answer_of_apples_has_its_outcome(
    status: int, reason: str, outcome: Outcome, consequence: Consequence
) -> None:
    judgement = judge(answer(status, reason), NOW)
    assert judgement.outcome == outcome
    assert judgement.consequence is consequence


def test_every_row_of_the_table_is_tested_here_and_says_why() -> None:
    assert set(VERDICTS) == {(status, reason) for status, reason, _, _ in ROWS}
    assert all(verdict.why for verdict in VERDICTS.values())


def test_200_is_accepted_under_the_id_that_apple_gave_it() -> None:
    assert judge(Answer(200, {"apns-id": "abc"}, b""), NOW).outcome == Accepted("abc")


def test_a_call_does_not_wait_a_quarter_of_an_hour_for_apples_server() -> None:
    outcome = judge(answer(503, "ServiceUnavailable"), NOW, is_call=True).outcome
    assert outcome == Unavailable("ServiceUnavailable", 250, processed=False)


@pytest.mark.parametrize(("status", "reason"), [(429, "TooManyRequests"), (503, "Shutdown"), (500, "x")])
def test_retry_after_goes_before_the_tables_own_pause(status: int, reason: str) -> None:
    outcome = judge(answer(status, reason, {"retry-after": "17"}), NOW).outcome
    assert isinstance(outcome, Throttled | Unavailable)
    assert outcome.retry_after == 17_000


@pytest.mark.parametrize("text", ["", "-1", "1.5", "٣", "soon", "Wed, 21 Oct 2026 07:28:00 GMT", "9" * 40])
def test_a_retry_after_that_is_no_number_counts_as_unsaid(text: str) -> None:
    assert judge(answer(429, "TooManyRequests", {"retry-after": text}), NOW).outcome == Throttled(
        "TooManyRequests"
    )


def test_no_retry_after_is_longer_than_a_day() -> None:
    outcome = judge(answer(429, "TooManyRequests", {"retry-after": "99999999"}), NOW).outcome
    assert outcome == Throttled("TooManyRequests", 86_400_000)


def test_410_says_since_when() -> None:
    outcome = judge(answer(410, "Unregistered", timestamp=NOW - 5), NOW).outcome
    assert outcome == TargetGone("Unregistered", gone_at=NOW - 5)


@pytest.mark.parametrize(
    ("timestamp", "gone_at"), [("1800000000000", 0), (True, 0), (-3, 0), (None, 0), (1.5, 0), (NOW + 9, NOW)]
)
def test_a_timestamp_that_is_none_is_unsaid_and_none_lies_in_the_future(
    timestamp: object, gone_at: int
) -> None:
    outcome = judge(answer(410, "Unregistered", timestamp=timestamp), NOW).outcome
    assert outcome == TargetGone("Unregistered", gone_at=gone_at)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Rejected("New")),
        (401, Rejected("New", ours=True)),
        (403, Rejected("New", ours=True)),
        (404, Rejected("New")),
        (408, Unavailable("New", 250, processed=False)),
        (410, Rejected("New")),
        (429, Throttled("New")),
        (302, Rejected("New")),
        (502, Unavailable("New", QUARTER, processed=False)),
        (599, Unavailable("New", QUARTER, processed=False)),
    ],
)
def test_a_reason_that_nobody_knows_ends_no_target(status: int, kind: Outcome) -> None:
    assert judge(answer(status, "New"), NOW).outcome == kind


def test_a_known_reason_under_another_status_is_not_believed() -> None:
    assert judge(answer(400, "Unregistered"), NOW).outcome == Rejected("Unregistered")


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b'"x"', b"{", b"\xff\xfe", b'{"reason":7}', b"[" * 9000]
)
def test_a_body_that_is_no_json_object_still_has_an_outcome(body: bytes) -> None:
    assert judge(Answer(400, {}, body), NOW).outcome == Rejected("status 400")
    assert judge(Answer(503, {}, body), NOW).outcome == Unavailable("status 503", QUARTER, processed=False)


@given(st.integers(100, 599), st.binary(max_size=200), st.dictionaries(st.text(), st.text()))
def test_no_answer_at_all_breaks_the_judge(status: int, body: bytes, headers: dict[str, str]) -> None:
    outcome = judge(Answer(status, headers, body), NOW).outcome
    assert isinstance(outcome, Accepted) == (status == 200)


def test_a_very_long_reason_is_cut() -> None:
    outcome = judge(answer(400, "x" * 5000), NOW).outcome
    assert outcome == Rejected("x" * 100)
