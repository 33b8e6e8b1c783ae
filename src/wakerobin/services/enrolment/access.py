"""Proves that a request comes from the app that holds a registration's secret, or an app's enrolment key."""

from __future__ import annotations

from dataclasses import replace

from wakerobin.core.ids import keyed_hash, same
from wakerobin.core.values import Life, PushRegistration
from wakerobin.ports.clock import Clock
from wakerobin.ports.options import AppOptions
from wakerobin.ports.store import Store, Transaction

_NOBODY = b"\0" * 32


def secret_hash(key: bytes, secret: str) -> bytes:
    """Return what is stored of a secret: a keyed hash of fixed length."""
    return keyed_hash(key, "registration-secret", secret, size=32)


class Access:
    """Compares secrets. Unknown ids and wrong secrets take the same way."""

    def __init__(self, store: Store, clock: Clock, key: bytes, apps: dict[str, AppOptions]) -> None:
        self._store = store
        self._clock = clock
        self._key = key
        self._apps = apps

    def app_of(self, name: str, enrolment_key: str) -> AppOptions | None:
        """Return the app whose enrolment key this is; None for an unknown app or another key."""
        app = self._apps.get(name)
        known = app.enrolment_key.reveal() if app is not None else ""
        is_right = same(secret_hash(self._key, known), secret_hash(self._key, enrolment_key))
        return app if is_right and app is not None and known else None

    def known(self, public_id: str, secret: str) -> tuple[PushRegistration, Life] | None:
        """Return the registration, also an ended one, that this secret belongs to, with its life."""

        def read(tx: Transaction) -> tuple[PushRegistration | None, Life | None]:
            registration = tx.registrations.by_public_id(public_id)
            return registration, tx.lives.get(registration.id if registration is not None else 0)

        registration, life = self._store.read(read)
        if not self._is_right(registration, secret) or registration is None or life is None:
            return None
        return registration, life

    def _is_right(self, registration: PushRegistration | None, secret: str) -> bool:
        given = secret_hash(self._key, secret)
        current = registration.secret_hash if registration is not None else _NOBODY
        previous = registration.previous_secret_hash if registration is not None else b""
        is_current = same(current, given)
        is_previous = same(previous or _NOBODY, given) and bool(previous)
        if registration is None:
            return False
        return is_current or (is_previous and self._clock.now() < registration.previous_secret_until)

    def note_use(self, tx: Transaction, registration_id: int, secret: str) -> None:
        """The old secret ends when the new one is used first."""
        registration = tx.registrations.get(registration_id)
        if registration is None or not registration.previous_secret_hash:
            return
        if same(registration.secret_hash, secret_hash(self._key, secret)):
            tx.registrations.update(replace(registration, previous_secret_hash=b"", previous_secret_until=0))
