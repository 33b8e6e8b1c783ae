"""What is said to browsers and UnifiedPush apps: the table of the API, and never nothing to a browser."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.system.pushing import UUID, message, target
from wakerobin.core.pushes import CallDetails, PayloadHead, PushMessage, PushType, call_payload
from wakerobin.core.values import Provider, PushTarget
from wakerobin.push.webpush.encryption import MOST_PLAINTEXT
from wakerobin.push.webpush.endpoint import Endpoint
from wakerobin.push.webpush.notification import (
    MOST_TTL,
    headers,
    plaintext,
    shows_nothing,
    tag,
    topic,
    ttl,
)

NOW = 1_800_000_000_000
HEAD = PayloadHead(
    id=UUID,
    registration="pr_1",
    generation=3,
    sent_at=NOW,
    expires_at=NOW + 30_000,
    stage="active",
    life_expires_at=NOW + 86_400_000,
)
BROWSER = target("https://push.example/x", provider=Provider.WEBPUSH)
APP = target("https://push.example/x", provider=Provider.UNIFIEDPUSH)
CALL_ID = "7d9b2f6c-1111-8222-9333-444455556666"


def to(kind: Provider, type_: PushType, **changes: Any) -> PushMessage:
    where = BROWSER if kind is Provider.WEBPUSH else APP
    return replace(message(type_), target=where, **({"expires_at": NOW + 30_000} | changes))


def call(caller: dict[str, str], where: PushTarget = BROWSER) -> PushMessage:
    details = CallDetails(call_id=CALL_ID, sip_call_id="a@b", caller=caller)
    payload = call_payload(HEAD, details)
    expires_at = HEAD.expires_at
    return PushMessage(
        type=PushType.CALL, id=UUID, target=where, app="phone", payload=payload, expires_at=expires_at
    )


def sent(one: PushMessage) -> dict[str, str]:
    return dict(headers(one, Endpoint("push.example", 443, "/x?y"), "vapid t=a, k=b", NOW))


def parsed(one: PushMessage, page: str = "") -> dict[str, Any]:
    octets = plaintext(one, page)
    assert octets is not None
    value = json.loads(octets)
    assert isinstance(value, dict)
    return value


# Type, Urgency, and whether a newer push with the same key replaces one that is not delivered yet.
ROWS = [
    (PushType.CALL, "high", False),
    (PushType.CALL_OVER, "high", False),
    (PushType.TEST, "high", False),
    (PushType.RENEW, "low", True),
    (PushType.EXPIRY_WARNING, "normal", True),
    (PushType.EXPIRED, "normal", True),
    (PushType.MISSED_CALL, "normal", True),
    (PushType.MESSAGE, "normal", True),
    (PushType.MWI, "normal", True),
    (PushType.TARGETS_NEEDED, "normal", True),
    (PushType.CREDENTIALS_NEEDED, "normal", True),
    (PushType.REGISTRATION_TROUBLE, "normal", True),
    (PushType.REGISTRATION_TROUBLE_OVER, "normal", True),
    (PushType.STILL_REACHABLE, "low", True),
    (PushType.VERIFY, "normal", True),
]


@pytest.mark.parametrize(("type_", "urgency", "is_replaced"), ROWS)
def test_each_type_has_its_urgency_and_calls_have_no_topic(
    type_: PushType, urgency: str, is_replaced: bool
) -> None:
    one = sent(to(Provider.UNIFIEDPUSH, type_, collapse_key="life"))
    assert one["urgency"] == urgency
    assert one.get("topic") == ("life" if is_replaced else None)


def test_two_messages_are_two_notifications_and_what_was_listened_to_is_replaced_in_silence() -> None:
    first, second = (
        to(Provider.WEBPUSH, PushType.MESSAGE, title="Anna", text="New", payload={"message_id": id_})
        for id_ in ("m-1", "m-2")
    )
    assert tag(first) != tag(second)
    listened = to(
        Provider.WEBPUSH, PushType.MWI, title="Anna", text="None", is_quiet=True, collapse_key="mwi"
    )
    assert sent(listened)["urgency"] == "low"
    text = plaintext(listened)
    assert text is not None
    shown = json.loads(text)["notification"]
    assert (shown["tag"], shown["silent"], shown["renotify"]) == ("mwi", True, False)


def test_every_type_is_in_the_table() -> None:
    assert {type_ for type_, *_ in ROWS} == set(PushType)


def test_a_push_is_posted_to_its_endpoint_with_its_time_to_live() -> None:
    one = sent(to(Provider.WEBPUSH, PushType.CALL))
    assert one == {
        ":method": "POST",
        ":scheme": "https",
        ":authority": "push.example",
        ":path": "/x?y",
        "authorization": "vapid t=a, k=b",
        "content-type": "application/octet-stream",
        "content-encoding": "aes128gcm",
        "ttl": "30",
        "urgency": "high",
    }


@pytest.mark.parametrize(
    ("left", "seconds"),
    [(-5000, 0), (0, 0), (1, 1), (1000, 1), (1001, 2), (30_000, 30), (40 * 86_400_000, MOST_TTL)],
)
def test_the_time_to_live_is_what_is_left_and_never_more_than_push_services_take(
    left: int, seconds: int
) -> None:
    assert ttl(to(Provider.WEBPUSH, PushType.EXPIRED, expires_at=NOW + left), NOW) == seconds


def test_what_nobody_may_store_has_a_time_to_live_of_0() -> None:
    assert ttl(to(Provider.UNIFIEDPUSH, PushType.RENEW, expires_at=0), NOW) == 0


@given(st.text())
def test_any_key_becomes_a_topic_that_rfc_8030_allows_and_different_ones_differ(key: str) -> None:
    made = topic(key)
    assert 0 < len(made) <= 32
    assert made.isascii()
    assert made.replace("-", "a").replace("_", "a").isalnum()
    assert made != topic(key + "x")


def test_a_warning_is_a_declarative_push_message_beside_our_payload() -> None:
    one = to(Provider.WEBPUSH, PushType.EXPIRY_WARNING, title="Expires", text="Open it.")
    assert parsed(one, "https://phone.example/app") == {
        "web_push": 8030,
        "mutable": True,
        "notification": {
            "title": "Expires",
            "body": "Open it.",
            "navigate": "https://phone.example/app",
            "tag": "life",
            "dir": "auto",
            "data": {"type": "expiry-warning"},
            "renotify": True,
            "silent": False,
        },
        "wakerobin": one.payload,
    }


def test_without_a_page_a_tap_opens_the_scope_of_the_service_worker() -> None:
    assert parsed(to(Provider.WEBPUSH, PushType.EXPIRED))["notification"]["navigate"] == "./"


@pytest.mark.parametrize(
    ("caller", "title"),
    [
        ({"name": "Alice", "number": "100", "uri": "sip:100@pbx.example"}, "Alice"),
        ({"name": "", "number": "100", "uri": "sip:100@pbx.example"}, "100"),
        ({"name": "", "number": "", "uri": "sip:alice@pbx.example"}, "sip:alice@pbx.example"),
        ({}, "phone"),
    ],
)
def test_a_call_needs_no_words_to_show_who_is_calling(caller: dict[str, str], title: str) -> None:
    one = call(caller)
    assert not shows_nothing(one)
    shown = parsed(one)["notification"]
    assert shown["title"] == title
    assert shown["requireInteraction"]
    assert shown["data"] == {"type": "call", "call_id": CALL_ID}


def test_the_end_of_a_call_takes_the_place_of_the_call_without_a_sound() -> None:
    ringing = call({"name": "Alice"})
    over = to(Provider.WEBPUSH, PushType.CALL_OVER, title="", payload=ringing.payload)
    assert not shows_nothing(over)
    assert tag(over) == tag(ringing) == f"call-{CALL_ID}"
    shown = parsed(over)["notification"]
    assert shown["title"] == "Alice"
    assert shown["silent"]
    assert not shown["renotify"]


def test_what_shows_nothing_is_told() -> None:
    for type_ in PushType:
        silent = to(Provider.WEBPUSH, type_, title="", text="", payload={})
        needs_no_words = type_ in (PushType.CALL, PushType.CALL_OVER, PushType.TEST)
        assert shows_nothing(silent) is not needs_no_words
        spoken = replace(silent, title="Alice")
        assert shows_nothing(spoken) is (type_ is PushType.RENEW)


def test_an_app_may_stay_silent_or_be_given_words() -> None:
    assert parsed(call({"name": "Alice"}, APP)).keys() == {"wakerobin"}
    assert parsed(to(Provider.UNIFIEDPUSH, PushType.RENEW)).keys() == {"wakerobin"}
    told = parsed(to(Provider.UNIFIEDPUSH, PushType.EXPIRED, title="Expired", text="Open it."))
    assert told["notification"] == {"title": "Expired", "body": "Open it."}


@given(
    st.sampled_from([Provider.WEBPUSH, Provider.UNIFIEDPUSH]), st.text(max_size=5000), st.text(max_size=5000)
)
def test_whatever_is_long_goes_out_short_or_not_at_all(kind: Provider, caller: str, text: str) -> None:
    payload = call({"name": caller}).payload
    one = to(kind, PushType.MISSED_CALL, text=text, payload=payload)
    octets = plaintext(one)
    assert octets is not None
    assert len(octets) <= MOST_PLAINTEXT
    assert json.loads(octets)["wakerobin"]["id"] == UUID
    assert plaintext(replace(one, payload={"call_id": "x" * 4000})) is None


@pytest.mark.parametrize("letter", ["x", "é", "😀", '"', "\x01"])
@pytest.mark.parametrize("where", [BROWSER, APP])
def test_a_caller_with_an_endless_name_rings_all_the_same(letter: str, where: PushTarget) -> None:
    name = letter * 4500
    for one in (call({"name": name}, where), replace(call({"name": name}, where), title=name, text=name)):
        octets = plaintext(one)
        assert octets is not None
        assert len(octets) <= MOST_PLAINTEXT
        said = json.loads(octets)
        assert said["wakerobin"]["call_id"] == CALL_ID
        if where is BROWSER:
            assert said["notification"]["title"] == letter * 199 + "…"


def test_a_limit_that_only_the_essential_keeps_leaves_the_caller_out() -> None:
    one = call({"name": "x" * 300})
    full = plaintext(one)
    assert full is not None
    short = plaintext(one, limit=len(full) - 1)
    assert short is not None
    assert "caller" not in json.loads(short)["wakerobin"]
    assert json.loads(short)["wakerobin"]["call_id"] == CALL_ID
