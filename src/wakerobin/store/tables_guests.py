"""Guests in SQL: phones that nobody enrolled. Where they are pushed is sealed."""

# ruff: noqa: D102 - each method is described once, in ports/guests.py

from __future__ import annotations

from typing import Any

from wakerobin.core.guests import Guest
from wakerobin.core.values import Provider, Purpose, PushTarget, Secret
from wakerobin.store.session import Row, Session, from_json, to_json
from wakerobin.store.statements import load

_GUESTS = load("guests")


class GuestTable:
    """`ports.guests.Guests` over a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, number: int) -> Guest | None:
        row = self._session.one(_GUESTS["get"], number=number)
        return self._guest(row) if row else None

    def of_aor(self, aor: str) -> list[Guest]:
        return [self._guest(row) for row in self._session.all(_GUESTS["of_aor"], aor=aor)]

    def of_resource(self, resource: Secret) -> list[Guest]:
        looked_up = self._lookup(resource)
        rows = self._session.all(_GUESTS["of_resource"], resource=looked_up) if looked_up else []
        return [self._guest(row) for row in rows]

    def page(self, after: int, limit: int) -> list[Guest]:
        return [self._guest(row) for row in self._session.all(_GUESTS["page"], after=after, limit=limit)]

    def put(self, guest: Guest) -> None:
        # The Contact has the token too.
        secret = {"contact": guest.contact_uri, "targets": [_target_values(one) for one in guest.targets]}
        plain = to_json(secret).encode()
        values = {
            "number": guest.number,
            "app": guest.app,
            "aor": guest.aor,
            "resource": self._lookup(guest.resource),
            "sealed": self._session.seal(plain, _place(guest.number)),
            "said": to_json(
                {
                    "instance": guest.instance,
                    "registrar": guest.registrar,
                    "pbx": guest.pbx,
                    "has_own_timer": guest.has_own_timer,
                }
            ),
            "registered_at": guest.registered_at,
            "expires_at": guest.expires_at,
            "step": guest.step,
            "next_at": guest.next_at,
        }
        self._session.write("guests", _GUESTS["put"], values)

    def remove(self, number: int) -> None:
        self._session.erase("guests", _GUESTS["remove"], {"number": number})

    def due(self, now: int, limit: int) -> list[Guest]:
        return [self._guest(row) for row in self._session.all(_GUESTS["due"], now=now, limit=limit)]

    def next_due(self) -> int | None:
        row = self._session.one(_GUESTS["next_due"])
        return row[0] if row else None

    def count(self) -> int:
        row = self._session.one(_GUESTS["count"])
        return int(row[0]) if row else 0

    def _lookup(self, resource: Secret) -> bytes:
        return self._session.lookup(resource.reveal()) if resource else b""

    def _guest(self, row: Row) -> Guest:
        number, app, aor, sealed, text, registered_at, expires_at, step = row
        said = from_json(text)
        secret = from_json(self._session.unseal(sealed, _place(number)).decode())
        return Guest(
            number=number,
            app=app,
            aor=aor,
            instance=said["instance"],
            contact_uri=secret["contact"],
            registrar=said["registrar"],
            pbx=said["pbx"],
            targets=tuple(map(_target, secret["targets"])),
            has_own_timer=said["has_own_timer"],
            registered_at=registered_at,
            expires_at=expires_at,
            step=step,
        )


def _place(number: int) -> str:
    return f"guest:sealed:{number}"


def _target_values(target: PushTarget) -> dict[str, Any]:
    return {
        "provider": target.provider.value,
        "purposes": sorted(purpose.value for purpose in target.purposes),
        "token": target.token.reveal(),
        "topic": target.topic,
        "token_kind": target.token_kind,
        "reported_at": target.reported_at,
    }


def _target(values: dict[str, Any]) -> PushTarget:
    return PushTarget(
        registration_id=0,
        provider=Provider(values["provider"]),
        purposes=frozenset(map(Purpose, values["purposes"])),
        token=Secret(values["token"]),
        topic=values["topic"],
        token_kind=values["token_kind"],
        reported_at=values["reported_at"],
    )
