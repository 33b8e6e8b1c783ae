"""Headless Chromium, told what to do over the pipe of its DevTools protocol: a browser that is not ours."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import Callable
from typing import Any

from tests.interop.peers.network import PATIENCE, Program, find_program, shortened

_START_S = 30.0  # a busy machine takes its time for a browser
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root in a container has no user namespaces to build it from
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-proxy-server",
    "--remote-debugging-pipe",
)


class Chromium:
    """A browser with a profile of its own; `call` sends a command and returns its result."""

    name = "chromium"

    def __init__(self) -> None:
        self._program = Program(self.name)
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._events: list[dict[str, Any]] = []
        self._came = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._to: asyncio.WriteTransport | None = None
        self._from: asyncio.BaseTransport | None = None

    async def start(self) -> None:
        """Start it; return when it answers."""
        its_end, our_commands = os.pipe()
        our_events, its_output = os.pipe()
        # It reads from 3 and writes to 4. The shell moves them there from wherever they are.
        shell = f'exec "$@" 3</proc/{os.getpid()}/fd/{its_end} 4>/proc/{os.getpid()}/fd/{its_output}'
        profile = self._program.folder / "profile"
        browser = [find_program("chromium"), *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        await self._program.start([find_program("sh"), "-c", shell, "sh", *browser])
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=2**24)
        self._from, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(our_events, "rb", 0)
        )
        self._to, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(our_commands, "wb", 0))
        self._reading = asyncio.create_task(self._read(reader))
        try:
            await self.call("Browser.getVersion", within=_START_S)
        finally:
            os.close(its_end)
            os.close(its_output)

    async def stop(self) -> None:
        """End it and remove its profile."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        for transport in (self._to, self._from):
            if transport is not None:
                transport.close()
        await self._program.end()
        self._program.remove_folder()

    def log_text(self) -> str:
        """What it printed, and the last events."""
        return shortened(f"{self._program.output()}\n{self._events[-50:]}")

    async def call(
        self, method: str, session: str = "", within: float = PATIENCE, **parameters: Any
    ) -> dict[str, Any]:
        """Send a command. Raises RuntimeError with what the browser says against it."""
        assert self._to is not None
        number = next(self._numbers)
        future = self._answers[number] = asyncio.get_running_loop().create_future()
        command = {"id": number, "method": method, "params": parameters}
        if session:
            command["sessionId"] = session
        self._to.write(json.dumps(command).encode() + b"\0")
        async with asyncio.timeout(within):
            answer = await future
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        result = answer.get("result", {})
        assert isinstance(result, dict)
        return result

    async def event(
        self,
        method: str,
        wanted: Callable[[dict[str, Any]], object] = bool,
        *,
        session: str = "",
        within: float = PATIENCE,
    ) -> dict[str, Any]:
        """Return the parameters of the first event, of those that came too, for which `wanted` is true."""
        seen = 0
        async with asyncio.timeout(within):
            while True:
                self._came.clear()
                for event in self._events[seen:]:
                    is_ours = not session or event.get("sessionId") == session
                    if is_ours and event["method"] == method and wanted(event["params"]):
                        found = event["params"]
                        assert isinstance(found, dict)
                        return found
                seen = len(self._events)
                await self._came.wait()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                octets = await reader.readuntil(b"\0")
            except asyncio.IncompleteReadError:
                return
            message = json.loads(octets[:-1])
            if "id" in message:
                future = self._answers.pop(message["id"])
                if not future.done():
                    future.set_result(message)
            else:
                self._events.append(message)
                self._came.set()


class Page:
    """A tab of the browser."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self.browser = browser
        self.session = session

    @classmethod
    async def open(cls, browser: Chromium, url: str) -> Page:
        """Open a URL in a tab of its own; return when it has loaded."""
        target = (await browser.call("Target.createTarget", url="about:blank"))["targetId"]
        session = (await browser.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        page = cls(browser, session)
        await page.call("Page.enable")
        await page.call("Page.navigate", url=url)
        await browser.event("Page.loadEventFired", session=session)
        return page

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command to the tab."""
        return await self.browser.call(method, self.session, **parameters)

    async def run(self, script: str) -> Any:
        """Evaluate an expression, awaiting a promise; return its value. Raises RuntimeError for a throw."""
        answer = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"].get("exception", {}).get("description", script))
        return answer["result"].get("value")
