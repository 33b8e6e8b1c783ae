"""The store without a server: what `sources.Source` asks, answered from the rows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from wakerobin.core.lifetime import LifetimePolicy
from wakerobin.core.values import Account
from wakerobin.net.clock import SystemClock
from wakerobin.ports.options import Options
from wakerobin.server import Folders
from wakerobin.server.policies import lifetime_policies
from wakerobin.services.fleet import BindingStatus
from wakerobin.services.lives import Lives
from wakerobin.store import open_store
from wakerobin.web.admin.inspection import Inspection, Json


class Stored:
    """Holds the lock of the data folder, so that no server starts meanwhile. Raises ConfigurationError.

    What follows from ending a registration, our Contact at the PBX, is done when a server runs again.
    """

    def __init__(self, options: Options, environ: Mapping[str, str], runner: asyncio.Runner) -> None:
        folders = Folders.of(options.store, environ)
        clock = SystemClock(runner.get_loop())
        policies, default = lifetime_policies(options), LifetimePolicy()
        self._runner = runner
        self._store = open_store(options.store, folders.data, folders.key_file, clock)
        lives = Lives(self._store, clock, lambda app: policies.get(app, default), lambda _: False)
        self._inspection = Inspection(self._store, lives, _as_stored)

    def close(self) -> None:
        """Give the data folder free."""
        self._runner.run(self._store.close())

    def registrations(self, after: int, limit: int, aor: str) -> Json:
        """See `Source`."""
        return self._inspection.registrations(after, limit, aor)

    def registration(self, public_id: str) -> Json | None:
        """See `Source`."""
        return self._inspection.registration(public_id)

    def registration_timeline(self, public_id: str) -> Json | None:
        """See `Source`."""
        return self._inspection.registration_timeline(public_id)

    def end(self, public_id: str) -> bool:
        """See `Source`."""
        return self._runner.run(self._inspection.end(public_id))

    def calls(self, limit: int) -> Json:
        """See `Source`."""
        return self._inspection.calls(limit)

    def call(self, call_id: str) -> Json | None:
        """See `Source`."""
        return self._inspection.call(call_id)


def _as_stored(account: Account) -> BindingStatus:
    return BindingStatus(account.state, account.state_since_at, account.reason_code, account.reason)
