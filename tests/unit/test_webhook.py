"""What is posted to a webhook: the payload, signed as the specification's own example is, and its answers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.system.pushing import TOKEN, UUID, message, target
from wakerobin.core.errors import ConfigurationError
from wakerobin.core.pushes import (
    Accepted,
    LocKeys,
    Outcome,
    PushMessage,
    PushType,
    Rejected,
    TargetGone,
    Throttled,
    Unavailable,
)
from wakerobin.core.values import Secret
from wakerobin.push.connection import Answer
from wakerobin.push.posting import Letter
from wakerobin.push.webhook.letter import MOST_OCTETS, read_secrets, signature, write
from wakerobin.push.webhook.verdicts import VERDICTS, judge

NOW = 1_800_000_000_999
OLD, NEW = b"o" * 24, b"n" * 64
KEY = "apps.phone.webhook.secrets"


def posted(one: PushMessage, *secrets: bytes) -> tuple[dict[str, str], dict[str, Any]]:
    letter = write(one, NOW, secrets or (OLD,))
    assert isinstance(letter, Letter)
    return dict(letter.fields), json.loads(letter.body)


def test_the_signature_is_the_one_of_the_specifications_example() -> None:
    [secret] = read_secrets([Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")], KEY)
    signed = signature("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}', [secret])
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_every_secret_signs_so_that_one_can_be_replaced() -> None:
    letter = write(message(), NOW, (OLD, NEW))
    assert isinstance(letter, Letter)
    fields = dict(letter.fields)
    assert fields["webhook-id"] == UUID
    assert fields["webhook-timestamp"] == "1800000000"
    signed = f"{UUID}.1800000000.".encode() + letter.body
    for secret in (OLD, NEW):
        digest = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
        assert f"v1,{digest}" in fields["webhook-signature"].split(" ")
    assert len(fields["webhook-signature"].split(" ")) == 2


def test_the_body_is_the_payload_with_the_target_and_what_is_shown() -> None:
    one = message(PushType.EXPIRED, target=target(topic="huawei"), title="Alice", text="Open the app.")
    fields, body = posted(one)
    assert fields["content-type"] == "application/json"
    assert body == one.payload | {
        "app": "phone",
        "target": {"token": TOKEN, "topic": "huawei"},
        "title": "Alice",
        "text": "Open the app.",
    }


def test_a_silent_push_says_nothing_to_show() -> None:
    _, body = posted(message(PushType.RENEW))
    assert not {"title", "text"} & set(body)


def test_an_app_with_its_own_words_gets_their_keys() -> None:
    _, body = posted(message(PushType.EXPIRED, loc_keys=LocKeys("T", ("a",), "B", ())))
    assert body["title_loc_key"] == "T"
    assert body["title_loc_args"] == ["a"]
    assert body["body_loc_key"] == "B"
    assert "text" not in body


@pytest.mark.parametrize("token", ["", " ", "a b", "é", "\x00", "a" * 4097])
def test_a_token_that_is_none_is_not_posted(token: str) -> None:
    assert write(message(token=token), NOW, (OLD,)) == TargetGone("not a token", certain=False)


def test_a_body_that_is_too_long_is_shortened_or_refused() -> None:
    letter = write(message(PushType.EXPIRED, text="x" * 20_000), NOW, (OLD,))
    assert isinstance(letter, Letter)
    assert len(letter.body) <= MOST_OCTETS
    assert write(message(payload={"id": "x" * 20_000}), NOW, (OLD,)) == Rejected("PayloadTooLarge")


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("", "does not begin with whsec_"),
        ("c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "does not begin with whsec_"),
        ("whsec_!!!", "is no base64"),
        ("whsec_" + base64.b64encode(b"x" * 23).decode(), "has 23 octets"),
        ("whsec_" + base64.b64encode(b"x" * 65).decode(), "has 65 octets"),
    ],
)
def test_a_secret_that_is_none_is_named_by_its_place_and_never_shown(secret: str, words: str) -> None:
    good = Secret("whsec_" + base64.b64encode(b"x" * 24).decode())
    with pytest.raises(ConfigurationError) as raised:
        read_secrets([good, Secret(secret)], KEY)
    assert words in str(raised.value)
    assert str(raised.value).startswith(f"{KEY}[1]")
    assert not secret or secret not in str(raised.value)


def test_a_webhook_without_a_secret_is_none() -> None:
    with pytest.raises(ConfigurationError, match="openssl rand"):
        read_secrets([], KEY)


ROWS: list[tuple[int, Outcome]] = [
    (401, Rejected("status 401", ours=True)),
    (403, Rejected("status 403", ours=True)),
    (404, Rejected("status 404", ours=True)),
    (405, Rejected("status 405", ours=True)),
    (408, Unavailable("status 408", 7_000, processed=False)),
    (410, TargetGone("status 410")),
    (425, Unavailable("status 425", 7_000, processed=False)),
    (429, Throttled("status 429", 7_000)),
    (500, Unavailable("status 500", 7_000)),
    (502, Unavailable("status 502", 7_000)),
    (503, Unavailable("status 503", 7_000, processed=False)),
    (504, Unavailable("status 504", 7_000)),
]
OTHERS: list[tuple[int, Outcome]] = [
    (200, Accepted()),
    (202, Accepted()),
    (204, Accepted()),
    (301, Rejected("status 301", ours=True)),
    (308, Rejected("status 308", ours=True)),
    (400, Rejected("status 400")),
    (422, Rejected("status 422")),
    (599, Unavailable("status 599", 7_000)),
    (999, Rejected("status 999")),
]


@pytest.mark.parametrize(("status", "outcome"), ROWS + OTHERS)
def test_an_answer_has_its_outcome(status: int, outcome: Outcome) -> None:
    assert judge(Answer(status, {"retry-after": "7"}, b""), NOW) == outcome


def test_every_row_of_the_table_is_tested_here_and_says_why() -> None:
    assert set(VERDICTS) == {status for status, _ in ROWS}
    assert all(verdict.why for verdict in VERDICTS.values())


@given(st.text(max_size=3000), st.text(max_size=3000), st.dictionaries(st.text(), st.text(), max_size=3))
def test_whatever_the_texts_are_the_body_is_json(title: str, text: str, payload: dict[str, str]) -> None:
    letter = write(message(PushType.EXPIRED, title=title, text=text, payload=payload), NOW, (OLD,))
    assert isinstance(letter, Letter)
    assert json.loads(letter.body)["target"] == {"token": TOKEN}


def test_a_caller_with_an_endless_name_rings_all_the_same() -> None:
    name = "😀" * 4500
    _, body = posted(message(title=name, text=name))
    assert body["title"] == body["text"] == "😀" * 199 + "…"
    _, body = posted(message(loc_keys=LocKeys("T", (name,), "B", (name, "alice"))))
    assert body["title_loc_args"] == ["😀" * 199 + "…"]
    assert body["body_loc_args"] == ["😀" * 199 + "…", "alice"]
