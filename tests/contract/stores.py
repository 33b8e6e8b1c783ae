"""The stores under the conformance suite, and rows to put into them.

Another engine is one more class here: how to open it in a folder, and how to open it again after it was
closed in order.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from wakerobin.core.pushes import PushType
from wakerobin.core.values import (
    Account,
    Algorithm,
    BindingState,
    Credentials,
    Duration,
    Life,
    Platform,
    Provider,
    Purpose,
    PushRegistration,
    PushTarget,
    RealmKey,
    Secret,
    Transport,
)
from wakerobin.ports.options import StoreOptions
from wakerobin.ports.store import CallRecord, HeldCall, OutboxRow, Store, Transaction
from wakerobin.store import open_store
from wakerobin.testing.clock import START, ManualClock
from wakerobin.testing.memory import MemoryStore

NOW = START
HA1 = "939e7578ed9e3c518a452acee763bce9"

R = TypeVar("R")


class Engine(Protocol):
    """One kind of store in a folder of its own."""

    async def open(self) -> Store:
        """Open it; a second time only after the first was closed."""
        ...


class Sqlite:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def open(self) -> Store:
        return open_store(StoreOptions(), self._folder / "data", self._folder / "key", ManualClock())


class Memory:
    def __init__(self, folder: Path) -> None:
        self._store: MemoryStore | None = None

    async def open(self) -> Store:
        self._store = self._store.restarted() if self._store else MemoryStore()
        return self._store


ENGINES: list[Any] = [Sqlite, Memory]


@asynccontextmanager
async def opened(engine: Engine) -> AsyncIterator[Store]:
    store = await engine.open()
    try:
        yield store
    finally:
        await store.close()


def account(name: str = "anna", **changes: Any) -> Account:
    values: dict[str, Any] = {
        "slot": 17,
        "app": "softphone",
        "aor": f"sip:{name}@pbx.example",
        "auth_user": name,
        "registrar": "pbx.example:5070",
        "outbound_proxy": "sip:proxy.pbx.example;lr",
        "transport": Transport.TCP,
        "contact_user": f"contact-{name}",
        "instance": f"urn:uuid:{name}",
        "proven": True,
        "realm": "pbx",
        "algorithm": Algorithm.SHA_256,
        "state": BindingState.REGISTERED,
        "reason_code": "ok",
        "reason": "it works",
        "state_since_at": NOW - 5,
        "created_at": NOW,
    }
    return Account(**values | changes)


def registration(account_id: int, name: str = "phone", **changes: Any) -> PushRegistration:
    values: dict[str, Any] = {
        "public_id": f"pr_{account_id}_{name}",
        "account_id": account_id,
        "app": "softphone",
        "installation": f"installation-{name}",
        "sip_instance": f"urn:uuid:instance-{name}",
        "secret_hash": b"\x00hash\xff",
        "previous_secret_hash": b"older",
        "previous_secret_until": NOW + 7,
        "proven": True,
        "platform": Platform.IOS,
        "locale": "de-AT",
        "time_zone": "Europe/Vienna",
        "display_name": "Anna Ä 📱",
        "lifetime": Duration(604_800_000),
        "capabilities": {"notifications": True, "low_power": False},
        "os_version": "17.4.1",
        "app_version": "3.2",
        "payload_key": Secret("0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"),
        "created_at": NOW,
    }
    return PushRegistration(**values | changes)


def target(registration_id: int, token: str = "t0ken", **changes: Any) -> PushTarget:
    values: dict[str, Any] = {
        "registration_id": registration_id,
        "provider": Provider.APNS,
        "purposes": frozenset({Purpose.CALL, Purpose.NOTICE}),
        "token": Secret(token),
        "topic": "com.example.phone",
        "environment": "sandbox",
        "reported_at": NOW,
        "token_kind": "fid",
        "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcx",
        "auth": Secret("BTBZMqHH6r4Tts7J_aSIgg"),
        "accepted_at": NOW + 1,
        "refused_at": NOW + 2,
        "claimed_at": NOW + 3,
    }
    return PushTarget(**values | changes)


def life(registration_id: int, **changes: Any) -> Life:
    values: dict[str, Any] = {
        "id": registration_id,
        "slot": 17,
        "expires_at": NOW + 604_800_000,
        "next_at": NOW + 500_000_000,
        "generation": 3,
        "step": 2,
        "lifetime": Duration(604_800_000),
        "renewed_at": NOW,
        "renewal_sent_at": NOW + 1,
        "warning_tried_at": NOW + 2,
        "warned_at": NOW + 3,
        "warning_settled": True,
        "opened_at": NOW - 4,
        "noted_at": NOW - 3,
        "trouble_generation": 2,
        "trouble_told_at": NOW - 2,
        "trouble_settled": True,
        "trouble_cause": "refused",
        "habits": "1:a",
    }
    return Life(**values | changes)


def push(registration_id: int, step: int = 0, **changes: Any) -> OutboxRow:
    values: dict[str, Any] = {
        "slot": 17,
        "registration_id": registration_id,
        "generation": 1,
        "kind": PushType.EXPIRY_WARNING,
        "step": step,
        "not_before": NOW,
        "deadline_at": NOW + 1000,
        "attempts": 0,
        "payload": {"ends_at": NOW, "why": ["a", {"b": None}]},
    }
    return OutboxRow(**values | changes)


def held(call_id: str = "call-1", **changes: Any) -> HeldCall:
    values: dict[str, Any] = {
        "call_id": call_id,
        "account_id": 1,
        "invite": b"INVITE sip:x@y SIP/2.0\r\n\xff\x00",
        "flow": '{"transport": "udp"}',
        "to_tag": "tag",
        "branches": {"waiting": [1, 2]},
        "started_at": NOW,
        "expires_at": NOW + 30_000,
    }
    return HeldCall(**values | changes)


def record(call_id: str = "call-1", **changes: Any) -> CallRecord:
    values: dict[str, Any] = {
        "call_id": call_id,
        "sip_call_id": "abc@pbx",
        "from_tag": "a-tag",
        "account_id": 1,
        "state": "waking",
        "answered_by": 7,
        "caller": {"uri": "sip:bob@pbx.example", "number": "", "name": "Bob"},
        "started_at": NOW,
        "expires_at": NOW + 30_000,
        "ended_at": 0,
        "reason": "",
    }
    return CallRecord(**values | changes)


def credentials(password: str | None = "correct horse") -> Credentials:
    return Credentials(
        username="anna",
        password=None if password is None else Secret(password),
        keys=(
            RealmKey("pbx", Algorithm.MD5, Secret(HA1)),
            RealmKey("pbx\udce9", Algorithm.SHA_256, Secret("ff00")),
        ),
    )


async def write_each(
    store: Store, write: Callable[[Transaction], Callable[[R], object]], rows: Iterable[R]
) -> None:
    """Write rows in one transaction with the method that `write` picks."""

    def work(tx: Transaction) -> None:
        for row in rows:
            write(tx)(row)

    await store.transact(work)


def enrol(tx: Transaction, name: str = "phone", account_id: int = 0) -> int:
    """Store a push registration, with an account where none is given; return its id."""
    if not account_id:
        account_id = tx.accounts.add(account(f"of-{name}")).id
    return tx.registrations.add(registration(account_id, name)).id
