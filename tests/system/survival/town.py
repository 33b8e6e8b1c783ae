"""Phones that live through the kills of their server, and remember what it promised them.

Each does what a real app does: it tries again what got no answer. What did get an answer is a promise,
and every later answer is held against it.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import itertools
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.interop.peers.http import Answer
from tests.system.survival.process import ServerProcess
from wakerobin.testing.pbx import FakePbx
from wakerobin.testing.pns import FakePns, ReceivedPush

APP = "phone"
KEY = "the-enrolment-key"
PATH = "/v1/push-registrations"

LIFETIME_S = 14
SMALLEST_LEAD_S = 3.5
LADDER: dict[str, object] = {
    "lifetime": f"{LIFETIME_S}s",
    "renewal_from": "7s",
    "renewal_every": "1s",
    "warnings": ["5s", f"{round(SMALLEST_LEAD_S * 1000)}ms"],
    "grace_limit": "30s",
}
"""A week in seconds; a killed server is back within the last warning's lead."""
WARNINGS = 2


@dataclass(slots=True)
class App:
    """One installation, what it was promised, and what broke a promise."""

    user: str
    password: str
    installation: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    call_token: str = field(default_factory=lambda: secrets.token_hex(32))
    notice_token: str = field(default_factory=lambda: secrets.token_hex(32))
    id: str = ""
    secret: str = ""
    generation: int = 0
    """Of the last answer."""
    expires_at: int = 0
    acknowledged: list[tuple[float, int]] = field(default_factory=list)
    """When an answer came (seconds of the loop's clock), and the generation in it."""
    is_deleted: bool = False
    broken: list[str] = field(default_factory=list)


class Habit:
    """What is done again and again while the server is up."""

    def __init__(self, server: ServerProcess, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._server = server
        self._work = work
        self._is_over = False
        self._task = asyncio.create_task(self._go_on())

    async def end(self) -> None:
        """Begin nothing new, and return when what was begun is done. The server must be up."""
        self._is_over = True
        async with asyncio.timeout(60):
            await self._task

    async def _go_on(self) -> None:
        while not self._is_over:
            await self._server.ready.wait()
            await self._work()


class Town:
    """A server process, a PBX, a push service, and the apps."""

    def __init__(self, server: ServerProcess, pbx: FakePbx, pns: FakePns) -> None:
        self.server = server
        self.pbx = pbx
        self.pns = pns
        self.apps: list[App] = []
        self._numbers = itertools.count(1)
        self._acknowledged = asyncio.Event()
        self._runs: list[int] = []

    # The server

    async def start(self) -> None:
        """Start the server, for the first time or again."""
        # A number that no open connection has was spent on one whose client died in the handshake.
        self._runs.append(max((one.number for one in self.pns.connections_ever), default=0))
        await self.server.start()

    def run_of(self, push: ReceivedPush) -> int:
        """Return in which run of the server a push left, from 1: a connection belongs to one run."""
        return bisect.bisect_left(self._runs, push.connection)

    async def acknowledgement(self) -> None:
        """Return at the next moment at which an app is promised something."""
        self._acknowledged.clear()
        await self._acknowledged.wait()

    # What apps do

    async def enrol(self) -> App:
        """Enrol a new user's phone, as often as it takes."""
        app = App(f"user{next(self._numbers)}", secrets.token_urlsafe(12))
        self.pbx.set_password(app.user, app.password)
        answer = await self.promised("POST", f"{PATH}?wait=10", KEY, self._fields(app))
        assert answer.status in (200, 201), answer
        app.id, app.secret = answer.body["id"], answer.body["secret"]
        self._note(app, answer)
        self.apps.append(app)
        return app

    async def renew(self, app: App, cause: str = "opened") -> bool:
        """Renew once. False: nobody knows, or the life is over."""
        body = {"cause": cause}
        answer = await self.server.api("POST", f"{PATH}/{app.id}/renew", bearer=app.secret, body=body)
        if answer is None or answer.status == 503:
            return False
        if answer.status != 200:
            app.broken.append(f"a renewal got {answer.status} {answer.problem}")
            return False
        self._note(app, answer)
        return True

    async def delete(self, app: App) -> None:
        """Delete the registration, as often as it takes."""
        answer = await self.promised("DELETE", f"{PATH}/{app.id}", app.secret)
        if answer.status != 202 and answer.problem != "push-registration-ended":
            app.broken.append(f"a deletion got {answer.status} {answer.problem}")
        app.is_deleted = True

    async def promised(self, method: str, path: str, bearer: str, body: object = None) -> Answer:
        """Send a request until it is answered."""
        while True:
            await self.server.ready.wait()
            answer = await self.server.api(method, path, bearer=bearer, body=body)
            if answer is not None and answer.status != 503:
                return answer
            await self._moment()

    # Keeping at it

    def keep(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Habit:
        """Do this again and again, while the server is up."""
        return Habit(self.server, work)

    def keep_using(self, *apps: App) -> Habit:
        """Renew these all the time, one after the other."""
        turn = itertools.cycle(apps)

        async def use() -> None:
            app = next(turn)
            if not await self.renew(app):
                await self._moment()

        return self.keep(use)

    def answer_renewals(self, app: App) -> Habit:
        """Renew as an app does that the renewal push wakes, and only then."""

        seen = 0  # a push may come before the API is up again

        async def woken() -> None:
            nonlocal seen
            with contextlib.suppress(TimeoutError):
                await self.pns.wait_for(lambda p: _is_renewal(p, app), 1.0, after=seen)
                seen = len(self.pns.pushes)
                while not app.broken and not await self.renew(app, "renewal-push"):
                    await self.server.ready.wait()
                    await self._moment()

        return self.keep(woken)

    async def _moment(self) -> None:
        """Give way for a moment: what just failed would fail again at once."""
        await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.05)

    def _fields(self, app: App) -> dict[str, Any]:
        return {
            "app": APP,
            "aor": f"sip:{app.user}@{self.pbx.domain}",
            "credentials": {"password": app.password},
            "registrar": f"{self.pbx.host}:{self.pbx.port}",
            "targets": [
                {"provider": "apns", "purposes": ["call"], "token": app.call_token},
                {"provider": "apns", "purposes": ["notice"], "token": app.notice_token},
            ],
            "installation_id": app.installation,
            "platform": "ios",
        }

    def _note(self, app: App, answer: Answer) -> None:
        generation, expires_at = answer.body["generation"], answer.body["expires_at"]
        if app.acknowledged and generation <= app.generation:
            app.broken.append(f"generation {generation} after {app.generation} was acknowledged")
        if expires_at < app.expires_at:
            app.broken.append(f"an end at {expires_at} after {app.expires_at} was acknowledged")
        app.generation, app.expires_at = generation, expires_at
        self._acknowledged.set()
        app.acknowledged.append((asyncio.get_running_loop().time(), generation))


def _is_renewal(push: ReceivedPush, app: App) -> bool:
    return push.type == "renew" and push.token == app.notice_token and push.is_accepted


@contextlib.asynccontextmanager
async def town(folder: Path, host: str, **tables: dict[str, Any]) -> AsyncIterator[Town]:
    """Build a town on `host`; its server is not started yet."""
    for name in ("pns", "server"):
        (folder / name).mkdir()
    pbx = FakePbx({})
    async with FakePns(folder / "pns", host=host) as pns:
        await pbx.start(host)
        given = _tables(pns, host)
        for name, table in tables.items():
            given[name] = {**given.get(name, {}), **table}
        server = ServerProcess(folder / "server", host, given)
        built = Town(server, pbx, pns)
        try:
            yield built
        finally:
            await server.stop()
            await pbx.stop()


def _tables(pns: FakePns, host: str) -> dict[str, dict[str, Any]]:
    apns = pns.options()
    names = ("key_file", "key_id", "team_id", "topic", "url", "ca_file")
    return {
        "sip": {"unproven_rate": 100.0, "unproven_refusals": 100},
        "http": {"enrolments_per_hour": 100_000},
        f"apps.{APP}": {"enrolment_key": KEY, "registrars": ["pbx.test", host]},
        f"apps.{APP}.lifetime": LADDER,
        f"apps.{APP}.apns": {name: getattr(apns, name) for name in names},
    }
