"""The certificate that proves an app to Apple, instead of a team's key: read, checked, its expiry told."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from wakerobin import log, metrics
from wakerobin.core.errors import ConfigurationError
from wakerobin.ports.options import DAY, ApnsOptions
from wakerobin.push.connection import ClientCertificate

EXPIRES_SOON: Final = 30 * DAY
"""So long before its expiry, in milliseconds, a warning is logged at each start."""

# Apple's list of the topics that a certificate serves, beside the user id in its subject.
_TOPICS: Final = x509.ObjectIdentifier("1.2.840.113635.100.6.3.6")
_UTF8_STRING: Final = 0x0C

_log = log.get("push")

_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class PushCertificate:
    """A certificate with its key; `expires_at` is epoch milliseconds, `topics` empty where it names none."""

    client: ClientCertificate
    expires_at: int
    topics: frozenset[str]

    def tell(self, topic: str, now: int) -> None:
        """Tell the operator when it expires; a new one has to be asked of Apple, once a year."""
        metrics.PUSH_CERTIFICATE_EXPIRES.labels(topic).set(self.expires_at / 1000)
        days = (self.expires_at - now) // DAY
        if days < 0:
            _log.error("push_certificate_expired", topic=topic, days=-days)
        elif self.expires_at - now < EXPIRES_SOON:
            _log.warning("push_certificate_expires_soon", topic=topic, days=days)
        else:
            _log.info("push_certificate", topic=topic, days=days)


def read_certificate(options: ApnsOptions, key: str) -> PushCertificate:
    """Load what the setting group `key` (`apps.NAME.apns`) names; ConfigurationError says what is wrong."""
    password = options.cert_password.reveal().encode() or None
    octets = _read(options.cert_file, f"{key}.cert_file")
    if octets.lstrip().startswith(b"-----") or b"-----BEGIN CERT" in octets:
        chain = _pem_chain(octets, f"{key}.cert_file", options.cert_file)
        where, file = f"{key}.cert_file", options.cert_file
        if options.cert_key_file:
            where, file = f"{key}.cert_key_file", options.cert_key_file
            octets = _read(file, where)
        private = _pem_key(octets, password, where, file)
    else:
        chain, private = _p12(octets, password, f"{key}.cert_file", options.cert_file)
    certificate = chain[0]
    if _public(certificate.public_key()) != _public(private.public_key()):
        raise ConfigurationError(f"{key}.cert_file: {options.cert_file} is not the certificate of that key")
    topics = _topics(certificate)
    if topics and not topics & {options.topic, f"{options.topic}.voip"}:
        raise ConfigurationError(
            f"{key}.cert_file: {options.cert_file} is for {', '.join(sorted(topics))}, "
            f"not for {key}.topic = {options.topic!r}"
        )
    return PushCertificate(_client(chain, private), _expiry(certificate), topics)


def _read(file: str, key: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{key}: {file} cannot be read ({error.strerror})") from None


def _pem_chain(octets: bytes, key: str, file: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(octets)
    except ValueError:
        raise ConfigurationError(f"{key}: {file} holds no certificate in PEM or PKCS #12") from None


def _pem_key(octets: bytes, password: bytes | None, key: str, file: str) -> _Key:
    try:
        private = load_pem_private_key(octets, password)
    except TypeError:
        # Either way the file and the setting do not fit together.
        group = key.rpartition(".")[0]
        state = "is locked with a password" if password is None else "is not locked"
        raise ConfigurationError(f"{key}: {file} {state}; see {group}.cert_password") from None
    except (ValueError, UnsupportedAlgorithm) as error:
        if b"PRIVATE KEY" not in octets:
            group = key.rpartition(".")[0]
            words = f"{file} holds no private key in PEM; name its file in {group}.cert_key_file"
        else:
            words = f"the private key in {file} cannot be read ({error})"
        raise ConfigurationError(f"{key}: {words}") from None
    return _usable(private, key, file)


def _p12(octets: bytes, password: bytes | None, key: str, file: str) -> tuple[list[x509.Certificate], _Key]:
    try:
        private, certificate, others = pkcs12.load_key_and_certificates(octets, password)
    except (ValueError, UnsupportedAlgorithm):
        group = key.rpartition(".")[0]
        raise ConfigurationError(
            f"{key}: {file} is no PKCS #12 file, or {group}.cert_password does not open it"
        ) from None
    if private is None or certificate is None:
        raise ConfigurationError(f"{key}: {file} must hold the certificate together with its private key")
    return [certificate, *others], _usable(private, key, file)


def _usable(private: object, key: str, file: str) -> _Key:
    if not isinstance(private, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ConfigurationError(f"{key}: the private key in {file} is neither RSA nor EC")
    return private


def _public(key: object) -> bytes:
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        return b""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _client(chain: list[x509.Certificate], private: _Key) -> ClientCertificate:
    password = secrets.token_hex(32).encode()
    return ClientCertificate(
        chain=b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain),
        key=private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password)),
        password=password,
    )


def _expiry(certificate: x509.Certificate) -> int:
    return int(certificate.not_valid_after_utc.timestamp() * 1000)


def _topics(certificate: x509.Certificate) -> frozenset[str]:
    found = {str(a.value) for a in certificate.subject.get_attributes_for_oid(NameOID.USER_ID)}
    try:
        extension = certificate.extensions.get_extension_for_oid(_TOPICS).value
    except (x509.ExtensionNotFound, ValueError):
        return frozenset(found)
    if isinstance(extension, x509.UnrecognizedExtension):
        found |= _strings(extension.value)
    return frozenset(found)


def _strings(der: bytes) -> set[str]:
    """Collect the UTF8Strings of a DER value; they tell topics from what describes them by their dots."""
    found, at = set(), 0
    while at + 2 <= len(der):
        tag, length = der[at], der[at + 1]
        at += 2
        if length >= 0x80:
            octets = length & 0x7F
            length = int.from_bytes(der[at : at + octets], "big")
            at += octets
        if tag == _UTF8_STRING:
            text = der[at : at + length].decode("utf-8", "replace")
            found |= {text} if "." in text else set()
            at += length
        elif not tag & 0x20:  # a constructed value is entered, any other one passed over
            at += length
    return found
