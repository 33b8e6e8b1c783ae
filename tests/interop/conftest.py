"""Fixtures for tests with real peers. When one fails, its report carries the logs of its peers."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest
import trustme

from tests.interop.peers.lab import Lab
from tests.interop.peers.network import Network


@pytest.fixture(scope="session")
def network() -> Network:
    """The loopback addresses of this pytest worker."""
    return Network(int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")))


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """The certificate authority that every peer of this run trusts."""
    return trustme.CA()


@pytest.fixture
async def lab(network: Network, authority: trustme.CA, tmp_path: Path) -> AsyncIterator[Lab]:
    """Where a test makes its peers; all of them end with it."""
    made = Lab(network, authority, tmp_path)
    yield made
    await made.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the peers' logs while the peers still live."""
    report = yield
    found = getattr(item, "funcargs", {})
    labs = [found.get("lab"), getattr(found.get("stage"), "lab", None)]
    if report.failed and report.when != "teardown":
        for lab in labs:
            if isinstance(lab, Lab):
                report.sections.extend((f"log of {name}", text) for name, text in lab.logs())
    return report
