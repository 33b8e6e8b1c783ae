"""The fleet at a real registrar: Kamailio over real sockets, in real time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.interop.peers.kamailio import Contact, Kamailio
from tests.interop.peers.lab import Lab
from tests.interop.peers.network import until
from tests.interop.peers.probe import Probe
from tests.system.fleet.world import options, policy, write_enrolment
from wakerobin.core.addresses import DestinationPolicy
from wakerobin.core.binding import Conversation, Intent, Looked, Outcome
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.timers import Timers as SipTimers
from wakerobin.core.values import (
    Account,
    Algorithm,
    BindingState,
    Credentials,
    Ended,
    PushRegistration,
    Secret,
    Transport,
)
from wakerobin.net.clock import SystemClock
from wakerobin.net.endpoint import Endpoint
from wakerobin.net.resolver import Resolver
from wakerobin.net.wheel import Wheel
from wakerobin.services.dispatch.transactions import Transactions
from wakerobin.services.fleet import Fleet, TrialResult, TrialVerdict
from wakerobin.services.fleet.cycle import binding_request
from wakerobin.services.lives import Lives
from wakerobin.testing.memory import MemoryStore

USERS = {"alice": "pw-alice", "bob": "pw-bob"}


class Server:
    """The parts of the server that keep bindings, over sockets of their own."""

    def __init__(self, place: tuple[str, int], pbx: Kamailio, t1: float, **sip: Any) -> None:
        loop = asyncio.get_running_loop()
        listen = (f"udp:{place[0]}:{place[1]}", f"tcp:{place[0]}:{place[1]}")
        configured = options(listen=listen, **sip)
        clock, self._wheel = SystemClock(loop), Wheel(loop)
        policy_ = DestinationPolicy(named=frozenset({pbx.ip}))
        self.place, self.pbx, self.clock = place, pbx, clock
        self.store = MemoryStore()
        self.endpoint = Endpoint(configured.sip, policy_, clock, self._wheel)
        self.transactions = Transactions(self.endpoint, self._wheel, clock, os.urandom, SipTimers(t1=t1))
        self.lives = Lives(self.store, clock, lambda _app: policy(), lambda _id: False)
        self.fleet = Fleet(
            self.store,
            clock,
            self._wheel,
            self.transactions,
            self.endpoint,
            Resolver(clock),
            configured,
            self.lives,
            os.urandom,
            os.urandom(32),
        )
        self.transactions.on_flow_closed = lambda flow, _reason: self.fleet.flow_closed(flow)
        self._numbers = itertools.count(1)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self.endpoint.start(self.transactions)
        task = asyncio.create_task(self.fleet.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await self.endpoint.close()
            self._wheel.close()

    async def enrol(
        self, user: str = "alice", password: str = "pw-alice", transport: Transport = Transport.UDP
    ) -> PushRegistration:
        number = next(self._numbers)
        return await self.store.transact(
            lambda tx: write_enrolment(
                tx,
                self.lives,
                f"sip:{user}@pbx.test",
                number,
                self.clock.now(),
                Credentials(user, password=Secret(password)),
                registrar=self.pbx.address,
                transport=transport,
            )
        )

    async def tried(self, registration: PushRegistration) -> TrialResult:
        async with asyncio.timeout(10):
            return await self.fleet.try_credentials(registration.id)

    async def prove(self, transport: Transport = Transport.UDP) -> Account:
        result = await self.tried(await self.enrol(transport=transport))
        assert result.verdict is TrialVerdict.PROVEN, result
        return self.account

    @property
    def account(self) -> Account:
        return self.store.read(lambda tx: tx.accounts.by_aor("sip:alice@pbx.test"))[0]

    @property
    def uri(self) -> str:
        account = self.account
        transport = account.transport or Transport.UDP
        return f"sip:{account.contact_user}@{self.place[0]}:{self.place[1]};transport={transport}"

    async def contact(self) -> Contact | None:
        """What the PBX holds of us."""
        return next((one for one in await self.pbx.contacts("alice") if one.uri == self.uri), None)

    async def wait_contact(self, *, newer_than: int = 0, within: float = 10.0) -> Contact:
        async with asyncio.timeout(within):
            while True:
                found = await self.contact()
                if found is not None and found.cseq > newer_than:
                    return found
                await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.05)

    async def wait_state(self, state: BindingState, code: str = "", within: float = 10.0) -> None:
        await until(
            lambda: (
                (status := self.fleet.status(self.account.id)).state is state and status.reason_code == code
            ),
            within=within,
            what=f"{state} {code}",
        )


@contextlib.asynccontextmanager
async def server_at(lab: Lab, pbx: Kamailio, t1: float = 0.5, **sip: Any) -> AsyncIterator[Server]:
    server = Server(lab.place(), pbx, t1, **sip)
    async with server.running():
        yield server


async def pbx_of(lab: Lab, **settings: Any) -> Kamailio:
    return await lab.start(Kamailio(*lab.place(), USERS, **settings))


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
@pytest.mark.parametrize("sha256", [False, True])
async def test_credentials_are_proven_and_the_binding_stands(
    lab: Lab, transport: Transport, *, sha256: bool
) -> None:
    pbx = await pbx_of(lab, sha256=sha256)
    async with server_at(lab, pbx) as server:
        account = await server.prove(transport)
        contact = await server.wait_contact()
        assert account.realm == "pbx.test"
        assert account.algorithm is (Algorithm.SHA_256 if sha256 else Algorithm.MD5)
        assert contact.instance is not None
        assert contact.instance.strip('"') == f"<{account.instance}>"
        assert 590 <= contact.expires <= 600
        assert await pbx.registers_seen("alice") == 2


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
async def test_a_refresh_takes_one_round_trip(lab: Lab, transport: Transport) -> None:
    pbx = await pbx_of(lab, growing_nc=True)
    async with server_at(lab, pbx) as server:
        account = await server.prove(transport)
        for seen in (3, 4, 5):
            before = await server.wait_contact()
            server.fleet.refresh_now(account.id)
            await server.wait_contact(newer_than=before.cseq)
            assert await pbx.registers_seen("alice") == seen
        assert len(await pbx.contacts("alice")) == 1


async def test_bindings_are_refreshed_in_time(lab: Lab) -> None:
    pbx = await pbx_of(lab)
    await pbx.option("min_expires", 1)
    async with server_at(lab, pbx, register_expires=4000) as server:
        await server.prove()
        cseq = (await server.wait_contact()).cseq
        for _ in range(3):
            cseq = (await server.wait_contact(newer_than=cseq, within=4.0)).cseq


async def test_423_is_followed(lab: Lab) -> None:
    pbx = await pbx_of(lab)
    await pbx.option("min_expires", 900)
    async with server_at(lab, pbx) as server:
        await server.prove()
        assert 890 <= (await server.wait_contact()).expires <= 900


async def test_a_shorter_grant_than_asked_is_what_counts(lab: Lab) -> None:
    pbx = await pbx_of(lab, max_expires=1800)
    async with server_at(lab, pbx, register_expires=99_999_000) as server:
        account = await server.prove()
        left = server.fleet.status(account.id).expires_at - server.clock.now()
        assert 1_790_000 <= left <= 1_800_000


async def test_our_grant_is_read_beside_a_desk_phone_with_another(lab: Lab) -> None:
    pbx = await pbx_of(lab, max_expires=86_400)
    desk = Probe(pbx.ip, pbx.place, "alice", "pw-alice")
    async with server_at(lab, pbx, register_expires=120_000) as server:
        await desk.authenticated(expires=7200)
        account = await server.prove()
        assert server.fleet.status(account.id).expires_at - server.clock.now() <= 120_000
    desk.close()


async def test_one_time_nonces_are_followed(lab: Lab) -> None:
    pbx = await pbx_of(lab, one_time_nonce=True)
    async with server_at(lab, pbx) as server:
        account = await server.prove()
        before = await server.wait_contact()
        server.fleet.refresh_now(account.id)
        await server.wait_contact(newer_than=before.cseq)
        await server.wait_state(BindingState.REGISTERED)
        assert await pbx.registers_seen("alice") == 4


@pytest.mark.parametrize("says_stale", [1, 0])
async def test_an_old_nonce_is_replaced_whether_it_is_called_stale_or_not(lab: Lab, says_stale: int) -> None:
    pbx = await pbx_of(lab, nonce_expire=1)
    await pbx.option("stale", says_stale)
    await pbx.option("min_expires", 1)
    async with server_at(lab, pbx, register_expires=5000) as server:
        await server.prove()
        cseq = (await server.wait_contact()).cseq
        await server.wait_contact(newer_than=cseq, within=6.0)
        await server.wait_state(BindingState.REGISTERED)
        assert await pbx.registers_seen("alice") == 4


async def test_a_nonce_that_is_always_stale_does_not_make_a_loop(lab: Lab) -> None:
    pbx = await pbx_of(lab)
    await pbx.fail("alice", "stale")
    async with server_at(lab, pbx) as server:
        result = await server.tried(await server.enrol())
        assert (result.verdict, result.code) == (TrialVerdict.UNREACHABLE, "registrar-unusable")
        assert await pbx.registers_seen("alice") <= 4


@pytest.mark.parametrize("status", [403, 0])
async def test_a_wrong_password_is_tried_once(lab: Lab, status: int) -> None:
    pbx = await pbx_of(lab)
    await pbx.option("badpw", status)
    async with server_at(lab, pbx) as server:
        result = await server.tried(await server.enrol(password="wrong"))
        assert (result.verdict, result.code) == (TrialVerdict.REFUSED, "credentials-refused")
        assert await pbx.registers_seen("alice") == 2


@pytest.mark.parametrize("how", ["403", "auth403", "404"])
async def test_a_refused_account_keeps_its_credentials(lab: Lab, how: str) -> None:
    pbx = await pbx_of(lab)
    async with server_at(lab, pbx) as server:
        account = await server.prove()
        kept = server.store.read(lambda tx: tx.accounts.credentials(account.id))
        await pbx.fail("alice", how)
        server.fleet.refresh_now(account.id)
        code = "account-unknown" if how == "404" else "registrar-forbids"
        await server.wait_state(BindingState.REFUSED, code)
        await until(lambda: server.account.state is BindingState.REFUSED, what="the stored state")
        assert server.store.read(lambda tx: tx.accounts.credentials(account.id)) == kept
        await pbx.fail("alice", None)
        server.fleet.refresh_now(account.id)
        await server.wait_state(BindingState.REGISTERED)


async def test_503_with_retry_after_is_waited_out(lab: Lab) -> None:
    pbx = await pbx_of(lab)
    async with server_at(lab, pbx) as server:
        account = await server.prove()
        before = await server.wait_contact()
        await pbx.fail("alice", "once:503:1")
        server.fleet.refresh_now(account.id)
        await server.wait_state(BindingState.UNREACHABLE, "registrar-busy")
        await server.wait_contact(newer_than=before.cseq, within=4.0)
        await server.wait_state(BindingState.REGISTERED)


async def test_silence_is_noticed_and_its_end_too(lab: Lab) -> None:
    pbx = await pbx_of(lab)
    async with server_at(lab, pbx, t1=0.02) as server:
        account = await server.prove()
        pbx.freeze()
        server.fleet.refresh_now(account.id)
        await server.wait_state(BindingState.UNREACHABLE, "registrar-unreachable")
        pbx.thaw()
        server.fleet.refresh_now(account.id)
        await server.wait_state(BindingState.REGISTERED)


async def test_a_pbx_that_restarts_has_us_back(lab: Lab) -> None:
    pbx = await pbx_of(lab)
    await pbx.option("min_expires", 1)
    async with server_at(lab, pbx, register_expires=4000) as server:
        await server.prove()
        await server.wait_contact()
        await pbx.restart()
        await pbx.option("min_expires", 1)
        await server.wait_contact(within=5.0)


async def test_a_tcp_connection_that_ends_takes_no_account_with_it(lab: Lab) -> None:
    pbx = await pbx_of(lab)
    async with server_at(lab, pbx) as server:
        account = await server.prove(Transport.TCP)
        await server.wait_contact()
        await pbx.restart()
        server.fleet.refresh_now(account.id)
        await server.wait_contact(within=5.0)


async def test_an_un_register_leaves_the_desk_phone_alone(lab: Lab) -> None:
    pbx = await pbx_of(lab)
    desk = Probe(pbx.ip, pbx.place, "alice", "pw-alice")
    async with server_at(lab, pbx) as server:
        await desk.authenticated()
        registration = await server.enrol()
        await server.tried(registration)
        assert len(await pbx.contacts("alice")) == 2
        await server.lives.end(registration.id, Ended.DELETED)
        await until(
            lambda: server.store.read(lambda tx: tx.binding_work.unregisters()) == [],
            what="the un-REGISTER to be done",
        )
        assert [contact.uri for contact in await pbx.contacts("alice")] == [desk.contact]
    desk.close()


async def test_a_look_says_whether_we_are_there_and_who_else_is(lab: Lab) -> None:
    pbx = await pbx_of(lab)
    desk = Probe(pbx.ip, pbx.place, "alice", "pw-alice")
    async with server_at(lab, pbx) as server:
        await desk.authenticated()
        await server.prove()
        assert await look(server) == (True, 1)
        await pbx.remove_contact("alice", server.uri)
        assert await look(server) == (False, 1)
    desk.close()


async def look(server: Server) -> tuple[bool, int]:
    """Send a REGISTER without Contact and return what it says: are we there, how many others."""
    account = server.account
    credentials = server.store.read(lambda tx: tx.accounts.credentials(account.id))
    assert credentials is not None
    conversation = Conversation(
        binding_request(account, server.uri, os.urandom(8).hex()),
        credentials,
        intent=Intent.LOOK,
        expires_s=600,
        first_cseq=1,
        entropy=os.urandom,
    )
    flow = server.endpoint.flow_to(account.transport or Transport.UDP, *server.pbx.place)
    end: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def answered(response: Message) -> None:
        step = conversation.take(response)
        if isinstance(step, Message):
            server.transactions.request(step, flow, answered, failed)
        elif step is not None:
            end.set_result(step)

    def failed(reason: str) -> None:
        end.set_exception(AssertionError(reason))

    server.transactions.request(conversation.begin(), flow, answered, failed)
    async with asyncio.timeout(5):
        outcome = await end
    assert isinstance(outcome, Looked), outcome
    return outcome.is_there, outcome.others
