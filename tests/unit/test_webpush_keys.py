"""Keys for one message each, and the tokens that prove an app to push services."""

from __future__ import annotations

import stat
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from wakerobin.core.errors import ConfigurationError
from wakerobin.ports.options import HOUR, WebPushOptions
from wakerobin.push.webpush.encryption import octets
from wakerobin.push.webpush.ephemeral import KeyPair, KeyPool, make_key_pair
from wakerobin.push.webpush.vapid import (
    MOST_ORIGINS,
    Vapid,
    VapidKey,
    make_key_file,
    public_key,
    read_vapid_key,
)
from wakerobin.testing.clock import ManualClock

SERVICE = "https://push.example"
PAIR = make_key_pair()


def vapid(clock: ManualClock) -> Vapid:
    return Vapid(VapidKey(PAIR, "mailto:ops@example.com"), clock)


def token_of(authorization: str) -> str:
    scheme, _, rest = authorization.partition(" ")
    assert scheme == "vapid"
    fields = dict(part.strip().split("=", 1) for part in rest.split(","))
    assert set(fields) == {"t", "k"}
    assert octets(fields["k"]) == PAIR.point
    return fields["t"]


def test_a_token_names_the_origin_the_subject_and_its_end_and_is_signed_with_the_key() -> None:
    clock = ManualClock()
    token = token_of(vapid(clock).authorization(SERVICE))
    claims = jwt.decode(
        token,
        PAIR.private.public_key(),
        algorithms=["ES256"],
        audience=SERVICE,
        options={"verify_exp": False},
    )
    assert claims == {
        "aud": SERVICE,
        "sub": "mailto:ops@example.com",
        "exp": (clock.now() + 12 * HOUR) // 1000,
    }


def test_a_token_serves_its_origin_for_six_hours_and_no_other_origin() -> None:
    clock = ManualClock()
    made = vapid(clock)
    first = made.authorization(SERVICE)
    assert token_of(made.authorization("https://other.example")) != token_of(first)
    clock.advance(6 * HOUR - 1)
    assert made.authorization(SERVICE) == first
    clock.advance(1)
    assert made.authorization(SERVICE) != first


def test_a_clock_that_was_put_back_has_another_token_signed() -> None:
    clock = ManualClock()
    made = vapid(clock)
    first = made.authorization(SERVICE)
    clock.step_wall(-HOUR)
    assert made.authorization(SERVICE) != first


def test_a_token_that_was_refused_is_not_used_again() -> None:
    clock = ManualClock()
    made = vapid(clock)
    first = made.authorization(SERVICE)
    clock.advance(1000)
    made.forget(SERVICE)
    made.forget(SERVICE)
    assert made.authorization(SERVICE) != first


def test_tokens_of_invented_origins_push_out_the_longest_unused_ones_only() -> None:
    clock = ManualClock()
    made = vapid(clock)
    first = made.authorization(SERVICE)
    clock.advance(1000)
    for number in range(MOST_ORIGINS + 10):
        made.authorization(f"https://{number}.example")
        assert made.authorization(SERVICE) == first
    assert len(made._tokens) == MOST_ORIGINS


def test_a_key_file_is_for_its_owner_only_and_is_never_written_over(tmp_path: Path) -> None:
    file = tmp_path / "vapid.pem"
    public = make_key_file(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    options = WebPushOptions(vapid_key_file=str(file), subject="https://example.com/about")
    assert read_vapid_key(options, "apps.phone.webpush").public == public
    assert public_key(options, "apps.phone.webpush") == public
    point = octets(public)
    assert point is not None
    assert len(point) == 65
    before = file.read_bytes()
    with pytest.raises(FileExistsError):
        make_key_file(file)
    assert file.read_bytes() == before


def written(
    file: Path,
    private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
    lock: KeySerializationEncryption | None = None,
) -> str:
    file.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock or NoEncryption()))
    return str(file)


def test_a_key_file_that_cannot_be_used_is_said_in_words(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"

    def refusal(path: str) -> str:
        with pytest.raises(ConfigurationError) as caught:
            read_vapid_key(
                WebPushOptions(vapid_key_file=path, subject="mailto:a@b.example"), "apps.a.webpush"
            )
        return str(caught.value)

    assert "is empty; make one with" in refusal("")
    assert "cannot be read (No such file" in refusal(str(tmp_path / "none.pem"))
    file.write_text("hello")
    assert "no private key in PEM" in refusal(str(file))
    p256 = ec.generate_private_key(ec.SECP256R1())
    assert "locked with a password" in refusal(written(file, p256, BestAvailableEncryption(b"x")))
    assert "another kind of key" in refusal(written(file, ec.generate_private_key(ec.SECP384R1())))
    assert "another kind of key" in refusal(written(file, rsa.generate_private_key(65537, 2048)))


@pytest.mark.parametrize("subject", ["", "ops@example.com", "http://example.com"])
def test_a_subject_that_nobody_can_be_reached_by_is_refused(tmp_path: Path, subject: str) -> None:
    file = tmp_path / "vapid.pem"
    make_key_file(file)
    with pytest.raises(ConfigurationError, match=r"apps\.a\.webpush\.subject"):
        read_vapid_key(WebPushOptions(vapid_key_file=str(file), subject=subject), "apps.a.webpush")


class Made:
    """Counts the key pairs that were made."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> KeyPair:
        self.count += 1
        return KeyPair(PAIR.private, self.count.to_bytes(65, "big"))


def test_keys_are_made_a_few_at_a_time_and_each_is_given_out_once() -> None:
    clock, make = ManualClock(), Made()
    pool = KeyPool(clock, clock, size=20, make=make)
    pool.fill()
    clock.advance(20)
    assert make.count == 8
    clock.advance(1000)
    assert len(pool) == make.count == 20
    assert clock.next_timer() is None
    points = {pool.take().point for _ in range(50)}
    assert len(points) == 50
    clock.advance(1000)
    assert len(pool) == 20


def test_a_closed_pool_makes_keys_only_for_those_who_ask() -> None:
    clock, make = ManualClock(), Made()
    pool = KeyPool(clock, clock, size=20, make=make)
    pool.fill()
    pool.close()
    clock.advance(1000)
    assert make.count == 0
    assert pool.take().point == (1).to_bytes(65, "big")
    assert clock.next_timer() is None


def test_the_keys_of_a_real_pool_are_all_different() -> None:
    clock = ManualClock()
    pool = KeyPool(clock, clock, size=4)
    pool.fill()
    clock.advance(100)
    assert len({pool.take().point for _ in range(8)}) == 8
