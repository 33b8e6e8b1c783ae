"""The store without a server: what `sources.Source` asks, answered from the rows."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

from wakerobin.cli.failures import Failure
from wakerobin.core.lifetime import LifetimePolicy
from wakerobin.core.values import Account
from wakerobin.net.clock import SystemClock
from wakerobin.net.interfaces import local_addresses
from wakerobin.net.wheel import Wheel
from wakerobin.ports.options import Options
from wakerobin.server import Folders
from wakerobin.server.policies import destination_policy, lifetime_policies
from wakerobin.server.pushing import PushServices
from wakerobin.server.secret import server_secret
from wakerobin.services.enrolment.importing import Importing
from wakerobin.services.fleet import BindingStatus
from wakerobin.services.lives import Lives
from wakerobin.services.push_checks import PushChecks
from wakerobin.store import open_store
from wakerobin.web.admin.importing import import_lines
from wakerobin.web.admin.inspection import Inspection, Json
from wakerobin.web.admin.operations import Operations


class Stored:
    """Holds the lock of the data folder, so that no server starts meanwhile. Raises ConfigurationError.

    What follows from ending a registration, our Contact at the PBX, is done when a server runs again.
    """

    def __init__(self, options: Options, environ: Mapping[str, str], runner: asyncio.Runner) -> None:
        folders = Folders.of(options.store, environ)
        clock = SystemClock(runner.get_loop())
        policies, default = lifetime_policies(options), LifetimePolicy()
        self._options = options
        self._clock = clock
        self._runner = runner
        self._store = open_store(options.store, folders.data, folders.key_file, clock)
        lives = Lives(self._store, clock, lambda app: policies.get(app, default), lambda _: False)
        self._lives = lives
        self._inspection = Inspection(self._store, lives, _as_stored)
        self._operations = Operations(self._store, clock, lives)
        key = runner.run(server_secret(self._store, os.urandom))
        self._importing = Importing(
            store=self._store, clock=clock, entropy=os.urandom, key=key, lives=lives, apps=options.apps
        )

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
        return self._runner.run(self._operations.end(public_id))

    def extend(self, public_id: str, by_s: int) -> Json | None:
        """See `Source`."""
        return self._runner.run(self._operations.extend(public_id, by_s))

    def warn(self, public_id: str) -> Json | None:
        """See `Source`."""
        return self._runner.run(self._operations.warn(public_id))

    def statistics(self, days: int) -> Json:
        """See `Source`."""
        return self._operations.statistics(days)

    def alarms(self) -> Json:
        """See `Source`."""
        return self._operations.alarms()

    def confirm_clock(self) -> bool:
        """See `Source`."""
        return self._runner.run(self._confirm_clock())

    async def _confirm_clock(self) -> bool:
        await self._lives.start()  # whether the clock is in doubt stands in the store
        return await self._lives.confirm_clock()

    def test_push(self, public_id: str, test_id: str = "") -> Json | None:
        """See `Source`."""
        raise Failure("no server runs, and none but it can push: start it first")

    def check_push(self, app: str) -> Json:
        """See `Source`."""
        return self._runner.run(self._check_push(app))

    async def _check_push(self, app: str) -> Json:
        options, clock = self._options, self._clock
        policy = destination_policy(options, local_addresses())
        timers = Wheel(asyncio.get_running_loop())
        services = PushServices(options.apps, self._store, clock, timers, os.urandom, policy)
        checks = PushChecks(
            apps=options.apps,
            service=services.of,
            clock_ahead=lambda: services.clock_ahead,
            clock=clock,
            entropy=os.urandom,
        )
        try:
            await services.warm()
            return await checks.all(app)
        finally:
            await services.close()

    def import_lines(self, lines: list[Json]) -> list[dict[str, str]]:
        """See `Source`."""
        return self._runner.run(import_lines(self._importing, lines))

    def calls(self, limit: int) -> Json:
        """See `Source`."""
        return self._inspection.calls(limit)

    def call(self, call_id: str) -> Json | None:
        """See `Source`."""
        return self._inspection.call(call_id)

    def guests(self, limit: int, aor: str) -> Json:
        """See `Source`."""
        return self._inspection.guests(limit, aor)

    def guest(self, id_: str) -> Json | None:
        """See `Source`."""
        return self._inspection.guest(id_)


def _as_stored(account: Account) -> BindingStatus:
    return BindingStatus(account.state, account.state_since_at, account.reason_code, account.reason)
