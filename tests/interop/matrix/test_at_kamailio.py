"""Every client that we can get, woken by calls through Kamailio: the cells of docs/interop.md."""

from __future__ import annotations

import pytest

from tests.interop.matrix.cells import AT_KAMAILIO, ATTENDED, TRANSFERS_AT_KAMAILIO, Cell, Transfer
from tests.interop.matrix.journey import joined, refused, transferred, travel
from tests.interop.matrix.stage import Stage
from tests.interop.peers.lab import Lab

pytestmark = pytest.mark.asyncio(loop_scope="module")

PBX = "Kamailio"
LIMITS = [cell for cell in AT_KAMAILIO if cell.limit]
WORKING = [cell for cell in AT_KAMAILIO if not cell.limit]


@pytest.mark.parametrize("cell", WORKING, ids=str)
async def test_a_woken_phone_answers_holds_and_hangs_up(stage: Stage, lab: Lab, cell: Cell) -> None:
    await travel(stage, lab, cell)


@pytest.mark.parametrize("cell", LIMITS, ids=str)
async def test_a_phone_that_knows_no_sha256_gives_up_by_itself(stage: Stage, lab: Lab, cell: Cell) -> None:
    await refused(stage, lab, cell)


@pytest.mark.parametrize("transfer", TRANSFERS_AT_KAMAILIO, ids=str)
async def test_one_party_sends_the_other_to_a_third(stage: Stage, lab: Lab, transfer: Transfer) -> None:
    await transferred(stage, lab, transfer)


@pytest.mark.parametrize("transfer", ATTENDED, ids=str)
async def test_one_party_of_two_calls_joins_the_others(stage: Stage, lab: Lab, transfer: Transfer) -> None:
    await joined(stage, lab, transfer)
