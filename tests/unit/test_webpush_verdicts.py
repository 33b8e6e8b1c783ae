"""What an answer of a Web Push service means: every row, and that nothing else ends a target."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.pushes import Accepted, Outcome, Rejected, TargetGone, Throttled, Unavailable
from wakerobin.push.connection import Answer
from wakerobin.push.webpush.verdicts import VERDICTS, is_too_large, judge

NOW = 1_800_000_000_000


def answer(status: int, said: str = "", after: str = "") -> Answer:
    body = b""
    if said:
        number = {"code": status, "errno": int(said)} if said.isdecimal() else {"reason": said}
        body = json.dumps(number).encode()
    return Answer(status, {"retry-after": after} if after else {}, body)


# Status, what is said beside it, Retry-After, outcome, and whether another token is signed.
ROWS: list[tuple[int, str, str, Outcome, bool]] = [
    (200, "", "", Accepted(), False),
    (201, "", "", Accepted(), False),
    (202, "", "", Accepted(), False),
    (204, "", "", Accepted(), False),
    (206, "", "", Accepted(), False),
    (301, "", "", TargetGone("status 301", certain=False), False),
    (308, "", "", TargetGone("status 308", certain=False), False),
    (302, "", "", Unavailable("status 302", processed=False), False),
    (303, "", "", Unavailable("status 303", processed=False), False),
    (307, "", "5", Unavailable("status 307", 5000, processed=False), False),
    (300, "", "", Rejected("status 300"), False),
    (400, "", "", Rejected("status 400"), False),
    (400, "110", "", Rejected("status 400 110"), False),
    (400, "BadWebPushTopic", "", Rejected("status 400 BadWebPushTopic"), False),
    (400, "BadDeviceToken", "", TargetGone("status 400 BadDeviceToken", certain=False), False),
    (400, "VapidPkHashMismatch", "", TargetGone("status 400 VapidPkHashMismatch", certain=False), False),
    (401, "", "", TargetGone("status 401", certain=False), True),
    (401, "109", "", TargetGone("status 401 109", certain=False), True),
    (401, "BadJwtToken", "", Rejected("status 401 BadJwtToken", ours=True), True),
    (403, "", "", TargetGone("status 403", certain=False), True),
    (403, "BadJwtToken", "", Rejected("status 403 BadJwtToken", ours=True), True),
    (403, "ExpiredProviderToken", "", Rejected("status 403 ExpiredProviderToken", ours=True), True),
    (403, "VapidPkHashMismatch", "", TargetGone("status 403 VapidPkHashMismatch", certain=False), False),
    (404, "", "", TargetGone("status 404"), False),
    (404, "102", "", TargetGone("status 404 102"), False),
    (405, "", "", Rejected("status 405"), False),
    (406, "", "", Throttled("status 406"), False),
    (408, "", "", Unavailable("status 408", 250, processed=False), False),
    (410, "", "", TargetGone("status 410"), False),
    (410, "106", "", TargetGone("status 410 106"), False),
    (410, "Unregistered", "", TargetGone("status 410 Unregistered"), False),
    (413, "", "", Rejected("status 413"), False),
    (413, "104", "", Rejected("status 413 104"), False),
    (418, "", "", Rejected("status 418"), False),
    (421, "", "", Unavailable("status 421", 250, processed=False), False),
    (425, "", "", Unavailable("status 425", 250, processed=False), False),
    (429, "", "", Throttled("status 429"), False),
    (429, "", "9", Throttled("status 429", 9000), False),
    (429, "", "Fri, 15 Jan 2027 08:01:00 GMT", Throttled("status 429", 60_000), False),
    (429, "", "Fri, 15 Jan 2021 08:01:00 GMT", Throttled("status 429", 0), False),
    (429, "", "soon", Throttled("status 429", 0), False),
    (429, "", "99999999", Throttled("status 429", 86_400_000), False),
    (500, "", "", Unavailable("status 500", processed=False), False),
    (502, "", "9", Unavailable("status 502", 9000, processed=False), False),
    (503, "", "", Unavailable("status 503", processed=False), False),
    (503, "201", "30", Unavailable("status 503 201", 30_000, processed=False), False),
    (503, "202", "", Unavailable("status 503 202", 250, processed=False), False),
    (504, "", "", Unavailable("status 504", processed=False), False),
    (507, "", "", Unavailable("status 507", processed=False), False),
    (599, "", "", Unavailable("status 599", processed=False), False),
]


@pytest.mark.parametrize(("status", "said", "after", "outcome", "signs_again"), ROWS)
def test_an_answer_means(status: int, said: str, after: str, outcome: Outcome, signs_again: bool) -> None:
    judgement = judge(answer(status, said, after), NOW)
    assert judgement.outcome == outcome
    assert judgement.signs_again == signs_again


def test_every_row_of_the_table_is_tested_and_has_a_reason() -> None:
    tested = {(status, said) for status, said, *_ in ROWS}
    assert VERDICTS.keys() <= tested
    assert all(verdict.why for verdict in VERDICTS.values())


def test_only_413_asks_for_a_shorter_push() -> None:
    assert [status for status in range(200, 600) if is_too_large(answer(status))] == [413]


def test_a_body_ends_nothing_that_its_status_does_not() -> None:
    for said in ("Unregistered", "BadDeviceToken", "103", "106"):
        for status in (402, 411, 418, 451, 500):
            assert not isinstance(judge(answer(status, said), NOW).outcome, TargetGone)


@given(st.integers(200, 599), st.binary(max_size=200), st.text(max_size=40))
def test_any_answer_has_an_outcome_and_no_reason_repeats_a_body(status: int, body: bytes, after: str) -> None:
    outcome = judge(Answer(status, {"retry-after": after}, body), NOW).outcome
    if not isinstance(outcome, Accepted):
        assert len(outcome.reason) < 60
        assert outcome.reason.isprintable()


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b"null",
        b'{"errno": true}',
        b'{"errno": 1e3}',
        b'{"reason": "https://push/x"}',
        b"\xff",
    ],
)
def test_what_cannot_be_read_in_a_body_is_not_said(body: bytes) -> None:
    assert judge(Answer(400, {}, body), NOW).outcome == Rejected("status 400")
