"""Secrets at rest: AES-256-GCM, each value bound to its table, column and row.

A sealed value is key id (4 octets), nonce (12), ciphertext and tag (16). The place is authenticated with
it, so that a sealed value copied into another row opens nowhere. The key ring is a file of its own,
outside the data folder: who has a copy of the database alone has no secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import stat
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wakerobin.core.errors import ConfigurationError, WakerobinError

_KEY_OCTETS = 32
_ID_OCTETS = 4
_IDS = 1 << 8 * _ID_OCTETS
_NONCE_OCTETS = 12
_TAG_OCTETS = 16
_HASH_OCTETS = 16

Entropy = Callable[[int], bytes]


class SealBrokenError(WakerobinError):
    """A sealed value does not open: another key sealed it, or it stood in another row, or it is damaged."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys: `active` seals, all of them open. `lookup` finds sealed values and never changes."""

    active: int
    keys: dict[int, bytes] = field(repr=False)
    lookup: bytes = field(repr=False)

    def __hash__(self) -> int:
        return hash(self.active)


class Vault:
    """Seals and opens. Safe to use from several threads."""

    def __init__(self, ring: KeyRing, entropy: Entropy = os.urandom) -> None:
        self._active = ring.active.to_bytes(_ID_OCTETS, "big")
        self._ciphers = {id_.to_bytes(_ID_OCTETS, "big"): AESGCM(key) for id_, key in ring.keys.items()}
        self._lookup = ring.lookup
        self._entropy = entropy

    def seal(self, plain: bytes, place: str) -> bytes:
        """Return `plain` sealed for a place, written `table:column:row`."""
        nonce = self._entropy(_NONCE_OCTETS)
        cipher = self._ciphers[self._active]
        return self._active + nonce + cipher.encrypt(nonce, plain, place.encode())

    def unseal(self, sealed: bytes, place: str) -> bytes:
        """Return what was sealed for this place. Raises SealBrokenError."""
        cipher = self._ciphers.get(sealed[:_ID_OCTETS])
        if cipher is None or len(sealed) < _ID_OCTETS + _NONCE_OCTETS + _TAG_OCTETS:
            raise SealBrokenError(f"{place} was not sealed by any key of this key ring")
        nonce, body = sealed[_ID_OCTETS:][:_NONCE_OCTETS], sealed[_ID_OCTETS + _NONCE_OCTETS :]
        try:
            return cipher.decrypt(nonce, body, place.encode())
        except InvalidTag:
            raise SealBrokenError(f"{place} was sealed by another key or for another row") from None

    def lookup(self, text: str) -> bytes:
        """Return a keyed hash by which a sealed text is found again."""
        return hashlib.blake2b(
            text.encode("utf-8", "surrogatepass"), key=self._lookup, digest_size=_HASH_OCTETS
        ).digest()


def create(path: Path, entropy: Entropy = os.urandom) -> KeyRing:
    """Make a key ring with one key and write it, readable by its owner only.

    Where another process was quicker, its ring is returned. Raises ConfigurationError.
    """
    ring = KeyRing(1, {1: entropy(_KEY_OCTETS)}, entropy(_KEY_OCTETS))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        written = _write_beside(path, _render(ring))
        try:
            os.link(written, path)  # unlike a rename, this never replaces a ring that is there
        except FileExistsError:
            return load(path)
        finally:
            written.unlink()
        _sync_folder(path.parent)
    except OSError as error:
        raise ConfigurationError(
            f"[store] key_file: the vault's key cannot be written to {path}: {error.strerror}. "
            "Name a file in a folder that the server may write to, outside its data folder."
        ) from error
    return ring


def load(path: Path) -> KeyRing:
    """Read a key ring. Raises ConfigurationError; FileNotFoundError where there is none."""
    try:
        with path.open("rb") as file:
            _check_owner(path, os.fstat(file.fileno()))
            text = file.read()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigurationError(
            f"[store] key_file: {path} cannot be read: {error.strerror}. "
            "Make it readable for the user that runs the server."
        ) from error
    try:
        return _parse(text)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"[store] key_file: {path} is not a key ring ({error}). Restore the file from its backup; "
            "without it the stored secrets cannot be read."
        ) from error


def _check_owner(path: Path, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    # A file of another owner (a systemd credential, a secret mounted by root) may be given to us by its
    # group; nobody else may read it either way.
    forbidden = 0o077 if status.st_uid == os.geteuid() else 0o037
    if mode & forbidden:
        raise ConfigurationError(
            f"[store] key_file: others may read {path} (mode {mode:04o}), which opens every stored secret. "
            f"Run `chmod 600 {path}`; if others had access to it, make a new key."
        )


def _render(ring: KeyRing) -> str:
    def text(key: bytes) -> str:
        return base64.b64encode(key).decode()

    keys = "".join(f'{id_} = "{text(key)}"\n' for id_, key in ring.keys.items())
    return (
        "# The keys of Wakerobin's vault. Whoever has this file and the database has every stored secret;\n"
        "# without this file nobody has. Keep a copy, and never in the same backup as the database.\n"
        f'active = {ring.active}\nlookup = "{text(ring.lookup)}"\n\n[keys]\n{keys}'
    )


def _parse(text: bytes) -> KeyRing:
    content = tomllib.loads(text.decode())
    keys = {int(id_): _key(value) for id_, value in content["keys"].items()}
    active = content["active"]
    if not all(0 < id_ < _IDS for id_ in keys):
        raise ValueError("the number of a key is out of range")
    if active not in keys:
        raise ValueError(f"there is no active key {active}")
    return KeyRing(active, keys, _key(content["lookup"]))


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("a key is not base64") from error
    if len(key) != _KEY_OCTETS:
        raise ValueError(f"a key has {len(key)} octets instead of {_KEY_OCTETS}")
    return key


def _write_beside(path: Path, text: str) -> Path:
    beside = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return beside


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
