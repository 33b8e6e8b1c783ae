"""The push services of the configured apps: one for each app, one token for each team."""

from __future__ import annotations

import asyncio

from wakerobin.core.addresses import DestinationPolicy
from wakerobin.core.ids import Entropy
from wakerobin.core.values import Provider
from wakerobin.ports.clock import Clock, Timers
from wakerobin.ports.options import AppOptions
from wakerobin.ports.push import PushService
from wakerobin.ports.store import Store
from wakerobin.push.apns import ApnsService
from wakerobin.push.connection import Surroundings
from wakerobin.push.jwt import TeamToken, read_signing_key


class PushServices:
    """Finds the push service for an app's target. Raises ConfigurationError for a key that is none."""

    def __init__(
        self,
        apps: dict[str, AppOptions],
        store: Store,
        clock: Clock,
        timers: Timers,
        entropy: Entropy,
        policy: DestinationPolicy,
    ) -> None:
        self._services: dict[tuple[str, Provider], PushService] = {}
        tokens: dict[tuple[str, str, str], TeamToken] = {}
        around = Surroundings(clock, timers, entropy)
        for name, app in apps.items():
            if app.apns is None:
                continue
            group = f"apps.{name}.apns"
            key = read_signing_key(app.apns, group)
            team = (key.team_id, key.key_id, key.fingerprint)
            token = tokens.setdefault(team, TeamToken(key, store, clock, timers))
            self._services[name, Provider.APNS] = ApnsService(app.apns, token, around, policy, key=group)

    def of(self, app: str, provider: Provider) -> PushService | None:
        """Return the service of an app, None where it has no credentials for that provider."""
        return self._services.get((app, provider))

    async def warm(self) -> None:
        """Open the connections that calls must not wait for."""
        await asyncio.gather(*(service.warm() for service in self._services.values()))

    async def close(self) -> None:
        """Close every connection."""
        for service in self._services.values():
            await service.close()
