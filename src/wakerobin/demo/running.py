"""Runs the scenes and says by the exit status whether everything that they promise happened."""

from __future__ import annotations

import asyncio
import os
import sys

from wakerobin import log
from wakerobin.demo.page import Page
from wakerobin.demo.week import live_a_week

LONGEST_S = 15.0


def main() -> int:
    """Play both scenes. 0: every step happened; 1: one did not."""
    page = Page.on(sys.stdout, os.environ)
    log.configure("error")
    asyncio.run(_play(page))
    return 1 if page.broken else 0


async def _play(page: Page) -> None:
    async with asyncio.timeout(LONGEST_S):
        await live_a_week(page)
