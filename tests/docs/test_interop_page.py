"""docs/interop.md tells of exactly what the suite runs."""

from __future__ import annotations

from tests.interop.matrix.cells import BROWSERS, CELLS, CLIENTS, PBXS, PHONES, TRANSFERS
from tests.interop.matrix.page import PAGE, tables


def test_the_page_shows_every_cell_and_that_it_came_to_what_the_suite_asserts() -> None:
    assert tables() in PAGE.read_text()


def test_every_client_meets_every_pbx_over_every_transport() -> None:
    seen = {(cell.client, cell.pbx, cell.phone, cell.trunk) for cell in CELLS if not cell.limit}
    for pbx in PBXS:
        for trunk in ("udp", "tcp", "tls"):
            for phone in ("udp", "tcp", "tls"):
                assert all((client, pbx, phone, trunk) in seen for client in PHONES)
            assert all((client, pbx, "wss", trunk) in seen for client in BROWSERS)


def test_no_two_cells_share_an_account() -> None:
    users = [(cell.pbx, cell.user) for cell in CELLS] + [(one.pbx, one.user) for one in TRANSFERS]
    assert len(set(users)) == len(users)


def test_every_client_sends_a_caller_elsewhere_at_every_pbx() -> None:
    senders = {(one.client, one.pbx) for one in TRANSFERS if one.by_phone and not one.attended}
    assert senders == {(client, pbx) for client in CLIENTS for pbx in PBXS}
