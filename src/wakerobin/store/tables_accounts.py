"""Accounts, push registrations and push targets in SQL."""

# ruff: noqa: D102 - each method is described once, in ports/store.py

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from operator import itemgetter
from typing import Any

from wakerobin.core.values import (
    NO_SECRET,
    Account,
    Algorithm,
    BindingState,
    Credentials,
    Duration,
    Platform,
    Provider,
    Purpose,
    PushRegistration,
    PushTarget,
    RealmKey,
    Secret,
    Transport,
)
from wakerobin.ports.store import Callee, KeptAccount
from wakerobin.store.session import Row, Session, from_json, to_json
from wakerobin.store.statements import load
from wakerobin.store.tables_lives import life_of

_ACCOUNTS = load("accounts")
_REGISTRATIONS = load("registrations")
_TARGETS = load("targets")

_LIFE, _TARGET = 20, 41
"""Where their columns begin in a row of `callees`."""

# A look-up in these is five times as fast as calling the enumeration.
_TRANSPORTS: dict[str, Transport | None] = {"": None, **{str(member): member for member in Transport}}
_ALGORITHMS = {str(member): member for member in Algorithm}
_STATES = {str(member): member for member in BindingState}
_PLATFORMS = {str(member): member for member in Platform}


class AccountTable:
    """`ports.store.Accounts` over a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, account_id: int) -> Account | None:
        row = self._session.one(_ACCOUNTS["get"], id=account_id)
        return _account(row) if row else None

    def by_aor(self, aor: str) -> list[Account]:
        return [_account(row) for row in self._session.all(_ACCOUNTS["by_aor"], aor=aor)]

    def by_user(self, user: str, limit: int) -> list[Account]:
        # `A` comes right after `@`: all that begins with the user and an `@` lies between.
        first, after = f"sip:{user}@", f"sip:{user}A"
        rows = self._session.all(_ACCOUNTS["by_user"], first=first, after=after, limit=limit)
        return [_account(row) for row in rows]

    def by_contact_user(self, user: str) -> Account | None:
        row = self._session.one(_ACCOUNTS["by_contact_user"], contact_user=user)
        return _account(row) if row else None

    def add(self, account: Account) -> Account:
        id_ = self._session.insert("accounts", _ACCOUNTS["add"], _account_values(account))
        return replace(account, id=id_)

    def update(self, account: Account) -> None:
        self._session.change("accounts", _ACCOUNTS["update"], _account_values(account))

    def remove(self, account_id: int) -> None:
        self._session.erase("accounts", _ACCOUNTS["remove"], {"id": account_id})

    def page(self, after: int, limit: int) -> list[Account]:
        return [_account(row) for row in self._session.all(_ACCOUNTS["page"], after=after, limit=limit)]

    def kept(self, after: int, limit: int) -> list[KeptAccount]:
        rows = self._session.all(_ACCOUNTS["kept"], after=after, limit=limit)
        return [
            KeptAccount(id_, _STATES[state], aor, registrar, proxy, _TRANSPORTS[transport])
            for id_, state, aor, registrar, proxy, transport in rows
        ]

    def credentials(self, account_id: int) -> Credentials | None:
        row = self._session.one(_ACCOUNTS["credentials"], account_id=account_id)
        return unseal_credentials(self._session, row[0], f"credentials:sealed:{account_id}") if row else None

    def set_credentials(self, account_id: int, credentials: Credentials | None) -> None:
        if credentials is None:
            self._session.erase("accounts", _ACCOUNTS["erase_credentials"], {"account_id": account_id})
            return
        sealed = seal_credentials(self._session, credentials, f"credentials:sealed:{account_id}")
        values = {"account_id": account_id, "sealed": sealed}
        # Replacing erases too: the password makes way for the HA1s that were proven.
        if not self._session.erase("accounts", _ACCOUNTS["replace_credentials"], values):
            self._session.write("accounts", _ACCOUNTS["add_credentials"], values)


class RegistrationTable:
    """`ports.store.Registrations` over a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, registration_id: int) -> PushRegistration | None:
        return self._one("get", id=registration_id)

    def by_public_id(self, public_id: str) -> PushRegistration | None:
        return self._one("by_public_id", public_id=public_id)

    def by_installation(self, account_id: int, installation: str) -> list[PushRegistration]:
        return self._all("by_installation", account_id=account_id, installation=installation)

    def of_account(self, account_id: int) -> list[PushRegistration]:
        return self._all("of_account", account_id=account_id)

    def callees(self, account_id: int) -> list[Callee]:
        rows = self._session.all(_REGISTRATIONS["callees"], account_id=account_id)
        groups = [list(group) for _, group in itertools.groupby(rows, itemgetter(0))]
        return [
            Callee(
                self._registration(group[0]),
                life_of(group[0][_LIFE:]),
                tuple(_target(self._session, row[_TARGET:]) for row in group),
            )
            for group in groups
        ]

    def dormant(self, account_id: int) -> list[PushRegistration]:
        return self._all("dormant", account_id=account_id)

    def of_installation(self, app: str, installation: str) -> list[PushRegistration]:
        return self._all("of_installation", app=app, installation=installation)

    def by_sip_instance(self, account_id: int, sip_instance: str) -> PushRegistration | None:
        return self._one("by_sip_instance", account_id=account_id, sip_instance=sip_instance)

    def unproven(self, before: int, waiting_from: int, limit: int) -> list[PushRegistration]:
        return self._all("unproven", before=before, waiting_from=waiting_from, limit=limit)

    def add(self, registration: PushRegistration) -> PushRegistration:
        values = _registration_values(registration) | {"payload_key": b""}
        stored = replace(
            registration, id=self._session.insert("registrations", _REGISTRATIONS["add"], values)
        )
        if stored.payload_key:
            self.update(stored)  # the seal is bound to the id, which the row must have first
        return stored

    def update(self, registration: PushRegistration) -> None:
        key = registration.payload_key.reveal()
        place = _place_of_payload_key(registration.id)
        sealed = self._session.seal(key.encode(), place) if key else b""
        values = _registration_values(registration) | {"payload_key": sealed}
        self._session.change("registrations", _REGISTRATIONS["update"], values)

    def remove(self, registration_id: int) -> None:
        self._session.erase("registrations", _REGISTRATIONS["remove"], {"id": registration_id})

    def page(self, after: int, limit: int) -> list[PushRegistration]:
        return self._all("page", after=after, limit=limit)

    def _one(self, statement: str, **values: Any) -> PushRegistration | None:
        row = self._session.one(_REGISTRATIONS[statement], **values)
        return self._registration(row) if row else None

    def _all(self, statement: str, **values: Any) -> list[PushRegistration]:
        return [self._registration(row) for row in self._session.all(_REGISTRATIONS[statement], **values)]

    def _registration(self, row: Row) -> PushRegistration:
        id_, sealed = row[0], row[18]
        key = self._session.unseal(sealed, _place_of_payload_key(id_)).decode() if sealed else ""
        return PushRegistration(
            id=id_,
            public_id=row[1],
            account_id=row[2],
            app=row[3],
            installation=row[4],
            sip_instance=row[5],
            secret_hash=row[6],
            previous_secret_hash=row[7],
            previous_secret_until=row[8],
            proven=bool(row[9]),
            platform=_PLATFORMS[row[10]],
            locale=row[11],
            time_zone=row[12],
            display_name=row[13],
            lifetime=Duration(row[14]),
            capabilities=from_json(row[15]),
            os_version=row[16],
            app_version=row[17],
            payload_key=Secret(key) if key else NO_SECRET,
            created_at=row[19],
        )


class TargetTable:
    """`ports.store.Targets` over a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def of_registration(self, registration_id: int, purpose: Purpose | None = None) -> list[PushTarget]:
        values = {"registration_id": registration_id, "purpose": purpose or ""}
        return [
            _target(self._session, row) for row in self._session.all(_TARGETS["of_registration"], **values)
        ]

    def with_token(self, provider: Provider, token: Secret) -> list[PushTarget]:
        token_hash = self._session.lookup(token.reveal())
        rows = self._session.all(_TARGETS["with_token"], token_hash=token_hash, provider=provider)
        return [_target(self._session, row) for row in rows]

    def add(self, target: PushTarget) -> PushTarget:
        # The seal is bound to the id, which the row must have first.
        id_ = self._session.insert("targets", _TARGETS["add"], self._values(target) | {"token": b""})
        stored = replace(target, id=id_)
        self.update(stored)
        return stored

    def update(self, target: PushTarget) -> None:
        sealed = self._session.seal(_sealable(target), f"target:token:{target.id}")
        self._session.change("targets", _TARGETS["update"], self._values(target) | {"token": sealed})

    def note_accepted(self, target_id: int, at: int, environment: str = "") -> None:
        values = {"id": target_id, "at": at, "environment": environment}
        self._session.write("targets", _TARGETS["note_accepted"], values)

    def remove(self, target_id: int) -> None:
        self._session.erase("targets", _TARGETS["remove"], {"id": target_id})

    def _values(self, target: PushTarget) -> dict[str, Any]:
        return {
            "id": target.id,
            "registration_id": target.registration_id,
            "provider": target.provider,
            "token_hash": self._session.lookup(target.token.reveal()),
            "token_kind": target.token_kind,
            "purposes": " ".join(sorted(target.purposes)),
            "topic": target.topic,
            "environment": target.environment,
            "reported_at": target.reported_at,
            "accepted_at": target.accepted_at,
            "refused_at": target.refused_at,
            "claimed_at": target.claimed_at,
        }


def _target(session: Session, row: Row) -> PushTarget:
    id_, registration_id, provider, sealed, kind, purposes, topic, environment = row[:8]
    reported, accepted, refused, claimed = row[8:]
    secrets = from_json(_text(session.unseal(sealed, f"target:token:{id_}")))
    return PushTarget(
        id=id_,
        registration_id=registration_id,
        provider=Provider(provider),
        purposes=frozenset(map(Purpose, purposes.split())),
        token=Secret(secrets["token"]),
        token_kind=kind,
        p256dh=secrets.get("p256dh", ""),
        auth=Secret(secrets.get("auth", "")),
        topic=topic,
        environment=environment,
        reported_at=reported,
        accepted_at=accepted,
        refused_at=refused,
        claimed_at=claimed,
    )


def _sealable(target: PushTarget) -> bytes:
    secrets = {"token": target.token.reveal()}
    if target.p256dh:
        secrets |= {"p256dh": target.p256dh, "auth": target.auth.reveal()}
    return _octets(to_json(secrets))


def account_to_json(account: Account) -> str:
    """Return a whole account as JSON: what an un-REGISTER takes with it."""
    return to_json(_account_values(account))


def account_from_json(text: str) -> Account:
    """Return the account of `account_to_json`."""
    values = from_json(text)
    return _account(tuple(values[name] for name in _ACCOUNT_COLUMNS))


def seal_credentials(session: Session, credentials: Credentials, place: str) -> bytes:
    """Seal credentials for a place, `table:column:row`."""
    content = {
        "username": credentials.username,
        "password": None if credentials.password is None else credentials.password.reveal(),
        "keys": [[key.realm, key.algorithm, key.ha1.reveal()] for key in credentials.keys],
    }
    return session.seal(json.dumps(content).encode(), place)


def unseal_credentials(session: Session, sealed: bytes, place: str) -> Credentials:
    """Open credentials. Raises SealBrokenError."""
    content = json.loads(session.unseal(sealed, place))
    password = content["password"]
    return Credentials(
        username=content["username"],
        password=None if password is None else Secret(password),
        keys=tuple(
            RealmKey(realm, _ALGORITHMS[algorithm], Secret(ha1)) for realm, algorithm, ha1 in content["keys"]
        ),
    )


_ACCOUNT_COLUMNS = (
    *("id", "slot", "app", "aor", "auth_user", "registrar", "outbound_proxy", "transport", "contact_user"),
    *("instance", "proven", "algorithm", "state", "state_since_at", "said", "created_at"),
)


def _account_values(account: Account) -> dict[str, Any]:
    said = {"realm": account.realm, "reason_code": account.reason_code, "reason": account.reason}
    return {
        "id": account.id,
        "slot": account.slot,
        "app": account.app,
        "aor": account.aor,
        "auth_user": account.auth_user,
        "registrar": account.registrar,
        "outbound_proxy": account.outbound_proxy,
        "transport": account.transport or "",
        "contact_user": account.contact_user,
        "instance": account.instance,
        "proven": account.proven,
        "algorithm": account.algorithm,
        "state": account.state,
        "state_since_at": account.state_since_at,
        "said": to_json({name: text for name, text in said.items() if text}),
        "created_at": account.created_at,
    }


def _account(row: Row) -> Account:
    said = from_json(row[14])
    return Account(
        id=row[0],
        slot=row[1],
        app=row[2],
        aor=row[3],
        auth_user=row[4],
        registrar=row[5],
        outbound_proxy=row[6],
        transport=_TRANSPORTS[row[7]],
        contact_user=row[8],
        instance=row[9],
        proven=bool(row[10]),
        algorithm=_ALGORITHMS[row[11]],
        state=_STATES[row[12]],
        state_since_at=row[13],
        realm=said.get("realm", ""),
        reason_code=said.get("reason_code", ""),
        reason=said.get("reason", ""),
        created_at=row[15],
    )


def _registration_values(registration: PushRegistration) -> dict[str, Any]:
    return {
        "id": registration.id,
        "public_id": registration.public_id,
        "account_id": registration.account_id,
        "app": registration.app,
        "installation": registration.installation,
        "sip_instance": registration.sip_instance,
        "secret_hash": registration.secret_hash,
        "previous_secret_hash": registration.previous_secret_hash,
        "previous_secret_until": registration.previous_secret_until,
        "proven": registration.proven,
        "platform": registration.platform,
        "locale": registration.locale,
        "time_zone": registration.time_zone,
        "display_name": registration.display_name,
        "lifetime": registration.lifetime,
        "capabilities": to_json(registration.capabilities),
        "os_version": registration.os_version,
        "app_version": registration.app_version,
        "created_at": registration.created_at,
    }


def _place_of_payload_key(registration_id: int) -> str:
    return f"registration:payload_key:{registration_id}"


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogatepass")
