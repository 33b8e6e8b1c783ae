"""Private keys of P-256 out of files, as Apple gives them out and Web Push takes them."""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from wakerobin.core.errors import ConfigurationError


def read_p256_key(file: str, key: str, right: str, *, unlocked: str) -> ec.EllipticCurvePrivateKey:
    """Load the file named by the setting `key`; ConfigurationError says what is wrong with it.

    `right` says which file would do, `unlocked` what to do about one that has a password.
    """
    if not file:
        raise ConfigurationError(f"{key} is empty; {right}")
    try:
        octets = Path(file).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{key}: {file} cannot be read ({error.strerror}); {right}") from None
    try:
        private = load_pem_private_key(octets, password=None)
    except TypeError:
        raise ConfigurationError(f"{key}: {file} is locked with a password; {unlocked}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError(f"{key}: {file} holds no private key in PEM; {right}") from None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != "secp256r1":
        raise ConfigurationError(f"{key}: {file} holds another kind of key than P-256; {right}")
    return private
