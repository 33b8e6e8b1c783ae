"""Every client that we can get, woken by calls through Asterisk: the cells of docs/interop.md."""

from __future__ import annotations

import pytest

from tests.interop.matrix.cells import AT_ASTERISK, TRANSFERS_AT_ASTERISK, Cell, Transfer
from tests.interop.matrix.journey import transferred, travel
from tests.interop.matrix.stage import Stage
from tests.interop.peers.lab import Lab

pytestmark = pytest.mark.asyncio(loop_scope="module")

PBX = "Asterisk"


@pytest.mark.parametrize("cell", AT_ASTERISK, ids=str)
async def test_a_woken_phone_answers_holds_and_hangs_up(stage: Stage, lab: Lab, cell: Cell) -> None:
    await travel(stage, lab, cell)


@pytest.mark.parametrize("transfer", TRANSFERS_AT_ASTERISK, ids=str)
async def test_one_party_sends_the_other_to_a_third(stage: Stage, lab: Lab, transfer: Transfer) -> None:
    await transferred(stage, lab, transfer)
