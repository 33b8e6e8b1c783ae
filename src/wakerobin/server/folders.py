"""Where the server keeps things: data, and apart from it the key to its secrets."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from wakerobin.ports.options import StoreOptions
from wakerobin.settings import config_folder, data_folder

_LONGEST_NAME = 107
"""Octets of the name of a Unix socket, without the final zero (unix(7))."""


@contextlib.contextmanager
def socket_name(path: Path) -> Iterator[str]:
    """Give a name by which a Unix socket can be bound or reached: Linux takes no long ones."""
    if len(os.fsencode(path)) <= _LONGEST_NAME:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


@dataclass(frozen=True, slots=True)
class Folders:
    """The data folder, the vault's key, and the socket of the command line."""

    data: Path
    key_file: Path

    @property
    def socket(self) -> Path:
        """Return the socket on which a running server talks to the command line."""
        return self.data / "wakerobin.sock"

    @classmethod
    def of(cls, options: StoreOptions, environ: Mapping[str, str]) -> Folders:
        """Return the configured folders, else the platform's."""
        data = Path(options.data_dir) if options.data_dir else data_folder(environ)
        key = Path(options.key_file) if options.key_file else config_folder(environ) / "vault.key"
        return cls(data, key)
