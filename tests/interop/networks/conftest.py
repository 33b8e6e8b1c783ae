"""Networks for the tests of this folder. Where there can be none they are left out, and in CI they fail."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from tests.interop.networks.outdoors import Outdoors, why_not
from tests.interop.peers.lab import Lab
from tests.interop.peers.network import Network


@pytest.fixture
async def outdoors() -> AsyncIterator[Outdoors]:
    """Two networks with weather between them; the test is in the near one."""
    reason = why_not()
    if reason:
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    made = Outdoors()
    try:
        await made.start()
        yield made
    finally:
        await made.stop()


@pytest.fixture
async def lab(
    outdoors: Outdoors, network: Network, authority: trustme.CA, tmp_path: Path
) -> AsyncIterator[Lab]:
    """Where a test makes its peers, in the near network."""
    made = Lab(network, authority, tmp_path)
    yield made
    await made.stop()
