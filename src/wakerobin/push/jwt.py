"""The token that proves a team to Apple (ES256, RFC 7515): one for all connections, kept over restarts.

Apple refuses tokens older than an hour and punishes those that change more often than every 20
minutes. So a token is made every 45 minutes, in the background, stored before it is used, and taken up
again by the next run of the server.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from wakerobin import log
from wakerobin.core.errors import ConfigurationError, StoreUnavailableError
from wakerobin.core.values import Secret
from wakerobin.ports.clock import Clock, Timer, Timers
from wakerobin.ports.options import MINUTE, SECOND, ApnsOptions
from wakerobin.ports.store import Store, Transaction
from wakerobin.push.pem import read_p256_key

REFRESH_AFTER = 45 * MINUTE
YOUNGEST_REPLACED = 20 * MINUTE
"""Apple answers TooManyProviderTokenUpdates to tokens that change faster."""
OLDEST_VALID = 60 * MINUTE

_IDENTIFIER_LENGTH = 10
_log = log.get("push")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A team's key for push notifications, with the two identifiers that name it to Apple."""

    key: ec.EllipticCurvePrivateKey
    key_id: str
    team_id: str

    def sign(self, issued_at: int) -> str:
        """Return a provider token; `issued_at` is epoch seconds."""
        claims = {"iss": self.team_id, "iat": issued_at}
        return jwt.encode(claims, self.key, algorithm="ES256", headers={"kid": self.key_id, "typ": None})

    @property
    def fingerprint(self) -> str:
        """What tells this key from another one under the same key id."""
        public = self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return hashlib.sha256(public).hexdigest()[:16]


def read_signing_key(options: ApnsOptions, key: str) -> SigningKey:
    """Load the key of the setting group `key` (`apps.NAME.apns`); ConfigurationError says what is wrong."""
    for name, value in (("key_id", options.key_id), ("team_id", options.team_id)):
        if len(value) != _IDENTIFIER_LENGTH or not value.isascii() or not value.isalnum():
            raise ConfigurationError(
                f"{key}.{name} = {value!r}: Apple's identifiers have ten letters and digits; "
                f"find it on developer.apple.com under {'Keys' if name == 'key_id' else 'Membership'}"
            )
    if not options.topic:
        raise ConfigurationError(f"{key}.topic is empty; it must be the bundle id of the app")
    return SigningKey(_read_p8(options.key_file, f"{key}.key_file"), options.key_id, options.team_id)


def _read_p8(file: str, key: str) -> ec.EllipticCurvePrivateKey:
    right = "it must be the AuthKey_….p8 file that Apple gave out for push notifications"
    return read_p256_key(file, key, right, unlocked=f"{right}, without one")


@dataclass(frozen=True, slots=True)
class _Token:
    text: Secret
    issued_at: int


class TeamToken:
    """The current provider token of one team and key. `start` before use, `close` at the end.

    Every service of the same team must share one: Apple counts the tokens of a team.
    """

    def __init__(self, key: SigningKey, store: Store, clock: Clock, timers: Timers) -> None:
        self._key = key
        self._store = store
        self._clock = clock
        self._timers = timers
        self._name = f"apns-token:{key.team_id}:{key.key_id}:{key.fingerprint}"
        self._token: _Token | None = None
        self._timer: Timer | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._users = 0
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Take up the token of the last run, or make the first; then keep it young."""
        self._users += 1
        async with self._starting:
            if self._token is None:
                await self._begin()

    async def close(self) -> None:
        """Stop keeping it, when every user of it has closed."""
        self._users = max(0, self._users - 1)
        if self._users:
            return
        if self._timer is not None:
            self._timer.cancel()
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])

    def current(self) -> str:
        """Return the token. Costs nothing unless the machine slept through its renewal."""
        token = self._token or self._kept()
        if token is None or self._age(token) >= OLDEST_VALID:
            # Monotonic timers stand still while a machine is suspended. Apple would certainly refuse
            # the old token, so that signing here, once, is the faster way for this push too.
            token = self._make()
            self._renew(token)
        self._token = token
        return token.text.reveal()

    def is_refused(self) -> None:
        """Apple called the current token expired: make another, unless this one is too young for that."""
        token = self._token
        if token is not None and not 0 <= self._age(token) < YOUNGEST_REPLACED:
            self._renew(self._make())

    async def _begin(self) -> None:
        self._token = self._kept()
        if self._token is None:
            self._token = self._make()
            await self._keep(self._token)
        if self._users:  # none, if it was closed in the meantime
            self._plan()

    def _kept(self) -> _Token | None:
        """Return the token of the last run, if it is still good."""
        try:
            kept = _parse(self._store.read(lambda tx: tx.kept.get(self._name)))
        except StoreUnavailableError:
            return None
        return kept if kept is not None and 0 <= self._age(kept) < OLDEST_VALID else None

    def _age(self, token: _Token) -> int:
        return self._clock.now() - token.issued_at

    def _make(self) -> _Token:
        # Whole seconds, as the claim has them: the age must not come out smaller than Apple sees it.
        issued_at = self._clock.now() // SECOND
        return _Token(Secret(self._key.sign(issued_at)), issued_at * SECOND)

    def _plan(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        age = self._age(self._token) if self._token is not None else REFRESH_AFTER
        wait = max(0, REFRESH_AFTER - age) / SECOND
        self._timer = self._timers.call_at(self._clock.monotonic() + wait, self._on_timer)

    def _on_timer(self) -> None:
        self._renew(self._make())

    def _renew(self, token: _Token) -> None:
        if self._renewing is None:
            self._renewing = asyncio.get_running_loop().create_task(self._take(token))
            self._renewing.add_done_callback(self._renewed)

    async def _take(self, token: _Token) -> None:
        await self._keep(token)
        self._token = token
        self._plan()

    def _renewed(self, task: asyncio.Task[None]) -> None:
        self._renewing = None
        if not task.cancelled():
            task.result()

    async def _keep(self, token: _Token) -> None:
        value = json.dumps({"token": token.text.reveal(), "issued_at": token.issued_at}).encode()

        def work(tx: Transaction) -> None:
            tx.kept.put(self._name, value)

        try:
            await self._store.transact(work)
        except StoreUnavailableError as error:
            # Pushes matter more: the worst that follows is one token too many after a restart.
            _log.warning("apns_token_not_kept", reason=str(error))


def _parse(value: bytes | None) -> _Token | None:
    if value is None:
        return None
    try:
        record = json.loads(value)
        return _Token(Secret(str(record["token"])), int(record["issued_at"]))
    except (ValueError, KeyError, TypeError):
        return None
