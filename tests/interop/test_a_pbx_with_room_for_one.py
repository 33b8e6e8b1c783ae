"""Kamailio with `max_contacts` 1 and a desk phone in the only place: what is made of its 503."""

from __future__ import annotations

from tests.interop.peers.lab import Lab
from tests.interop.peers.network import until
from tests.interop.peers.probe import Probe
from tests.interop.test_binding_at_kamailio import pbx_of, server_at
from wakerobin.core.values import BindingState
from wakerobin.services.fleet import TrialVerdict


async def test_who_enrols_is_told_that_there_is_no_room_and_is_taken_when_there_is(lab: Lab) -> None:
    pbx = await pbx_of(lab, max_contacts=1)
    desk = Probe(pbx.ip, pbx.place, "alice", "pw-alice")
    async with server_at(lab, pbx) as server:
        await desk.authenticated()
        registration = await server.enrol()
        result = await server.tried(registration)
        assert (result.verdict, result.code) == (TrialVerdict.UNREACHABLE, "registrar-full")
        assert "no more devices" in result.reason
        assert await pbx.registers_seen("alice") == 4, "each has asked twice, the second time with its answer"
        assert [contact.uri for contact in await pbx.contacts("alice")] == [desk.contact]
        await desk.authenticated(expires=0)
        account = await server.prove()
        assert account.proven
    desk.close()


async def test_an_account_that_lost_its_place_keeps_its_hashes_and_comes_back(lab: Lab) -> None:
    pbx = await pbx_of(lab, max_contacts=1)
    desk = Probe(pbx.ip, pbx.place, "alice", "pw-alice")
    async with server_at(lab, pbx) as server:
        account = await server.prove()
        kept = server.store.read(lambda tx: tx.accounts.credentials(account.id))
        await pbx.forget_contacts("alice")
        await desk.authenticated()
        server.fleet.refresh_now(account.id)
        await server.wait_state(BindingState.REFUSED, "registrar-full")
        await until(
            lambda: (
                [one.name for one in server.store.read(lambda tx: tx.alarms.all())]
                == [f"one-contact:{pbx.address}"]
            ),
            what="the alarm",
        )
        assert server.store.read(lambda tx: tx.accounts.credentials(account.id)) == kept
        await desk.authenticated(expires=0)
        server.fleet.refresh_now(account.id)
        await server.wait_state(BindingState.REGISTERED)
        await until(lambda: not server.store.read(lambda tx: tx.alarms.all()), what="the end of the alarm")
    desk.close()
