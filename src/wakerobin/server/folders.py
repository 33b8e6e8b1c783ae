"""Where the server keeps things: data, and apart from it the key to its secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wakerobin.ports.options import StoreOptions
from wakerobin.settings import config_folder, data_folder


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
