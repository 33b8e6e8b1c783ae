"""Makes the services and joins them. The graph has three knots, tied by `_Joints`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wakerobin.core.ids import Entropy
from wakerobin.core.lifetime import LifetimePolicy
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.timers import Timers as SipTimers
from wakerobin.core.tokens import TokenKeys
from wakerobin.core.values import Account, Flow, PhoneFlow, PushRegistration
from wakerobin.net.endpoint import Endpoint
from wakerobin.net.guard import Guard
from wakerobin.net.interfaces import local_addresses
from wakerobin.net.resolver import Resolver, source_of
from wakerobin.ports.clock import Clock, Timers
from wakerobin.ports.options import AppOptions, Options
from wakerobin.ports.store import Store, Transaction
from wakerobin.ports.texts import Texts
from wakerobin.server.limits import gate, stream_limits
from wakerobin.server.pace import is_rationed, lane_options
from wakerobin.server.policies import call_policy, destination_policy, endpoint_refusal, lifetime_policies
from wakerobin.server.pushing import PushServices
from wakerobin.server.sponsoring import sponsors
from wakerobin.services.courier import Courier
from wakerobin.services.dispatch.front import Front
from wakerobin.services.dispatch.transactions import Transactions
from wakerobin.services.enrolment import Access, Enrolment
from wakerobin.services.fleet import Fleet
from wakerobin.services.guests import Guests
from wakerobin.services.handover import Handover
from wakerobin.services.lives import Lives
from wakerobin.services.messages import MessageLimits, Messages
from wakerobin.services.phones import Phones
from wakerobin.services.phones.proof import Doorkeeper
from wakerobin.services.phones.routes import Address, RecordRoutes
from wakerobin.services.relay import Relay
from wakerobin.services.relay.ways import Ways
from wakerobin.services.selftest import SelfTests
from wakerobin.services.switchboard import Switchboard
from wakerobin.services.switchboard.exchange import Exchange
from wakerobin.services.switchboard.farewells import Farewells
from wakerobin.services.switchboard.summons import Summons
from wakerobin.services.ticker import Ticker
from wakerobin.texts import Catalogues


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What everything stands on."""

    options: Options
    store: Store
    clock: Clock
    timers: Timers
    entropy: Entropy
    key: bytes
    """The server's secret: hashes and ids are derived from it."""
    keys: TokenKeys
    """They sign what leaves the house and comes back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """The services of a running server."""

    ground: Ground
    endpoint: Endpoint
    resolver: Resolver
    transactions: Transactions
    lives: Lives
    ticker: Ticker
    courier: Courier
    fleet: Fleet
    phones: Phones
    switchboard: Switchboard
    relay: Relay
    guests: Guests
    messages: Messages
    front: Front
    access: Access
    enrolment: Enrolment
    handover: Handover
    selftests: SelfTests
    texts: Texts
    pushing: PushServices


def build(ground: Ground) -> Rooms:
    """Return the rooms, joined and not yet running. Raises ConfigurationError."""
    options, store, clock, timers = ground.options, ground.store, ground.clock, ground.timers
    entropy, key = ground.entropy, ground.key
    destinations = destination_policy(options, local_addresses())
    lifetime = _lookup(lifetime_policies(options))
    guard = Guard(clock, gate(options))
    endpoint = Endpoint(options.sip, destinations, clock, timers, stream_limits(options), guard)
    transactions = Transactions(endpoint, timers, clock, entropy, SipTimers(t1=options.sip.t1 / 1000))
    joints = _Joints()
    lives = Lives(
        store,
        clock,
        lifetime,
        joints.is_call_held,
        granted_until=joints.granted_until,
        entropy=entropy,
        apps=options.apps,
        step_limit=options.clock.step_limit,
        on_resumed=joints.resumed,
        on_proven=joints.proven,
    )
    pushing = PushServices(options.apps, store, clock, timers, entropy, destinations, lives.clock.note_date)
    texts = Catalogues.of_apps(options.apps)
    courier = Courier(
        store=store,
        clock=clock,
        timers=timers,
        texts=texts,
        services=pushing.of,
        lives=lives,
        entropy=entropy,
        options=lane_options(options.push),
        is_rationed=is_rationed(options),
    )
    resolver = Resolver(clock, source_of(options.sip.dns), options.sip.listen)
    fleet = Fleet(
        store=store,
        clock=clock,
        timers=timers,
        transactions=transactions,
        endpoint=endpoint,
        resolver=resolver,
        options=options,
        lives=lives,
        entropy=entropy,
        server_secret=key,
    )
    keys = ground.keys
    routes = RecordRoutes(keys, _listeners(endpoint), options.sip.public, run=entropy(4))
    doorkeeper = Doorkeeper(keys, entropy)
    phones = Phones(
        store=store,
        clock=clock,
        timers=timers,
        lives=lives,
        doorkeeper=doorkeeper,
        options=options.sip,
        on_flow=joints.phone_arrived,
        gate=endpoint,
    )
    exchange = Exchange(
        clock=clock,
        timers=timers,
        transactions=transactions,
        endpoint=endpoint,
        courier=courier,
        routes=routes,
        keys=keys,
        entropy=entropy,
        lifetime=lifetime,
        pbx_address=_pbx_address(fleet),
        texts=texts,
        api=options.http.public_url,
    )
    switchboard = Switchboard(
        store=store,
        lives=lives,
        phones=phones,
        exchange=exchange,
        policy=lambda app: call_policy(options, options.apps.get(app)),
    )
    ways = Ways(endpoint, resolver)
    guests = Guests(
        store=store,
        clock=clock,
        timers=timers,
        transactions=transactions,
        endpoint=endpoint,
        resolver=resolver,
        routes=routes,
        phones=phones,
        pusher=courier,
        keys=keys,
        secret=key,
        entropy=entropy,
        options=options.sip,
        policy=lambda app: call_policy(options, options.apps.get(app)),
        sponsors=sponsors(options.apps, pushing),
        gate=endpoint,
    )
    relay = Relay(
        transactions=transactions,
        ways=ways,
        phones=phones,
        doorkeeper=doorkeeper,
        routes=routes,
        pbxs=fleet,
        store=store,
        clock=clock,
        timers=timers,
        entropy=entropy,
        on_left=Farewells(store, exchange).left,
        waker=Summons(store, exchange, _wakes_for_refer(options)),
        wake_in_dialog=guests.wake_in_dialog,
    )
    messages = Messages(
        store=store,
        clock=clock,
        timers=timers,
        transactions=transactions,
        phones=phones,
        upstream=fleet.upstream,
        entropy=entropy,
        secret=key,
        limits=MessageLimits(
            octets=options.sip.message_size,
            live_flow=options.sip.live_flow,
            live_flow_answer=options.sip.live_flow_answer,
        ),
        kept_for=lambda app: options.apps.get(app, AppOptions()).messages_kept,
        subscribing=frozenset(name for name, app in options.apps.items() if app.mwi == "subscribe"),
        silent=frozenset(name for name, app in options.apps.items() if app.mwi == "off"),
    )
    front = Front(
        store=store,
        clock=clock,
        phones=phones,
        relay=relay,
        switchboard=switchboard,
        fleet=fleet,
        messages=messages,
        routes=routes,
        guests=guests,
        gate=endpoint,
    )
    rooms = Rooms(
        ground=ground,
        endpoint=endpoint,
        resolver=resolver,
        transactions=transactions,
        lives=lives,
        ticker=Ticker(store, clock, lives, timers),
        courier=courier,
        fleet=fleet,
        phones=phones,
        switchboard=switchboard,
        relay=relay,
        guests=guests,
        messages=messages,
        front=front,
        access=Access(store, clock, key, options.apps),
        enrolment=Enrolment(
            store=store,
            clock=clock,
            entropy=entropy,
            key=key,
            fleet=fleet,
            lives=lives,
            resolver=resolver,
            endpoint_refusal=endpoint_refusal(destinations),
        ),
        handover=Handover(
            store=store,
            clock=lives.clock,
            timers=timers,
            lives=lives,
            bindings=fleet,
            apps=options.apps,
        ),
        selftests=SelfTests(
            store=store,
            clock=clock,
            timers=timers,
            courier=courier,
            texts=texts,
            lifetime=lifetime,
            entropy=entropy,
        ),
        texts=texts,
        pushing=pushing,
    )
    joints.tie(rooms)
    return rooms


class _Joints:
    """Callbacks to services that are made later than those that call."""

    def __init__(self) -> None:
        self._rooms: Rooms | None = None

    def tie(self, rooms: Rooms) -> None:
        self._rooms = rooms
        transactions = rooms.transactions
        transactions.on_request = rooms.front.receive
        transactions.on_cancel = rooms.front.cancel
        transactions.on_ack = rooms.front.ack
        transactions.on_stray_response = self._stray_response
        rooms.endpoint.tell_undelivered(transactions.undelivered)
        transactions.on_registrar = rooms.endpoint.pbx
        transactions.on_heard = rooms.phones.heard
        transactions.on_flow_closed = self._flow_closed

    def is_call_held(self, registration_id: int) -> bool:
        return self._rooms is not None and self._rooms.switchboard.is_held(registration_id)

    def granted_until(self, account_id: int) -> int | None:
        return self._rooms.fleet.granted_until(account_id) if self._rooms is not None else None

    def resumed(self, account_id: int) -> None:
        if self._rooms is not None:
            self._rooms.fleet.take_in(account_id)

    def proven(self, tx: Transaction, registration: PushRegistration, now: int) -> None:
        if self._rooms is not None:
            self._rooms.enrolment.proven(tx, registration, now)
            self._rooms.handover.proven(tx, registration, now)

    def phone_arrived(self, account_id: int, phone: PhoneFlow) -> None:
        if self._rooms is not None:
            self._rooms.switchboard.phone_arrived(account_id, phone)
            self._rooms.relay.phone_arrived(account_id, phone)
            self._rooms.messages.phone_arrived(account_id, phone)
            self._rooms.guests.phone_arrived(account_id, phone)

    def _stray_response(self, message: Message, flow: Flow) -> None:
        if self._rooms is not None:
            self._rooms.switchboard.stray_response(message, flow)

    def _flow_closed(self, flow: Flow, _reason: str) -> None:
        if self._rooms is not None:
            self._rooms.phones.flow_closed(flow)
            self._rooms.fleet.flow_closed(flow)
            self._rooms.relay.flow_closed(flow)
            self._rooms.messages.flow_closed(flow)
            self._rooms.guests.flow_closed(flow)


def _lookup(policies: dict[str, LifetimePolicy]) -> Callable[[str], LifetimePolicy]:
    """Lives of an app that was taken out of the configuration go on by the defaults."""
    default = LifetimePolicy()
    return lambda app: policies.get(app, default)


def _wakes_for_refer(options: Options) -> Callable[[str], bool]:
    wanted = {name for name, app in options.apps.items() if app.refer_push}
    return wanted.__contains__


def _listeners(endpoint: Endpoint) -> Callable[[str, int | None], bool]:
    def is_listener(host: str, port: int | None) -> bool:
        for listener in endpoint.listeners:
            if listener.port != (port or listener.transport.default_port):
                continue
            if listener.address == host:
                return True
            if listener.is_wildcard and endpoint.local_address(listener.transport, host)[0] == host:
                return True
        return False

    return is_listener


def _pbx_address(fleet: Fleet) -> Callable[[Account], Address | None]:
    def address(account: Account) -> Address | None:
        ours = fleet.our_address(account.id)
        return None if ours is None else Address(*ours)

    return address
