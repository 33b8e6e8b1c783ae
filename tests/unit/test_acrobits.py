"""What is posted to the Acrobits push server: a verb for each push that it can carry, and its answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.system.pushing import TOKEN, UUID, message, target
from wakerobin.core.pushes import (
    Accepted,
    Outcome,
    PushMessage,
    PushType,
    Rejected,
    TargetGone,
    Throttled,
    Unavailable,
)
from wakerobin.core.values import Secret
from wakerobin.push.acrobits.letter import VERBS, Address, address, write
from wakerobin.push.acrobits.verdicts import VERDICTS, judge
from wakerobin.push.connection import Answer
from wakerobin.push.posting import Letter

NOW = 1_800_000_000_000
APP = "com.example.softphone"
SELECTOR = "12869E0E6E553673C54F29105A0647204C416A2A:7C3A0D14"


def to(type_: PushType = PushType.CALL, **changes: Any) -> PushMessage:
    values = {"target": target(f"{SELECTOR}/{TOKEN}", topic=APP)} | changes
    return message(type_, **values)


def posted(one: PushMessage) -> dict[str, Any]:
    letter = write(one, NOW)
    assert isinstance(letter, Letter)
    assert dict(letter.fields) == {"content-type": "application/json"}
    value = json.loads(letter.body)
    assert isinstance(value, dict)
    return value


CALLER = {"uri": "sip:+49301234@pbx.example", "number": "+49301234", "name": "Alice"}


def test_a_call_says_who_calls_and_which_account_rings() -> None:
    payload = {
        "type": "call",
        "id": UUID,
        "call_id": "call-1",
        "caller": CALLER,
        "api": "https://push.example",
    }
    assert posted(to(payload=payload)) == {
        "verb": "NotifyIncomingCall",
        "AppId": APP,
        "DeviceToken": TOKEN,
        "Selector": SELECTOR,
        "Id": "call-1",
        "UserName": "+49301234",
        "UserDisplayName": "Alice",
    }


def test_a_caller_without_a_number_is_named_by_the_uri_and_a_hidden_one_not_at_all() -> None:
    assert posted(to(payload={"caller": CALLER | {"number": ""}}))["UserName"] == CALLER["uri"]
    assert posted(to(payload={"caller": None}))["UserName"] == ""
    assert posted(to(payload={}))["UserDisplayName"] == ""


def test_missed_calls_are_counted() -> None:
    body = posted(to(PushType.MISSED_CALL, payload={"count": 3}, text="3 missed calls"))
    assert body["verb"] == "NotifyIncomingCallMissed"
    assert body["Badge"] == 3
    assert body["Message"] == "3 missed calls"
    assert "Badge" not in posted(to(PushType.MISSED_CALL, payload={"count": "3"}))


def test_a_message_is_told_of_by_its_sender_and_a_mailbox_by_its_number() -> None:
    said = {"message_id": "m-1", "from": CALLER}
    body = posted(to(PushType.MESSAGE, payload=said, text="New message from Alice."))
    assert (body["verb"], body["Id"], body["Message"]) == (
        "NotifyTextMessage",
        "m-1",
        "New message from Alice.",
    )
    assert (body["UserName"], body["UserDisplayName"]) == ("+49301234", "Alice")
    mailbox = posted(to(PushType.MWI, text="2 new voice messages.", badge=2))
    assert (mailbox["verb"], mailbox["Badge"]) == ("NotifyGenericTextMessage", 2)


@pytest.mark.parametrize(
    "type_", [type_ for type_, verb in VERBS.items() if verb == "NotifyGenericTextMessage"]
)
def test_every_other_notice_is_a_text(type_: PushType) -> None:
    body = posted(to(type_, text="Open the app."))
    assert body["verb"] == "NotifyGenericTextMessage"
    assert body["Message"] == "Open the app."
    assert "UserName" not in body


def test_a_text_is_never_empty_and_never_endless() -> None:
    assert posted(to(PushType.TEST, title="", text=""))["Message"] == "Push test"
    assert posted(to(PushType.EXPIRED, title="Alice", text=""))["Message"] == "Alice"
    assert len(posted(to(PushType.EXPIRED, text="x" * 5000))["Message"]) == 200


def test_a_call_that_was_answered_elsewhere_stops_ringing_and_one_given_up_is_not_called_answered() -> None:
    body = posted(to(PushType.CALL_OVER, payload={"call_id": "call-1", "state": "answered-elsewhere"}))
    assert body["verb"] == "NotifyIncomingCallAnsweredElsewhere"
    assert body["Id"] == "call-1"
    assert isinstance(write(to(PushType.CALL_OVER, payload={"state": "cancelled"}), NOW), Rejected)


@pytest.mark.parametrize("type_", [PushType.RENEW, PushType.VERIFY])
def test_a_push_that_shows_nothing_is_not_sent(type_: PushType) -> None:
    assert write(to(type_), NOW) == Rejected("this push service has no silent pushes")


def test_every_type_of_push_has_a_verb_or_shows_nothing() -> None:
    assert set(PushType) - set(VERBS) == {PushType.RENEW, PushType.VERIFY}


def test_nothing_that_only_our_own_apps_know_is_sent() -> None:
    payload = {
        "registration": "pr_1",
        "generation": 4,
        "api": "https://push.example",
        "life": {"stage": "fresh"},
    }
    one = to(PushType.EXPIRED, payload=payload, payload_key=Secret("key-of-the-payload"))
    text = json.dumps(posted(one))
    for secret in ("pr_1", "push.example", "key-of-the-payload", "generation"):
        assert secret not in text


@pytest.mark.parametrize(
    ("token", "known"),
    [
        (f"{SELECTOR}/{TOKEN}", Address(SELECTOR, TOKEN)),
        (TOKEN, Address("", TOKEN)),
        ("", None),
        ("/", None),
        ("a/", None),
        ("/b", None),
        ("a b", None),
        ("a/b c", None),
        ("é", None),
        ("x" * 5000, None),
    ],
)
def test_a_token_is_a_selector_and_a_device_token(token: str, known: Address | None) -> None:
    assert address(token) == known
    if known is None:
        assert isinstance(write(to(target=target(token, topic=APP)), NOW), TargetGone)


def test_a_target_without_an_app_id_is_refused() -> None:
    assert isinstance(write(to(target=target(TOKEN)), NOW), Rejected)


def said(code: Any, status: int = 200) -> Answer:
    return Answer(status, {"retry-after": "7"}, json.dumps({"code": code, "response": "…"}).encode())


def unsaid(status: int) -> Answer:
    return Answer(status, {"retry-after": "7"}, b"<html>")


ROWS: list[tuple[tuple[int, bool], Answer, Outcome]] = [
    ((404, True), said(404), TargetGone("code 404")),
    ((404, False), unsaid(404), Rejected("status 404", ours=True)),
    ((400, True), said(400), Rejected("code 400")),
    ((401, True), said(401), Rejected("code 401", ours=True)),
    ((403, True), said(403), Rejected("code 403", ours=True)),
    ((401, False), unsaid(401), Rejected("status 401", ours=True)),
    ((403, False), unsaid(403), Rejected("status 403", ours=True)),
    ((408, False), unsaid(408), Unavailable("status 408", 7_000, processed=False)),
    ((429, True), said(429), Throttled("code 429", 7_000)),
    ((429, False), unsaid(429), Throttled("status 429", 7_000)),
]


@pytest.mark.parametrize(("row", "answer", "outcome"), ROWS)
def test_an_answer_has_its_outcome(row: tuple[int, bool], answer: Answer, outcome: Outcome) -> None:
    assert judge(answer, NOW) == outcome
    assert VERDICTS[row].why


def test_every_row_of_the_table_is_tested_here() -> None:
    assert set(VERDICTS) == {row[0] for row in ROWS}


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (said(200), Accepted()),
        (said("200"), Accepted()),
        (said(404, status=404), TargetGone("code 404")),
        (said(500), Unavailable("code 500", 7_000, processed=False)),
        (said(4), Accepted()),
        (unsaid(204), Accepted()),
        (unsaid(302), Rejected("status 302", ours=True)),
        (unsaid(503), Unavailable("status 503", 7_000, processed=False)),
        (unsaid(413), Rejected("status 413")),
        (unsaid(0), Rejected("status 0")),
    ],
)
def test_the_code_in_the_answer_goes_before_the_status(answer: Answer, outcome: Outcome) -> None:
    assert judge(answer, NOW) == outcome


@given(st.integers(0, 999), st.binary(max_size=100))
def test_only_what_their_server_says_itself_ends_a_target(status: int, body: bytes) -> None:
    assert not isinstance(judge(Answer(status, {}, body), NOW), TargetGone) or b"404" in body
