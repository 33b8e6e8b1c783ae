"""Runs the scenes and says by the exit status whether everything that they promise happened."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Final

from wakerobin import log
from wakerobin.demo.call import call_a_sleeping_phone
from wakerobin.demo.page import Page
from wakerobin.demo.week import live_a_week

LONGEST_S: Final = 40.0
"""Ten times what a desktop needs: a small board, or a busy machine, is no failure."""

Scene = Callable[[Page], Awaitable[None]]


def main() -> int:
    """Play both scenes. 0: every step happened; 1: one did not."""
    page = Page.on(sys.stdout, os.environ)
    log.configure("error")
    began = time.monotonic()
    try:
        asyncio.run(_play(page, (call_a_sleeping_phone, live_a_week)))
    except KeyboardInterrupt:
        return 1
    if page.is_unread:
        # The interpreter must not stumble at its exit over what nobody reads.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return _verdict(page, time.monotonic() - began)


def _verdict(page: Page, seconds: float) -> int:
    page.line()
    steps = page.kept + len(page.broken)
    if page.broken:
        verdict = f"{len(page.broken)} of {steps} steps did not happen."
        page.line(page.painted(verdict, "red", "bold"))
        return 1
    page.line(page.painted(f"All {steps} steps happened, in {seconds:.1f} s.", "green", "bold"))
    return 0


async def _play(page: Page, scenes: tuple[Scene, ...]) -> None:
    deadline = asyncio.get_running_loop().time() + LONGEST_S
    for scene in scenes:
        if page.is_unread:
            return
        name = scene.__name__.replace("_", " ").capitalize()
        try:
            async with asyncio.timeout_at(deadline):
                await scene(page)
        except Exception as fault:  # whatever went wrong, the other scene is worth seeing
            page.promise(name, is_kept=False, why=_told(fault))


def _told(fault: BaseException) -> str:
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return str(fault) or type(fault).__name__
