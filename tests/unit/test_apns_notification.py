"""What is written to Apple for each type of push: the table of the API, within Apple's limits."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.system.pushing import TOKEN, UUID, message
from wakerobin.core.pushes import LocKeys, PushMessage, PushType
from wakerobin.push.apns.notification import KINDS, body, collapse_id, headers


def sent(one: PushMessage) -> dict[str, str]:
    return dict(headers(one, "api.push.apple.com", "com.example.phone", "t.o.k"))


def parsed(one: PushMessage) -> dict[str, object]:
    octets = body(one)
    assert octets is not None
    value = json.loads(octets)
    assert isinstance(value, dict)
    return value


# Type, push type, priority, topic, and whether a newer push with the same key replaces it.
ROWS = [
    (PushType.CALL, "voip", "10", "com.example.phone.voip", False),
    (PushType.RENEW, "background", "5", "com.example.phone", False),
    (PushType.EXPIRY_WARNING, "alert", "10", "com.example.phone", True),
    (PushType.EXPIRED, "alert", "10", "com.example.phone", True),
    (PushType.MISSED_CALL, "alert", "10", "com.example.phone", True),
    (PushType.MESSAGE, "alert", "10", "com.example.phone", True),
    (PushType.MWI, "alert", "10", "com.example.phone", True),
    (PushType.TARGETS_NEEDED, "alert", "10", "com.example.phone", True),
    (PushType.CREDENTIALS_NEEDED, "alert", "10", "com.example.phone", True),
    (PushType.REGISTRATION_TROUBLE, "alert", "10", "com.example.phone", True),
    (PushType.REGISTRATION_TROUBLE_OVER, "alert", "10", "com.example.phone", True),
    (PushType.STILL_REACHABLE, "alert", "10", "com.example.phone", True),
    (PushType.VERIFY, "background", "5", "com.example.phone", False),
    (PushType.TEST, "voip", "10", "com.example.phone.voip", False),
]


@pytest.mark.parametrize(("type_", "push_type", "priority", "topic", "collapses"), ROWS)
def test_each_type_has_its_push_type_priority_and_topic(
    type_: PushType, push_type: str, priority: str, topic: str, *, collapses: bool
) -> None:
    fields = sent(message(type_, collapse_key="life"))
    assert fields["apns-push-type"] == push_type
    assert fields["apns-priority"] == priority
    assert fields["apns-topic"] == topic
    assert ("apns-collapse-id" in fields) == collapses


def test_every_type_of_push_is_in_the_table_but_the_one_that_apple_cannot_carry() -> None:
    assert {row[0] for row in ROWS} == set(KINDS) == set(PushType) - {PushType.CALL_OVER}


def test_only_what_rings_is_a_voip_push() -> None:
    """An app that reports no call after a VoIP push is ended by the system."""
    voip = {type_ for type_, kind in KINDS.items() if kind.push_type == "voip"}
    assert voip == {PushType.CALL, PushType.TEST}


def test_the_headers_carry_path_id_token_and_expiration_in_seconds() -> None:
    fields = sent(message(expires_at=1_800_000_000_999))
    assert fields[":path"] == f"/3/device/{TOKEN}"
    assert fields["apns-id"] == UUID
    assert fields["authorization"] == "bearer t.o.k"
    assert fields["apns-expiration"] == "1800000000"


def test_an_expiration_of_0_stays_0_one_attempt_never_stored() -> None:
    assert sent(message(PushType.RENEW, expires_at=0))["apns-expiration"] == "0"


def test_the_topic_of_the_target_goes_before_the_apps() -> None:
    one = message()
    fields = sent(replace(one, target=replace(one.target, topic="com.example.beta")))
    assert fields["apns-topic"] == "com.example.beta.voip"


def test_with_a_certificate_there_is_no_authorization() -> None:
    assert "authorization" not in dict(headers(message(), "api.push.apple.com", "com.example.phone", ""))


def test_a_call_and_a_renewal_show_nothing_and_everything_else_shows_its_text() -> None:
    assert parsed(message(PushType.CALL))["aps"] == {}
    assert parsed(message(PushType.RENEW))["aps"] == {"content-available": 1}
    warning = message(PushType.EXPIRY_WARNING, title="alice", text="Tap here.")
    assert parsed(warning)["aps"] == {
        "alert": {"title": "alice", "body": "Tap here."},
        "thread-id": "life",
        "sound": "default",
    }


def test_what_is_no_news_makes_no_sound_and_lights_no_screen() -> None:
    for type_ in KINDS:
        aps = parsed(message(type_))["aps"]
        assert isinstance(aps, dict)
        is_quiet = type_ in (PushType.STILL_REACHABLE, PushType.REGISTRATION_TROUBLE_OVER)
        assert (aps.get("interruption-level") == "passive") == is_quiet
        assert not (is_quiet and "sound" in aps)


def test_an_extension_may_renew_before_a_text_is_shown_and_silent_pushes_have_no_text() -> None:
    for type_, kind in KINDS.items():
        aps = parsed(message(type_, is_mutable=True))["aps"]
        assert isinstance(aps, dict)
        assert (aps.get("mutable-content") == 1) == (kind.push_type == "alert")
        assert "mutable-content" not in str(parsed(message(type_)))


def test_a_missed_call_is_grouped_apart_from_what_is_about_the_life() -> None:
    assert "'thread-id': 'missed'" in str(parsed(message(PushType.MISSED_CALL)))
    assert "'thread-id': 'messages'" in str(parsed(message(PushType.MESSAGE)))
    assert "'thread-id': 'mwi'" in str(parsed(message(PushType.MWI)))
    assert "'thread-id': 'life'" in str(parsed(message(PushType.EXPIRED)))


def test_a_mailbox_puts_its_number_on_the_icon_and_what_was_listened_to_changes_nothing_else() -> None:
    new = message(PushType.MWI, title="Anna", text="2 new voice messages.", badge=2)
    aps = parsed(new)["aps"]
    assert isinstance(aps, dict)
    assert (aps["badge"], aps["alert"]["body"], sent(new)["apns-priority"]) == (
        2,
        "2 new voice messages.",
        "10",
    )
    listened = message(
        PushType.MWI, text="No new voice messages.", badge=0, is_quiet=True, collapse_key="mwi"
    )
    assert parsed(listened)["aps"] == {"badge": 0}
    fields = sent(listened)
    assert (fields["apns-push-type"], fields["apns-priority"]) == ("alert", "5")
    assert fields["apns-collapse-id"] == "mwi"


def test_our_payload_goes_beside_aps_unchanged() -> None:
    payload = {"v": 1, "type": "call", "caller": {"name": "Zoë ☎"}}
    assert parsed(message(payload=payload))["wakerobin"] == payload


def test_a_payload_that_is_too_long_goes_without_what_the_app_can_do_without() -> None:
    payload = {"v": 1, "type": "call", "id": UUID, "call_id": UUID, "caller": {"name": "x" * 6000}}
    assert parsed(message(payload=payload))["wakerobin"] == {
        "v": 1,
        "type": "call",
        "id": UUID,
        "call_id": UUID,
    }


def test_a_call_may_be_longer_than_a_notice() -> None:
    payload = {"caller": {"name": "x" * 4500}}
    assert "caller" in str(parsed(message(PushType.CALL, payload=payload)))
    assert "caller" not in str(parsed(message(PushType.EXPIRED, payload=payload)))


def test_what_is_too_long_even_then_is_not_built() -> None:
    assert body(message(payload={"call_id": "x" * 6000})) is None


def test_a_text_that_is_too_long_is_cut() -> None:
    shown = parsed(message(PushType.EXPIRED, text="ä" * 5000))["aps"]
    assert isinstance(shown, dict)
    assert shown["alert"]["body"] == "ä" * 199 + "…"


@given(st.text(max_size=3000), st.text(max_size=3000), st.sampled_from(list(KINDS)))
def test_no_text_makes_a_body_longer_than_apple_takes(text: str, name: str, type_: PushType) -> None:
    octets = body(message(type_, title="t", text=text, payload={"v": 1, "caller": {"name": name}}))
    assert octets is not None
    assert len(octets) <= (5120 if type_ is PushType.CALL else 4096)
    json.loads(octets)


def test_octets_of_a_peer_that_are_no_text_do_not_break_the_body() -> None:
    assert parsed(message(payload={"caller": {"name": "a\udcffb"}}))["wakerobin"] == {
        "caller": {"name": "a?b"}
    }


@pytest.mark.parametrize("key", ["life", "missed", "x" * 64, "a/b:c=1"])
def test_a_collapse_key_that_a_header_can_carry_goes_as_it_is(key: str) -> None:
    assert collapse_id(key) == key


@given(st.text(st.characters(), min_size=1, max_size=200), st.text(st.characters(), min_size=1, max_size=200))
def test_every_key_has_a_collapse_id_of_its_own_that_a_header_can_carry(key: str, other: str) -> None:
    carried = collapse_id(key)
    assert 0 < len(carried) <= 64
    assert all("!" <= character <= "~" for character in carried)
    assert (collapse_id(other) == carried) == (other == key)


@pytest.mark.parametrize("name", ["x" * 5_000, "é" * 5_000, "😀" * 5_000])
@pytest.mark.parametrize("has_keys", [False, True])
def test_a_name_without_an_end_is_cut_and_the_push_goes(name: str, *, has_keys: bool) -> None:
    keys = LocKeys("title", (name,), "body", (name, "2")) if has_keys else None
    missed = message(PushType.MISSED_CALL, title=name, text=f"Missed call from {name}.", loc_keys=keys)
    sent_body = body(missed)
    assert sent_body is not None
    alert = json.loads(sent_body)["aps"]["alert"]
    shown = alert["title-loc-args"][0] if has_keys else alert["title"]
    assert 0 < len(shown) <= 200
