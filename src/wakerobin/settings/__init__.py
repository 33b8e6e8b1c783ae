"""The configuration: `wakerobin.toml`, `WAKEROBIN_…` and flags become `ports.options.Options`."""

from wakerobin.settings.durations import parse_duration
from wakerobin.settings.sources import default_file, load

__all__ = ["default_file", "load", "parse_duration"]
