"""A server with its SIP services, a PBX and phones, all in memory under a clock moved by hand.

Everything is real but the sockets and the push service: `Pushes` takes every call push and shows it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from wakerobin.core.call import CallPolicy
from wakerobin.core.pushes import Accepted, Outcome, PushMessage
from wakerobin.core.sip.message import Message, parse
from wakerobin.core.sip.timers import Timers as SipTimers
from wakerobin.core.tokens import TokenKeys
from wakerobin.core.values import (
    Account,
    Credentials,
    Flow,
    Life,
    PhoneFlow,
    Provider,
    Purpose,
    PushRegistration,
    PushTarget,
    Secret,
)
from wakerobin.ports.clock import Timers
from wakerobin.ports.options import AppOptions, LifetimeOptions, Options, SipOptions
from wakerobin.ports.store import Transaction, Trial
from wakerobin.services.dispatch.front import Front
from wakerobin.services.dispatch.transactions import Transactions
from wakerobin.services.fleet import Fleet
from wakerobin.services.guests import Guests, Sponsor
from wakerobin.services.lives import Lives
from wakerobin.services.lives.context import policy_of
from wakerobin.services.messages import MessageLimits, Messages
from wakerobin.services.phones import Phones
from wakerobin.services.phones.proof import Doorkeeper
from wakerobin.services.phones.routes import Address, RecordRoutes
from wakerobin.services.relay import Relay
from wakerobin.services.relay.ways import Ways
from wakerobin.services.switchboard import Switchboard
from wakerobin.services.switchboard.exchange import Exchange
from wakerobin.services.switchboard.farewells import Farewells
from wakerobin.services.switchboard.summons import Summons
from wakerobin.testing.clock import ManualClock, ManualTimer
from wakerobin.testing.memory import MemoryStore
from wakerobin.testing.names import Names
from wakerobin.testing.pbx import FakePbx
from wakerobin.testing.phone import FakePhone
from wakerobin.testing.wire import Wire, WireEndpoint
from wakerobin.texts import Catalogues

T = TypeVar("T")

SECOND = 1000
MINUTE = 60 * SECOND
US = ("198.51.100.1", 5060)
PBX = ("198.51.100.9", 5060)
DOMAIN = "pbx.test"
APP = "softphone"
KEY = b"the secret key of this server"
TEXTS = Catalogues()


def entropy(seed: str) -> Callable[[int], bytes]:
    """Return octets that differ from call to call and are the same in each run."""
    count = itertools.count()

    def give(octets: int) -> bytes:
        return hashlib.shake_128(f"{seed} {next(count)}".encode()).digest(octets)

    return give


class Pushes:
    """The courier's door for calls: every push is shown, and accepted unless `outcome` says otherwise.

    An `outcome` of None never comes.
    """

    def __init__(self) -> None:
        self.sent: list[PushMessage] = []
        self.over: list[str] = []
        self.outcome: Callable[[PushMessage], Outcome | None] = lambda _message: Accepted()

    def call_now(
        self,
        messages: list[PushMessage],
        on_outcome: Callable[[PushMessage, Outcome], None],
        deadline: float,
    ) -> None:
        self.sent += messages
        for message in messages:
            outcome = self.outcome(message)
            if outcome is not None:
                asyncio.get_running_loop().call_soon(on_outcome, message, outcome)

    def call_over(self, call_id: str) -> None:
        self.over.append(call_id)


class Mortal:
    """The timers of one run of the server: they end with it."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.is_dead = False

    def call_at(self, when: float, callback: Callable[[], None]) -> ManualTimer:
        return self._clock.call_at(when, lambda: None if self.is_dead else callback())


class World:
    """`users` of the PBX have the password `pw-NAME`."""

    def __init__(
        self,
        *users: str,
        sip: SipOptions | None = None,
        call: CallPolicy | None = None,
        sponsors: Sequence[Sponsor] = (),
    ) -> None:
        self.sponsors = sponsors
        self.clock = ManualClock()
        self.timers = Mortal(self.clock)
        self.call_policy = call or CallPolicy()
        self.wakes_for_refer = False
        self.message_limits = MessageLimits()
        self.subscribing: frozenset[str] = frozenset()
        self.wire = Wire()
        self.names = Names(self.clock, {DOMAIN: [PBX[0]]})
        self.store = MemoryStore()
        self.pushes = Pushes()
        self.options = Options(sip=sip or SipOptions(), apps={APP: AppOptions()})
        self.arrived: list[PhoneFlow] = []
        self.pbx = FakePbx({user: f"pw-{user}" for user in users or ("alice",)}, entropy=entropy("pbx"))
        self.there = self.wire.endpoint(*PBX)
        self.pbx.attach(self._transactions(self.there, "pbx"), self.there, self.clock)
        self.us = self.wire.endpoint(*US)
        self._runs = 0
        self._numbers = itertools.count(1)
        self._build()

    def _transactions(self, endpoint: WireEndpoint, seed: str, timers: Timers | None = None) -> Transactions:
        timers = timers or self.clock
        made = Transactions(endpoint, timers, self.clock, entropy(f"{seed} branches"), SipTimers())
        endpoint.receiver = made
        return made

    def _build(self) -> None:
        self._runs += 1
        clock, timers = self.clock, self.timers
        keys, ours = TokenKeys(KEY), entropy(f"us {self._runs}")
        self.transactions = self._transactions(self.us, f"us {self._runs}", timers)
        policy = policy_of(LifetimeOptions())
        self.lives = Lives(self.store, clock, lambda _app: policy, lambda _id: False)
        self.fleet = Fleet(
            self.store,
            clock,
            timers,
            self.transactions,
            self.us,
            self.names,
            self.options,
            self.lives,
            ours,
            KEY,
        )
        self.routes = RecordRoutes(
            keys, lambda host, port: (host, port or 5060) == US, self.options.sip.public
        )
        self.doorkeeper = Doorkeeper(keys, ours)
        self.phones = Phones(
            store=self.store,
            clock=clock,
            timers=timers,
            lives=self.lives,
            doorkeeper=self.doorkeeper,
            options=self.options.sip,
            on_flow=self._phone_arrived,
        )
        exchange = Exchange(
            clock=clock,
            timers=timers,
            transactions=self.transactions,
            endpoint=self.us,
            courier=self.pushes,
            routes=self.routes,
            keys=keys,
            entropy=ours,
            lifetime=lambda _app: policy,
            pbx_address=self._pbx_address,
            texts=TEXTS,
        )
        self.switchboard = Switchboard(
            store=self.store,
            phones=self.phones,
            lives=self.lives,
            exchange=exchange,
            policy=lambda _app: self.call_policy,
        )
        self.guests = Guests(
            store=self.store,
            clock=clock,
            timers=timers,
            transactions=self.transactions,
            endpoint=self.us,
            resolver=self.names,
            routes=self.routes,
            phones=self.phones,
            pusher=self.pushes,
            keys=keys,
            secret=KEY,
            entropy=ours,
            options=self.options.sip,
            policy=lambda _app: self.call_policy,
            sponsors=self.sponsors,
        )
        self.relay = Relay(
            transactions=self.transactions,
            ways=Ways(self.us, self.names),
            phones=self.phones,
            doorkeeper=self.doorkeeper,
            routes=self.routes,
            pbxs=self.fleet,
            store=self.store,
            clock=clock,
            timers=timers,
            entropy=ours,
            on_left=Farewells(self.store, exchange).left,
            waker=Summons(self.store, exchange, lambda _app: self.wakes_for_refer),
            wake_in_dialog=self.guests.wake_in_dialog,
        )
        self.messages = Messages(
            store=self.store,
            clock=clock,
            timers=timers,
            transactions=self.transactions,
            phones=self.phones,
            upstream=self.fleet.upstream,
            entropy=ours,
            secret=KEY,
            limits=self.message_limits,
            kept_for=lambda _app: AppOptions().messages_kept,
            subscribing=self.subscribing,
        )
        self.front = Front(
            store=self.store,
            clock=clock,
            phones=self.phones,
            relay=self.relay,
            switchboard=self.switchboard,
            fleet=self.fleet,
            messages=self.messages,
            routes=self.routes,
            guests=self.guests,
        )
        self.transactions.on_request = self.front.receive
        self.transactions.on_cancel = self.front.cancel
        self.transactions.on_ack = self.front.ack
        self.transactions.on_stray_response = lambda message, flow: self._stray(message, flow)
        self.transactions.on_heard = self.phones.heard
        self.transactions.on_flow_closed = self._flow_closed

    def _stray(self, message: Message, flow: Flow) -> None:
        self.switchboard.stray_response(message, flow)

    def kill(self) -> None:
        """End this run of the server as `kill -9` does, and make another on the same store; it does not run.

        To be called between two `running`.
        """
        self.timers.is_dead = True
        self.timers = Mortal(self.clock)
        self.us.cut_all()
        self.us = self.wire.endpoint(*US)
        self._build()

    def _phone_arrived(self, account_id: int, phone: PhoneFlow) -> None:
        self.arrived.append(phone)
        self.switchboard.phone_arrived(account_id, phone)
        self.relay.phone_arrived(account_id, phone)
        self.messages.phone_arrived(account_id, phone)
        self.guests.phone_arrived(account_id, phone)

    def _flow_closed(self, flow: Flow, _reason: str) -> None:
        self.phones.flow_closed(flow)
        self.fleet.flow_closed(flow)
        self.relay.flow_closed(flow)
        self.messages.flow_closed(flow)
        self.guests.flow_closed(flow)

    def _pbx_address(self, account: Account) -> Address | None:
        upstream = self.fleet.upstream(account.id)
        return Address(*upstream.our_address, upstream.flow.transport) if upstream is not None else None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let all services work."""
        await self.switchboard.resume()
        rooms = (self.fleet, self.guests, self.messages, self.phones, self.relay, self.switchboard)
        loops = [room.run() for room in rooms]
        tasks = [asyncio.create_task(loop) for loop in loops]
        await self.clock.settle()
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError) for result in results), results

    async def enrol(self, user: str = "alice", registrations: int = 1, **fields: Any) -> Account:
        """Enrol so many installations of an account, and wait until it is proven and bound."""
        number = next(self._numbers)
        columns: dict[str, Any] = {
            "slot": 0,
            "app": APP,
            "aor": f"sip:{user}@{DOMAIN}",
            "auth_user": user,
            "registrar": "",
            "contact_user": f"random-user-of-{user}-{number}",
            "instance": f"urn:uuid:00000000-0000-8000-8000-{number:012}",
            "created_at": self.clock.now(),
        }
        account = await self.store.transact(lambda tx: tx.accounts.add(Account(**{**columns, **fields})))
        first = await self.add_registration(account, proven=False)
        offered = Credentials(user, password=Secret(f"pw-{user}"))
        trial = Trial(
            registration_id=first.id,
            account_id=account.id,
            credentials=offered,
            started_at=self.clock.now(),
        )
        await self.store.transact(lambda tx: tx.binding_work.put_trial(trial))
        answer = self.fleet.try_credentials(first.id)
        await self.clock.run_until_true(answer.done, within=10 * SECOND)
        assert answer.result().verdict == "proven", answer.result()
        for _ in range(1, registrations):
            await self.add_registration(account)
        bound = self.store.read(lambda tx: tx.accounts.get(account.id))
        assert bound is not None
        assert self.pbx.contacts(user), "the account is not bound"
        return bound

    async def add_registration(self, account: Account, **fields: Any) -> PushRegistration:
        """Store one more proven push registration with a target for calls."""
        number = next(self._numbers)
        columns: dict[str, Any] = {
            "public_id": f"pr_{number}",
            "account_id": account.id,
            "app": APP,
            "installation": f"installation {number}",
            "sip_instance": f"urn:uuid:{number}",
            "secret_hash": b"",
            "proven": True,
            "lifetime": policy_of(LifetimeOptions()).lifetime,
            "created_at": self.clock.now(),
        }

        def work(tx: Transaction) -> PushRegistration:
            registration = tx.registrations.add(PushRegistration(**{**columns, **fields}))
            self.lives.begin_in(tx, registration, self.clock.now())
            tx.targets.add(
                PushTarget(
                    registration_id=registration.id,
                    provider=Provider.APNS,
                    purposes=frozenset({Purpose.CALL}),
                    token=Secret(f"token {registration.id}"),
                    reported_at=self.clock.now(),
                )
            )
            return registration

        return await self.store.transact(work)

    def phone(
        self, user: str = "alice", address: str = "203.0.113.5", port: int = 5060, **options: Any
    ) -> FakePhone:
        """Make a phone at an address; it is awake and has not registered."""
        phone = FakePhone(
            f"sip:{user}@{DOMAIN}", f"pw-{user}", entropy=entropy(f"phone {address} {port}"), **options
        )
        self.move(phone, address, port)
        return phone

    def move(self, phone: FakePhone, address: str, port: int = 5060) -> None:
        """Give a phone another network: what it had before is silent from now on."""
        if phone.is_awake:
            assert isinstance(phone.endpoint, WireEndpoint)
            phone.endpoint.is_down = True
        endpoint = self.wire.endpoint(address, port)
        transactions = self._transactions(endpoint, f"phone {address} {port}")
        phone.attach(US, transactions, endpoint, self.clock, self.clock)

    async def registered(
        self, user: str = "alice", address: str = "203.0.113.5", **options: Any
    ) -> FakePhone:
        """Make a phone and let it register."""
        phone = self.phone(user, address, **options)
        response = await self.do(phone.register())
        assert response.status == 200, response
        return phone

    async def do(self, work: Coroutine[Any, Any, T], within: int = 2 * MINUTE) -> T:
        """Let time pass until this is done."""
        task = asyncio.create_task(work)
        await self.clock.run_until_true(task.done, within)
        return task.result()

    async def until(self, condition: Callable[[], bool], within: int = 2 * MINUTE) -> None:
        """Let time pass until something is so."""
        await self.clock.run_until_true(condition, within=within)

    async def run_for(self, milliseconds: int) -> None:
        """Let time pass."""
        await self.clock.run_until(self.clock.now() + milliseconds)

    def sent_to(self, address: str) -> list[Message]:
        """Return every message that was sent to an address, in order."""
        return [parse(data) for flow, data in self.wire.messages if flow.remote[0] == address]

    def life(self, registration: PushRegistration) -> Life:
        """Return the life of a push registration."""
        found = self.store.read(lambda tx: tx.lives.get(registration.id))
        assert found is not None
        return found

    def registrations(self, account: Account) -> list[PushRegistration]:
        """Return the living push registrations of an account."""
        return self.store.read(lambda tx: tx.registrations.of_account(account.id))

    def layer(self, endpoint: WireEndpoint, seed: str) -> Transactions:
        """Return a transaction layer of its own on an endpoint."""
        return self._transactions(endpoint, seed)

    def seconds(self) -> float:
        """Return the monotonic clock."""
        return self.clock.monotonic()
