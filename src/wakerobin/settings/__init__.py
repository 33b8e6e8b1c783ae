"""The configuration: `wakerobin.toml`, `WAKEROBIN_…` and flags become `ports.options.Options`."""

from wakerobin.settings.durations import parse_duration
from wakerobin.settings.sources import config_folder, data_folder, default_file, load

__all__ = ["config_folder", "data_folder", "default_file", "load", "parse_duration"]
