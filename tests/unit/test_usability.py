"""Which push targets can be used, provider by provider."""

from __future__ import annotations

import base64
import os
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.addresses import DestinationPolicy, networks_in
from wakerobin.core.values import Provider, Purpose, Secret
from wakerobin.ports.options import (
    AcrobitsOptions,
    ApnsOptions,
    AppOptions,
    FcmOptions,
    WebhookOptions,
    WebPushOptions,
)
from wakerobin.server.policies import endpoint_refusal
from wakerobin.services.enrolment import Refusal, TargetRequest
from wakerobin.services.enrolment.usability import is_p256_point, providers_of, refusal_of_targets

APP = AppOptions(
    apns=ApnsOptions(topic="com.example.phone"),
    fcm=FcmOptions(),
    webpush=WebPushOptions(),
    webhook=WebhookOptions(),
    acrobits=AcrobitsOptions(),
)
CALL = TargetRequest(provider=Provider.APNS, purposes=frozenset({Purpose.CALL}), token=Secret("ab" * 32))
SEALED = networks_in(["10.0.0.0/8"])


def base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def public_point() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


POINT = public_point()


def subscription(provider: Provider = Provider.WEBPUSH, **changes: Any) -> TargetRequest:
    values: dict[str, Any] = {
        "provider": provider,
        "purposes": frozenset(Purpose),
        "token": Secret("https://push.example/abc?d=e"),
        "p256dh": base64url(POINT),
        "auth": Secret(base64url(b"0123456789abcdef")),
    }
    return TargetRequest(**(values | changes))


def refusal(*targets: TargetRequest, app: AppOptions = APP, policy: DestinationPolicy | None = None) -> Any:
    return refusal_of_targets(app, targets, endpoint_refusal(policy or DestinationPolicy()))


def problem(*targets: TargetRequest, **more: Any) -> tuple[str, str]:
    found = refusal(*targets, **more)
    return (found.problem, found.pointer) if isinstance(found, Refusal) else ("", "")


@pytest.mark.parametrize(
    ("targets", "expected", "pointer"),
    [
        ((CALL,), "", ""),
        ((), "invalid-field", "/targets"),
        ((CALL,) * 5, "invalid-field", "/targets"),
        ((CALL, CALL), "invalid-field", "/targets/1"),
        ((CALL, replace(CALL, provider=Provider.FCM)), "", ""),
        ((replace(CALL, purposes=frozenset({Purpose.NOTICE})),), "invalid-field", "/targets"),
        ((replace(CALL, token=Secret("not hex")),), "target-unusable", "/targets/0/token"),
        ((replace(CALL, topic="com.other"),), "target-unusable", "/targets/0/topic"),
        ((replace(CALL, topic="com.example.phone"),), "", ""),
        ((replace(CALL, environment="test"),), "invalid-field", "/targets/0/environment"),
        ((replace(CALL, environment="sandbox"),), "", ""),
        ((replace(CALL, provider=Provider.FCM, token=Secret("c:APA91b-_x")),), "", ""),
        (
            (replace(CALL, provider=Provider.FCM, token=Secret("a b")),),
            "target-unusable",
            "/targets/0/token",
        ),
        (
            (replace(CALL, provider=Provider.WEBHOOK, token=Secret("a\nb")),),
            "target-unusable",
            "/targets/0/token",
        ),
        ((replace(CALL, provider=Provider.ACROBITS, token=Secret("x"), topic="cz.acrobits.x"),), "", ""),
        (
            (replace(CALL, provider=Provider.ACROBITS, token=Secret("x")),),
            "target-unusable",
            "/targets/0/topic",
        ),
    ],
)
def test_targets_must_be_able_to_ring(
    targets: tuple[TargetRequest, ...], expected: str, pointer: str
) -> None:
    assert problem(*targets) == (expected, pointer)


@pytest.mark.parametrize("provider", list(Provider))
def test_a_target_of_a_push_service_that_the_app_does_not_have_is_unusable(provider: Provider) -> None:
    option = {Provider.UNIFIEDPUSH: "webpush"}.get(provider, provider.value)
    nothing: dict[str, Any] = {option: None}
    without = replace(APP, **nothing)
    target = subscription(provider) if option == "webpush" else replace(CALL, provider=provider)
    if provider is Provider.ACROBITS:
        target = replace(target, topic="cz.acrobits.x")
    assert problem(target, app=without) == ("target-unusable", "/targets/0/provider")
    assert problem(target) == ("", "")
    assert provider in providers_of(APP)
    assert provider not in providers_of(without)


@pytest.mark.parametrize("provider", [Provider.WEBPUSH, Provider.UNIFIEDPUSH])
@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"p256dh": base64url(POINT[:64])}, "p256dh"),
        ({"p256dh": base64url(POINT[:-1] + bytes([POINT[-1] ^ 1]))}, "p256dh"),
        ({"p256dh": base64url(b"\2" + POINT[1:33])}, "p256dh"),
        ({"p256dh": base64url(b"\4" + bytes(64))}, "p256dh"),
        ({"p256dh": base64url(b"\4" + b"\xff" * 64)}, "p256dh"),
        ({"p256dh": "not base64!"}, "p256dh"),
        ({"auth": Secret(base64url(b"x" * 15))}, "auth"),
        ({"auth": Secret(base64url(b"x" * 17))}, "auth"),
        ({"auth": Secret("A")}, "auth"),
        ({"auth": Secret("")}, "auth"),
        ({"token": Secret("http://push.example/abc")}, "endpoint"),
        ({"token": Secret("https://push.example:8443/abc")}, "endpoint"),
        ({"token": Secret("https://user@push.example/abc")}, "endpoint"),
        ({"token": Secret("https://127.0.0.1/abc")}, "endpoint"),
        ({"token": Secret("https://[::1]/abc")}, "endpoint"),
        ({"token": Secret("https://169.254.169.254/latest")}, "endpoint"),
        ({"token": Secret("https://10.1.2.3/abc")}, "endpoint"),
        ({"token": Secret(f"https://push.example/{'x' * 1000}")}, "endpoint"),
    ],
)
def test_a_subscription_that_cannot_be_pushed_to_is_unusable(
    provider: Provider, changes: dict[str, Any], pointer: str
) -> None:
    assert problem(subscription(provider, **changes)) == ("target-unusable", f"/targets/0/{pointer}")


def test_what_the_operator_allows_can_be_pushed_to() -> None:
    private = subscription(token=Secret("https://10.1.2.3/abc"))
    assert problem(private, policy=DestinationPolicy(allow_private=SEALED)) == ("", "")
    listed = subscription(token=Secret("https://push.lan:8443/abc"))
    assert problem(listed, policy=DestinationPolicy(named=frozenset({"push.lan:8443"}))) == ("", "")


def test_a_refusal_says_nothing_of_what_this_server_can_reach() -> None:
    for endpoint in ("https://10.1.2.3/", "https://127.0.0.1/", "http://push.example/"):
        found = refusal(subscription(token=Secret(endpoint)))
        assert found.detail == "may not be pushed to"


def test_keys_may_be_padded_as_some_libraries_do() -> None:
    padded = base64.urlsafe_b64encode(POINT).decode()
    auth = base64.urlsafe_b64encode(os.urandom(16)).decode()
    assert padded.endswith("=")
    assert auth.endswith("==")
    assert problem(subscription(p256dh=padded, auth=Secret(auth))) == ("", "")


def test_every_key_that_a_library_makes_is_a_point() -> None:
    assert all(is_p256_point(base64url(public_point())) for _ in range(20))


@given(st.binary(min_size=65, max_size=65) | st.text(max_size=100).map(str.encode))
def test_what_a_library_does_not_take_is_no_point(octets: bytes) -> None:
    def is_taken() -> bool:
        try:
            ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), octets)
        except ValueError:
            return False
        return len(octets) == 65

    assert is_p256_point(base64url(octets)) == is_taken()
