"""An app's push certificate: every form in which Apple's tools give it out, and words for every wrong one."""

from __future__ import annotations

import datetime
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from wakerobin import log, metrics
from wakerobin.core.errors import ConfigurationError
from wakerobin.core.values import Secret
from wakerobin.ports.options import DAY, ApnsOptions
from wakerobin.push.apns.certificate import read_certificate
from wakerobin.push.connection import HTTP2, client_context

TOPIC = "com.example.phone"
GROUP = "apps.phone.apns"
NOW = datetime.datetime.now(datetime.UTC)
KEY = rsa.generate_private_key(65537, 2048)
TOPICS = x509.ObjectIdentifier("1.2.840.113635.100.6.3.6")
# SEQUENCE { UTF8String topic, SEQUENCE { UTF8String "app" }, UTF8String topic.voip, SEQUENCE { … } }
_LIST = b"".join(
    b"\x0c" + bytes([len(text)]) + text + b"\x30\x05\x0c\x03app"
    for text in (TOPIC.encode(), f"{TOPIC}.voip".encode())
)
EXTENSION = b"\x30" + bytes([len(_LIST)]) + _LIST


def certificate(
    user_id: str = TOPIC, days: int = 365, *, extension: bytes = b"", key: rsa.RSAPrivateKey = KEY
) -> x509.Certificate:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, f"Apple Push Services: {TOPIC}")]
    if user_id:
        attributes.insert(0, x509.NameAttribute(NameOID.USER_ID, user_id))
    name = x509.Name(attributes)
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(NOW - datetime.timedelta(days=400))
        .not_valid_after(NOW + datetime.timedelta(days=days))
    )
    if extension:
        builder = builder.add_extension(x509.UnrecognizedExtension(TOPICS, extension), critical=False)
    return builder.sign(key, hashes.SHA256())


def pem_key(password: bytes = b"", key: rsa.RSAPrivateKey = KEY) -> bytes:
    lock = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)


def pem(one: x509.Certificate) -> bytes:
    return one.public_bytes(Encoding.PEM)


def p12(one: x509.Certificate, password: bytes = b"") -> bytes:
    lock = BestAvailableEncryption(password) if password else NoEncryption()
    return pkcs12.serialize_key_and_certificates(b"push", KEY, one, None, lock)


def options(folder: Path, octets: bytes, key_octets: bytes = b"", password: str = "") -> ApnsOptions:
    file = folder / "push.cer"
    file.write_bytes(octets)
    key_file = folder / "push.key"
    if key_octets:
        key_file.write_bytes(key_octets)
    return ApnsOptions(
        cert_file=str(file),
        cert_key_file=str(key_file) if key_octets else "",
        cert_password=Secret(password),
        topic=TOPIC,
    )


@pytest.mark.parametrize("password", ["", "geheim"])
@pytest.mark.parametrize("form", ["p12", "pem", "pem with words", "two files"])
def test_every_form_of_certificate_and_key_becomes_a_context_that_can_prove_us(
    tmp_path: Path, form: str, password: str
) -> None:
    one, lock = certificate(), password.encode()
    octets, key_octets = {
        "p12": (p12(one, lock), b""),
        "pem": (pem(one) + pem_key(lock), b""),
        "pem with words": (b"Bag Attributes\n" + pem(one) + pem_key(lock), b""),
        "two files": (pem(one), pem_key(lock)),
    }[form]
    read = read_certificate(options(tmp_path, octets, key_octets, password), GROUP)
    assert read.topics == {TOPIC}
    assert abs(read.expires_at - (NOW.timestamp() + 365 * 86_400) * 1000) < 2000
    client_context("", f"{GROUP}.url", HTTP2, read.client)


def test_the_key_is_never_written_down_in_the_clear(tmp_path: Path) -> None:
    read = read_certificate(options(tmp_path, p12(certificate())), GROUP)
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in read.client.key
    assert "PRIVATE" not in repr(read)


def test_the_topics_are_those_of_the_subject_and_of_apples_list(tmp_path: Path) -> None:
    read = read_certificate(options(tmp_path, p12(certificate("", extension=EXTENSION))), GROUP)
    assert read.topics == {TOPIC, f"{TOPIC}.voip"}
    for odd in (b"\x30", b"\x0c\xff\xff", b"\x30\x84\xff\xff\xff\xff\x0c\x01", b""):
        read_certificate(options(tmp_path, p12(certificate(extension=odd))), GROUP)


def test_a_voip_certificate_serves_its_app(tmp_path: Path) -> None:
    assert read_certificate(options(tmp_path, p12(certificate(f"{TOPIC}.voip"))), GROUP).topics


OTHER = rsa.generate_private_key(65537, 2048)
WRONG = [
    (b"", b"", "", r"cert_file: .* is no PKCS #12 file, or apps\.phone\.apns\.cert_password"),
    (p12(certificate(), b"x"), b"", "y", r"cert_password does not open it"),
    (b"-----BEGIN CERTIFICATE-----\n!\n", b"", "", "holds no certificate in PEM or PKCS #12"),
    (pem(certificate()), b"", "", r"holds no private key in PEM; name its file in .*cert_key_file"),
    (pem(certificate()), pem_key(b"x"), "", r"cert_key_file: .* is locked with a password; see .*password"),
    (pem(certificate()), pem_key(b"x"), "y", r"cert_key_file: .*cannot be read"),
    (pem(certificate()), pem_key(), "y", "is not locked"),
    (pem(certificate()), pem_key(key=OTHER), "", "is not the certificate of that key"),
    (p12(certificate("com.example.other")), b"", "", r"is for com\.example\.other, not for .*topic"),
    (
        pkcs12.serialize_key_and_certificates(b"x", None, certificate(), None, NoEncryption()),
        b"",
        "",
        "together with its private key",
    ),
    (
        pem(certificate()),
        ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "",
        "neither RSA nor EC",
    ),
]


@pytest.mark.parametrize(("octets", "key_octets", "password", "words"), WRONG)
def test_what_is_wrong_with_it_is_said_in_words(
    tmp_path: Path, octets: bytes, key_octets: bytes, password: str, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        read_certificate(options(tmp_path, octets, key_octets, password), GROUP)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    wrong = replace(options(tmp_path, b""), cert_file="/nowhere/push.p12")
    with pytest.raises(ConfigurationError, match=r"cert_file: /nowhere/push\.p12 cannot be read"):
        read_certificate(wrong, GROUP)


def test_a_key_on_a_curve_serves_too(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.USER_ID, TOPIC)])
    one = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    octets = pem(one) + key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    read = read_certificate(options(tmp_path, octets), GROUP)
    client_context("", f"{GROUP}.url", HTTP2, read.client)


@pytest.mark.parametrize(
    ("days", "event"),
    [(-2, "push_certificate_expired"), (20, "push_certificate_expires_soon"), (200, "push_certificate")],
)
def test_its_expiry_is_told_by_log_and_metric(tmp_path: Path, days: int, event: str) -> None:
    read = read_certificate(options(tmp_path, p12(certificate(days=days))), GROUP)
    said = io.StringIO()
    log.configure("info", "json", said)
    try:
        read.tell(TOPIC, int(NOW.timestamp() * 1000) - DAY // 2)
    finally:
        log.configure("info")
    assert json.loads(said.getvalue())["event"] == event
    value = metrics.PUSH_CERTIFICATE_EXPIRES.labels(TOPIC)._value.get()
    assert abs(value - NOW.timestamp() - days * 86_400) < 2
