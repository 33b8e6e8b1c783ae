"""What is left of a push for a push service that is not to read who calls whom."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.pushes import (
    Accepted,
    CallDetails,
    LocKeys,
    Outcome,
    PayloadHead,
    PushMessage,
    PushType,
    Wording,
    call_message,
    notice_payload,
)
from wakerobin.core.values import NO_SECRET, Provider, Purpose, PushTarget, Secret
from wakerobin.ports.push import Attempt, always_wanted
from wakerobin.push.apns import notification
from wakerobin.push.privacy import ENCRYPTED, FULL, NONE, PrivatePushService, opened, private

KEY = Secret("A" * 43)
NAMES = ("Bob Builder", "+49301234", "sip:bob@pbx.example", "call-id-of-the-pbx", "Anna's phone")
GENERIC = Wording("Your phone account", "You have missed calls.")
HEAD = PayloadHead(
    id="0b0e2f6c-0000-8000-8000-000000000001",
    registration="pr_abc",
    generation=4,
    sent_at=1_735_689_600_999,
    expires_at=1_735_689_630_000,
    stage="active",
    life_expires_at=1_736_294_400_000,
)
DETAILS = CallDetails(
    call_id="0b0e2f6c-0000-8000-8000-0000000000ca",
    sip_call_id="call-id-of-the-pbx",
    caller={"uri": "sip:bob@pbx.example", "number": "+49301234", "name": "Bob Builder"},
)


def target(provider: Provider = Provider.APNS) -> PushTarget:
    return PushTarget(
        id=5,
        registration_id=1,
        provider=provider,
        purposes=frozenset(Purpose),
        token=Secret("ab"),
        reported_at=0,
    )


def call(provider: Provider = Provider.APNS, **changes: Any) -> PushMessage:
    message = call_message("phone", target(provider), HEAD, DETAILS)
    return replace(message, payload_key=KEY, **changes)


def missed(provider: Provider = Provider.APNS, **changes: Any) -> PushMessage:
    message = PushMessage(
        type=PushType.MISSED_CALL,
        id=HEAD.id,
        target=target(provider),
        app="phone",
        title="Anna's phone",
        text="Missed call from Bob Builder.",
        loc_keys=LocKeys("title", ("Anna's phone",), "body", ("Bob Builder",)),
        generic=GENERIC,
        payload=notice_payload(PushType.MISSED_CALL, HEAD, {"count": 2}),
        expires_at=0,
        payload_key=KEY,
    )
    return replace(message, **changes)


def what_is_seen(message: PushMessage) -> str:
    """Everything that a push service could read of a message."""
    seen = (message.title, message.text, message.loc_keys, message.payload, message.collapse_key)
    return json.dumps(seen, default=str) + repr(message.generic) + message.payload_key.reveal()


def inside(message: PushMessage, key: Secret = KEY) -> Any:
    return json.loads(opened(message.payload, key))


def test_an_app_that_hides_nothing_sends_everything_as_it_is() -> None:
    assert private(call(), FULL, os.urandom) == call()


@pytest.mark.parametrize("privacy", [NONE, ENCRYPTED])
@pytest.mark.parametrize("provider", [Provider.APNS, Provider.FCM, Provider.WEBHOOK, Provider.ACROBITS])
@pytest.mark.parametrize("make", [call, missed])
def test_no_push_service_reads_a_name(
    make: Callable[[Provider], PushMessage], provider: Provider, privacy: str
) -> None:
    seen = what_is_seen(private(make(provider), privacy, os.urandom))
    for name in (*NAMES, KEY.reveal()):
        assert name not in seen


def test_without_names_an_app_still_finds_every_field_and_can_take_the_call() -> None:
    sent = private(call(), NONE, os.urandom)
    assert sent.payload["caller"] == {"uri": "", "number": "", "name": ""}
    kept = ("v", "type", "id", "registration", "generation", "expires_at", "life", "call_id", "api")
    assert {name: sent.payload[name] for name in kept} == {name: call().payload[name] for name in kept}
    assert (sent.title, sent.text) == ("", ""), "a call has no text"
    shown = private(missed(), NONE, os.urandom)
    assert (shown.title, shown.text, shown.loc_keys) == (GENERIC.title, GENERIC.text, None)
    assert shown.payload["count"] == 2
    assert not shown.is_mutable


@pytest.mark.parametrize("make", [call, missed])
def test_who_has_the_key_reads_all_of_it_and_nobody_else_does(make: Callable[[], PushMessage]) -> None:
    message = make()
    sent = private(message, ENCRYPTED, os.urandom)
    assert set(sent.payload) == {"v", "registration", "encrypted"}
    assert inside(sent) == {"payload": message.payload, "title": message.title, "text": message.text}
    with pytest.raises(InvalidTag):
        inside(sent, Secret("B" * 43))
    with pytest.raises(InvalidTag):
        opened({**sent.payload, "registration": "pr_other"}, KEY)


def test_the_app_may_put_the_real_text_in_place_of_the_generic_one_before_it_is_shown() -> None:
    assert private(missed(), ENCRYPTED, os.urandom).is_mutable
    assert not private(call(), ENCRYPTED, os.urandom).is_mutable


def test_two_pushes_are_never_encrypted_alike() -> None:
    one, other = (private(call(), ENCRYPTED, os.urandom).payload["encrypted"] for _ in range(2))
    assert one[:16] != other[:16]


def test_a_registration_without_a_key_is_sent_without_names() -> None:
    bare = missed(payload_key=NO_SECRET)
    assert private(bare, ENCRYPTED, os.urandom) == replace(private(bare, NONE, os.urandom))


def test_an_app_that_is_not_made_for_us_gets_no_envelope() -> None:
    sent = private(call(Provider.ACROBITS), ENCRYPTED, os.urandom)
    assert "encrypted" not in sent.payload
    assert sent.payload["call_id"] == DETAILS.call_id


@pytest.mark.parametrize("provider", [Provider.WEBPUSH, Provider.UNIFIEDPUSH])
@pytest.mark.parametrize("privacy", [NONE, ENCRYPTED])
def test_what_is_encrypted_for_a_subscription_anyway_stays_as_it_is(provider: Provider, privacy: str) -> None:
    assert private(missed(provider), privacy, os.urandom) == missed(provider)


@given(st.text(max_size=5000), st.text(max_size=3000), st.text(max_size=3000))
def test_an_envelope_fits_into_what_apple_takes_whatever_names_are_in_it(
    name: str, title: str, text: str
) -> None:
    details = replace(DETAILS, caller={"name": name, "number": "1", "uri": "sip:x"})
    for message in (
        replace(call(), payload=call_message("phone", target(), HEAD, details).payload),
        missed(title=title, text=text),
    ):
        sent = private(message, ENCRYPTED, os.urandom)
        body = notification.body(sent)
        assert body is not None
        assert json.loads(body)["wakerobin"] == sent.payload
        assert inside(sent)["payload"]["type"] == message.type.value


class Inner:
    """A push service that keeps what it is given."""

    def __init__(self) -> None:
        self.seen: list[PushMessage] = []
        self.calls: list[str] = []

    async def send(self, message: PushMessage, deadline: float) -> Outcome:
        self.seen.append(message)
        return Accepted(str(deadline))

    def begin(
        self,
        message: PushMessage,
        deadline: float,
        on_outcome: Callable[[Outcome], None],
        is_wanted: Callable[[], bool] = always_wanted,
    ) -> Attempt:
        self.seen.append(message)
        on_outcome(Accepted(f"{deadline} {is_wanted()}"))
        return self

    def withdraw(self) -> None:
        self.calls.append("withdraw")

    async def warm(self) -> None:
        self.calls.append("warm")

    async def close(self) -> None:
        self.calls.append("close")


async def test_the_push_service_behind_it_is_asked_for_everything_and_told_nothing() -> None:
    inner, outcomes = Inner(), list[Outcome]()
    service = PrivatePushService(inner, NONE, os.urandom)
    assert await service.send(call(), 7.0) == Accepted("7.0")
    service.begin(call(), 8.0, outcomes.append, lambda: False).withdraw()
    await service.warm()
    await service.close()
    assert outcomes == [Accepted("8.0 False")]
    assert inner.calls == ["withdraw", "warm", "close"]
    assert all("Bob" not in what_is_seen(message) for message in inner.seen)
    assert len(inner.seen) == 2
