"""Fixtures of the matrix: a stage for all cells of a module, and a laboratory for each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import trustme

from tests.interop.matrix.stage import Stage, a_stage
from tests.interop.peers.debian import NoMirrorError
from tests.interop.peers.lab import Lab
from tests.interop.peers.network import Network


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    request: pytest.FixtureRequest,
    network: Network,
    authority: trustme.CA,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Stage]:
    """The stage with the module's `PBX`; skipped, in words, where that cannot be had."""
    lab = Lab(network, authority, tmp_path_factory.mktemp("stage"))
    try:
        yield await a_stage(lab, request.module.PBX)
    except NoMirrorError as nowhere:
        pytest.skip(f"without Asterisk: {nowhere}")
    finally:
        await lab.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def lab(network: Network, authority: trustme.CA, tmp_path: Path) -> AsyncIterator[Lab]:
    """Where a cell makes its clients; they end with it."""
    made = Lab(network, authority, tmp_path)
    yield made
    await made.stop()
