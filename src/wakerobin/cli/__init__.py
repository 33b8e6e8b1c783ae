"""The command line. Exit codes: 0 done, 1 not found or failed, 2 usage or configuration, 3 nobody to ask."""

from wakerobin.cli.commands import main

__all__ = ["main"]
