"""`wakerobin demo`: one woken call over sockets, one life over a virtual clock, on this machine alone."""

from wakerobin.demo.running import main

__all__ = ["main"]
