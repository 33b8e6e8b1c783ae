"""Alice and Bob, two transaction layers on one network in memory."""

from __future__ import annotations

import pytest

from tests.system.dispatch.memory_network import (
    ALICE,
    BOB,
    Network,
    Side,
    side,
)
from wakerobin.testing.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def network(clock: ManualClock) -> Network:
    return Network(clock)


@pytest.fixture
def alice(network: Network) -> Side:
    return side(network, ALICE, 1)


@pytest.fixture
def bob(network: Network) -> Side:
    return side(network, BOB, 2)
