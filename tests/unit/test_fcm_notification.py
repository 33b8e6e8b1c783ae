"""What is written to Firebase for each type of push: the table of the API, by Google's own schema."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.system.pushing import TOKEN, message, target
from tests.unit.discovery import fcm_v1, violations
from wakerobin.core.pushes import LocKeys, PushMessage, PushType
from wakerobin.push.fcm.notification import (
    KINDS,
    MOST_COLLAPSE_KEYS,
    MOST_OCTETS,
    body,
    is_token,
)

NOW = 1_800_000_000_000
DAY = 86_400_000
REQUEST = {"$ref": "SendMessageRequest"}


def sent(one: PushMessage, now: int = NOW) -> dict[str, Any]:
    octets = body(one, now)
    assert octets is not None
    value = json.loads(octets)
    assert violations(value, REQUEST) == []
    inner = value["message"]
    assert isinstance(inner, dict)
    return inner


# Type, priority, and what it replaces.
ROWS = [
    (PushType.CALL, "HIGH", None),
    (PushType.CALL_OVER, "HIGH", None),
    (PushType.TEST, "HIGH", None),
    (PushType.EXPIRY_WARNING, "HIGH", "life"),
    (PushType.EXPIRED, "HIGH", "life"),
    (PushType.REGISTRATION_TROUBLE, "HIGH", "life"),
    (PushType.REGISTRATION_TROUBLE_OVER, "HIGH", "life"),
    (PushType.CREDENTIALS_NEEDED, "HIGH", "life"),
    (PushType.TARGETS_NEEDED, "HIGH", "life"),
    (PushType.MISSED_CALL, "HIGH", "missed"),
    (PushType.MESSAGE, "HIGH", None),
    (PushType.MWI, "HIGH", "mwi"),
    (PushType.STILL_REACHABLE, "NORMAL", "life"),
    (PushType.RENEW, "NORMAL", "life"),
    (PushType.VERIFY, "NORMAL", None),
]


@pytest.mark.parametrize(("type_", "priority", "key"), ROWS)
def test_each_type_has_its_priority_and_what_it_replaces(
    type_: PushType, priority: str, key: str | None
) -> None:
    android = sent(message(type_, expires_at=NOW + 25_900))["android"]
    assert android["priority"] == priority
    assert android.get("collapseKey") == key
    assert android["ttl"] == "25s"
    assert android.get("directBootOk") == (
        True if type_ in (PushType.CALL, PushType.CALL_OVER, PushType.TEST) else None
    )


def test_what_nobody_has_to_look_at_does_not_wake_the_device() -> None:
    assert sent(message(PushType.MWI, is_quiet=True))["android"]["priority"] == "NORMAL"


def test_every_type_of_push_is_in_the_table() -> None:
    assert {row[0] for row in ROWS} == set(KINDS) == set(PushType)


def test_google_never_holds_more_than_its_four_collapse_keys() -> None:
    assert len({kind.collapse_key for kind in KINDS.values() if kind.collapse_key}) <= MOST_COLLAPSE_KEYS


def test_nothing_is_shown_by_the_system_and_everything_can_be_by_the_app() -> None:
    one = sent(message(PushType.EXPIRY_WARNING, title="Alice", text="Open the app."))
    assert "notification" not in one
    assert "notification" not in one["android"]
    assert one["data"]["title"] == "Alice"
    assert one["data"]["text"] == "Open the app."
    assert json.loads(one["data"]["wakerobin"])["type"] == "expiry-warning"


def test_a_silent_push_carries_no_text() -> None:
    assert set(sent(message(PushType.RENEW))["data"]) == {"wakerobin"}
    assert set(sent(message(PushType.CALL))["data"]) == {"wakerobin"}


def test_an_app_with_its_own_words_gets_their_keys() -> None:
    keys = LocKeys("T", ("alice",), "B", ("alice", "12"))
    data = sent(message(PushType.EXPIRED, loc_keys=keys))["data"]
    assert data["title_loc_key"] == "T"
    assert data["body_loc_key"] == "B"
    assert json.loads(data["title_loc_args"]) == ["alice"]
    assert json.loads(data["body_loc_args"]) == ["alice", "12"]
    assert "text" not in data


@pytest.mark.parametrize(("kind", "field"), [("", "token"), ("fid", "fid")])
def test_a_target_is_addressed_by_the_kind_of_its_token(kind: str, field: str) -> None:
    one = sent(message(target=target(token_kind=kind)))
    assert one[field] == TOKEN
    assert ("token" in one) != ("fid" in one)


@pytest.mark.parametrize(
    ("left", "ttl"), [(0, "0s"), (-5_000, "0s"), (999, "0s"), (30_000, "30s"), (40 * DAY, "2419200s")]
)
def test_a_push_is_stored_for_what_is_left_of_its_use_and_28_days_at_most(left: int, ttl: str) -> None:
    assert sent(message(expires_at=NOW + left))["android"]["ttl"] == ttl


def test_no_key_of_the_data_is_one_of_googles_own() -> None:
    for type_ in PushType:
        for name in sent(message(type_))["data"]:
            assert name not in ("from", "message_type", "notification")
            assert not name.startswith(("google", "gcm"))


def test_a_long_text_is_cut_and_what_the_app_needs_stays() -> None:
    one = message(PushType.EXPIRED, text="x" * 5000, payload={"v": 1, "type": "expired", "extra": "y" * 500})
    data = sent(one)["data"]
    assert len(data["text"]) == 200
    assert json.loads(data["wakerobin"]) == {"v": 1, "type": "expired"}


@pytest.mark.parametrize("letter", ["x", "é", "😀", '"', "\x01"])
def test_a_caller_with_an_endless_name_rings_all_the_same(letter: str) -> None:
    name, payload = letter * 4500, {"v": 1, "call_id": "c", "caller": {"name": letter * 4500}}
    data = sent(message(title=name, text=name, payload=payload))["data"]
    assert data["title"] == data["text"] == letter * 199 + "…"
    keys = LocKeys("T", (), "B", (name, "alice"))
    data = sent(message(loc_keys=keys, payload=payload))["data"]
    assert json.loads(data["body_loc_args"]) == [letter * 199 + "…", "alice"]
    assert json.loads(data["wakerobin"]) == {"v": 1, "call_id": "c"}


def test_what_is_too_long_without_all_that_can_go_is_not_sent() -> None:
    assert body(message(payload={"call_id": "x" * 5000}), NOW) is None


@given(
    st.sampled_from(list(PushType)),
    st.text(max_size=5000),
    st.text(max_size=5000),
    st.dictionaries(st.text(max_size=20), st.text(max_size=3000), max_size=4),
    st.integers(-DAY, 100 * DAY),
)
def test_whatever_the_texts_are_a_body_fits_googles_schema_and_limit(
    type_: PushType, title: str, text: str, payload: dict[str, str], left: int
) -> None:
    one = replace(message(type_), title=title, text=text, payload=payload, expires_at=NOW + left)
    octets = body(one, NOW)
    if octets is not None:
        value = json.loads(octets)
        assert violations(value, REQUEST) == []
        data = value["message"]["data"]
        assert (
            sum(len(k.encode()) + len(v.encode("utf-8", "replace")) for k, v in data.items()) <= MOST_OCTETS
        )


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"message": {"android": {"priority": "high"}}}, "is none of"),
        ({"message": {"android": {"ttl": 30}}}, "is no string"),
        ({"message": {"android": {"ttl": "30"}}}, "is no duration"),
        ({"message": {"android": {"collapse_key": "x"}}}, "is no field"),
        ({"message": {"data": {"v": 1}}}, "is no string"),
        ({"message": []}, "is no object"),
    ],
)
def test_the_check_by_googles_schema_sees_what_is_wrong(wrong: dict[str, Any], words: str) -> None:
    [violation] = violations(wrong, REQUEST)
    assert words in violation


def test_the_schema_is_the_one_of_the_method_that_is_called() -> None:
    send = fcm_v1()["resources"]["projects"]["resources"]["messages"]["methods"]["send"]
    assert send["httpMethod"] == "POST"
    assert send["request"] == REQUEST
    assert send["path"] == "v1/{+parent}/messages:send"


@pytest.mark.parametrize("text", ["", " ", "a b", "a\r\n", "é", "a" * 4097, '"', "\x00"])
def test_what_can_be_no_token_is_known(text: str) -> None:
    assert not is_token(text)


def test_a_registration_token_and_an_installation_id_are_tokens() -> None:
    assert is_token("fcm-token_1:APA91bH" + "x" * 140)
    assert is_token("dvJ0wq5MRk2cbR5t3lWl1A")
