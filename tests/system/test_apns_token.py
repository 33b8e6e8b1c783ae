"""The provider token: one for all connections, kept over restarts, renewed in the background."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.system.pushing import message, service_for
from wakerobin.core.errors import ConfigurationError
from wakerobin.core.pushes import Accepted, Outcome, PushType, Throttled, Unavailable
from wakerobin.ports.options import HOUR, MINUTE, ApnsOptions
from wakerobin.push.apns import ApnsService
from wakerobin.push.connection import PoolOptions
from wakerobin.push.jwt import TeamToken, read_signing_key
from wakerobin.testing.clock import ManualClock
from wakerobin.testing.memory import Fault, MemoryStore
from wakerobin.testing.pns import FakePns
from wakerobin.testing.pns_script import Refuse


@pytest.fixture
async def pns(tmp_path: Path) -> AsyncIterator[FakePns]:
    async with FakePns(tmp_path) as fake:
        yield fake
        assert fake.thrown_out == []


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def token_of(pns: FakePns, store: MemoryStore, clock: ManualClock) -> TeamToken:
    return TeamToken(read_signing_key(pns.options(), "apps.phone.apns"), store, clock, clock)


async def send(service: ApnsService, clock: ManualClock, type_: PushType = PushType.CALL) -> Outcome:
    return await service.send(message(type_, expires_at=clock.now() + 30_000), clock.monotonic() + 5)


async def test_it_is_what_apple_asks_for(pns: FakePns, clock: ManualClock) -> None:
    token = token_of(pns, MemoryStore(), clock)
    await token.start()
    text = token.current()
    await token.close()
    assert jwt.get_unverified_header(text) == {"alg": "ES256", "kid": "FAKEKEY123"}
    claims = jwt.decode(text, pns.team.public_key, algorithms=["ES256"], options={"verify_iat": False})
    assert claims == {"iss": "FAKETEAM12", "iat": clock.now() // 1000}


async def test_all_connections_show_the_same_token(pns: FakePns, clock: ManualClock) -> None:
    async with service_for(pns, clock=clock, timers=clock) as service:
        types = (PushType.CALL, PushType.CALL, PushType.RENEW)
        outcomes = await asyncio.gather(*(send(service, clock, type_) for type_ in types))
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert len({push.headers["authorization"] for push in pns.pushes}) == 1
    assert len({push.connection for push in pns.pushes}) == 3


@pytest.mark.parametrize("minutes", [0, 10, 25, 44])
async def test_a_restart_takes_up_the_token_of_the_last_run(
    pns: FakePns, clock: ManualClock, minutes: int
) -> None:
    store = MemoryStore()
    first = token_of(pns, store, clock)
    await first.start()
    text = first.current()
    await first.close()
    clock.advance(minutes * MINUTE)
    second = token_of(pns, store, clock)
    await second.start()
    assert second.current() == text
    await second.close()


async def test_a_restart_after_45_minutes_uses_the_old_token_until_the_new_one_is_kept(
    pns: FakePns, clock: ManualClock
) -> None:
    store = MemoryStore()
    first = token_of(pns, store, clock)
    await first.start()
    text = first.current()
    await first.close()
    clock.advance(50 * MINUTE)
    second = token_of(pns, store, clock)
    await second.start()
    assert second.current() == text
    clock.advance(1)
    await clock.settle()
    assert second.current() != text
    await second.close()


@pytest.mark.parametrize("step", [61 * MINUTE, 30 * 24 * HOUR, -2 * HOUR])
async def test_a_token_of_another_time_is_not_taken_up(pns: FakePns, clock: ManualClock, step: int) -> None:
    store = MemoryStore()
    first = token_of(pns, store, clock)
    await first.start()
    text = first.current()
    await first.close()
    clock.step_wall(step)
    second = token_of(pns, store, clock)
    await second.start()
    assert second.current() != text
    await second.close()


async def test_another_key_under_the_same_id_does_not_take_up_the_token(
    pns: FakePns, clock: ManualClock, tmp_path: Path
) -> None:
    store = MemoryStore()
    first = token_of(pns, store, clock)
    await first.start()
    other_directory = tmp_path / "other"
    other_directory.mkdir()
    other = FakePns(other_directory)
    second = token_of(other, store, clock)
    await second.start()
    jwt.decode(second.current(), other.team.public_key, algorithms=["ES256"], options={"verify_iat": False})
    await first.close()
    await second.close()


@pytest.mark.parametrize("kept", [b"", b"{}", b"nonsense", b"[1]", b'{"token": "x", "issued_at": null}'])
async def test_a_kept_record_that_is_none_is_replaced(pns: FakePns, clock: ManualClock, kept: bytes) -> None:
    store = MemoryStore()
    token = token_of(pns, store, clock)
    name = token._name
    await store.transact(lambda tx: tx.kept.put(name, kept))
    await token.start()
    record = json.loads(store.read(lambda tx: tx.kept.get(name)) or b"")
    assert record["token"] == token.current()
    await token.close()


async def test_over_a_whole_day_it_changes_every_45_minutes_and_apple_never_objects(
    pns: FakePns, clock: ManualClock
) -> None:
    seen: list[str] = []
    async with service_for(pns, clock=clock, timers=clock) as service:
        for _ in range(24 * 4):
            assert isinstance(await send(service, clock), Accepted)
            seen.append(pns.pushes[-1].headers["authorization"])
            for _ in range(15):
                clock.advance(MINUTE)
                await clock.settle()
    assert len(set(seen)) == 24 * 60 // 45
    assert all(push.is_accepted for push in pns.pushes)


async def test_a_machine_that_slept_through_the_renewal_signs_at_once(
    pns: FakePns, clock: ManualClock
) -> None:
    async with service_for(pns, clock=clock, timers=clock) as service:
        assert isinstance(await send(service, clock), Accepted)
        clock.step_wall(5 * HOUR)  # suspended: the monotonic clock and its timers stood still
        outcome = await send(service, clock)
    assert isinstance(outcome, Accepted)


async def test_a_store_that_is_full_stops_no_push(pns: FakePns, clock: ManualClock) -> None:
    store = MemoryStore()
    store.break_next(Fault.BEFORE_COMMIT)
    async with service_for(pns, store=store, clock=clock, timers=clock) as service:
        assert isinstance(await send(service, clock), Accepted)


async def test_a_push_before_the_start_takes_up_the_token_of_the_last_run_too(
    pns: FakePns, clock: ManualClock
) -> None:
    store = MemoryStore()
    first = token_of(pns, store, clock)
    await first.start()
    text = first.current()
    await first.close()
    async with service_for(pns, store=store, clock=clock, timers=clock, warm=False) as service:
        assert isinstance(await send(service, clock), Accepted)
    assert pns.pushes[0].headers["authorization"] == f"bearer {text}"


async def test_a_token_that_apple_calls_expired_is_replaced_with_its_connection(
    pns: FakePns, clock: ManualClock
) -> None:
    """Apple's clock and ours disagree: theirs is an hour ahead."""
    async with service_for(pns, clock=clock, timers=clock) as service:
        clock.advance(30 * MINUTE)
        pns.now = lambda: clock.now() / 1000 + 31 * 60
        outcome = await send(service, clock)
        assert outcome == Unavailable("ExpiredProviderToken", 250, processed=False)
        await clock.settle()
        outcome = await send(service, clock)
        assert isinstance(outcome, Accepted)
    refused, accepted = pns.pushes
    assert refused.connection != accepted.connection
    assert refused.headers["authorization"] != accepted.headers["authorization"]


async def test_a_young_token_is_not_replaced_whatever_apple_says(pns: FakePns, clock: ManualClock) -> None:
    async with service_for(pns, clock=clock, timers=clock) as service:
        pns.now = lambda: clock.now() / 1000 + 2 * 3600
        for _ in range(3):
            outcome = await send(service, clock)
            assert outcome == Unavailable("ExpiredProviderToken", 250, processed=False)
            clock.advance(1000)
            await clock.settle()
    assert len({push.headers["authorization"] for push in pns.pushes}) == 1


async def test_a_wrong_clock_does_not_open_a_connection_for_each_push(
    pns: FakePns, clock: ManualClock
) -> None:
    async with service_for(pns, clock=clock, timers=clock, pool=PoolOptions(call_connections=1)) as service:
        pns.now = lambda: clock.now() / 1000 + 2 * 3600
        sends = [asyncio.ensure_future(send(service, clock, PushType.RENEW)) for _ in range(200)]
        for _ in range(60):
            clock.advance(100)
            await clock.settle()
        outcomes = await asyncio.gather(*sends)
        assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
    assert 4 <= pns.connections_seen <= 12  # in six seconds, with pauses that double


async def test_too_many_tokens_pause_a_push_and_end_its_connection(pns: FakePns, clock: ManualClock) -> None:
    async with service_for(pns, clock=clock, timers=clock) as service:
        pns.next(Refuse(status=429, reason="TooManyProviderTokenUpdates"))
        assert await send(service, clock) == Throttled("TooManyProviderTokenUpdates", 60_000)
        await clock.settle()
        assert isinstance(await send(service, clock), Accepted)
    refused, accepted = pns.pushes
    assert refused.connection != accepted.connection
    assert refused.headers["authorization"] == accepted.headers["authorization"]


def _write(file: Path, octets: bytes) -> str:
    file.write_bytes(octets)
    return str(file)


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes = b"") -> bytes:
    lock = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)


def test_a_key_file_that_cannot_be_used_is_refused_in_words(tmp_path: Path) -> None:
    good = ApnsOptions(key_id="ABCDEFGH12", team_id="TEAMTEAM12", topic="com.example.phone")
    p256 = ec.generate_private_key(ec.SECP256R1())
    public = p256.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    cases = {
        "": "key_file is empty",
        str(tmp_path / "missing.p8"): "cannot be read (No such file or directory)",
        str(tmp_path): "cannot be read (Is a directory)",
        _write(tmp_path / "text.p8", b"hello"): "holds no private key in PEM",
        _write(tmp_path / "public.p8", public): "holds no private key in PEM",
        _write(tmp_path / "locked.p8", _pem(p256, b"secret")): "is locked with a password",
        _write(
            tmp_path / "rsa.p8", _pem(rsa.generate_private_key(65537, 2048))
        ): "another kind of key than P-256",
        _write(
            tmp_path / "p384.p8", _pem(ec.generate_private_key(ec.SECP384R1()))
        ): "another kind of key than P-256",
    }
    for file, words in cases.items():
        with pytest.raises(ConfigurationError) as caught:
            read_signing_key(replace(good, key_file=file), "apps.phone.apns")
        text = str(caught.value)
        assert text.startswith("apps.phone.apns.key_file")
        assert words in text
        assert file in text
        assert ".p8" in text
    assert read_signing_key(replace(good, key_file=_write(tmp_path / "good.p8", _pem(p256))), "x").key_id


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"key_id": "short"}, "apps.phone.apns.key_id = 'short'"),
        ({"team_id": "com.example.team"}, "apps.phone.apns.team_id = 'com.example.team'"),
        ({"topic": ""}, "apps.phone.apns.topic is empty"),
    ],
)
def test_a_setting_that_is_wrong_is_named_with_what_is_right(
    pns: FakePns, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_signing_key(replace(pns.options(), **change), "apps.phone.apns")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://api.push.apple.com", "is no https address"),
        ("api.push.apple.com", "is no https address"),
        ("https://", "is no https address"),
        ("https://host:99999", "Port out of range"),
        ("https://host/3/device", "is more than a host and a port"),
        ("https://user@host", "is more than a host and a port"),
    ],
)
async def test_a_url_that_cannot_be_used_is_refused_in_words(pns: FakePns, url: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        async with service_for(pns, options=replace(pns.options(), url=url)):
            pass
    assert words in str(caught.value)
    assert "https://host:port" in str(caught.value)


async def test_a_ca_file_that_cannot_be_used_is_refused_in_words(pns: FakePns, tmp_path: Path) -> None:
    for file in (str(tmp_path / "missing.pem"), _write(tmp_path / "text.pem", b"hello")):
        with pytest.raises(ConfigurationError, match="cannot be used as a CA file") as caught:
            async with service_for(pns, options=replace(pns.options(), ca_file=file)):
                pass
        assert file in str(caught.value)
