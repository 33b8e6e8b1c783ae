"""A whole server as a process of its own, killed and started again as often as a test likes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import shutil
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.interop.peers.http import Answer, request

START_WITHIN = 45.0
STOP_WITHIN = 20.0


class ServerProcess:
    """`python -m wakerobin serve` on `host`; its folder outlives every kill.

    `tables` are those of the configuration, less the listeners and the folders. What it logs is kept.
    """

    def __init__(self, folder: Path, host: str, tables: Mapping[str, Mapping[str, Any]]) -> None:
        self.folder = folder
        self.host = host
        self.sip_port, self.http_port = free_port(host), free_port(host)
        self.log: list[str] = []
        """Every line of its standard error, over all its runs."""
        self.kills: list[float] = []
        """When it was killed, in seconds of the loop's clock."""
        self.starts: list[float] = []
        """When it was ready, likewise."""
        self.ready = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self.loop = asyncio.get_running_loop()
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._file = folder / "wakerobin.toml"
        given = {name: dict(table) for name, table in tables.items()}
        listen = [f"udp:{host}:{self.sip_port}", f"tcp:{host}:{self.sip_port}"]
        given["sip"] = {"listen": listen, **given.get("sip", {})}
        given["http"] = {"listen": f"{host}:{self.http_port}", **given.get("http", {})}
        given["store"] = {
            "data_dir": str(self.data_folder),
            "key_file": str(self.key_file),
            **given.get("store", {}),
        }
        given["log"] = {"level": "debug", "format": "json", **given.get("log", {})}
        self._file.write_text(_toml(given))

    @property
    def data_folder(self) -> Path:
        """Where its database lies."""
        return self.folder / "data"

    @property
    def key_file(self) -> Path:
        """Where its vault's key lies."""
        return self.folder / "config" / "vault.key"

    @property
    def sip(self) -> tuple[str, int]:
        """Where it speaks SIP."""
        return self.host, self.sip_port

    async def start(self) -> None:
        """Start it and return when it says that it is ready."""
        assert self._process is None
        self._process = await asyncio.create_subprocess_exec(
            *_guarded(),
            *(sys.executable, "-m", "wakerobin", "serve", "--config", str(self._file)),
            cwd=self.folder,
            env={name: value for name, value in os.environ.items() if not name.startswith("WAKEROBIN_")},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            limit=1 << 22,
            start_new_session=True,
        )
        self._reading = asyncio.create_task(self._read(self._process))
        is_ready = asyncio.create_task(self.ready.wait())
        await asyncio.wait(
            {is_ready, self._reading}, timeout=START_WITHIN, return_when=asyncio.FIRST_COMPLETED
        )
        is_ready.cancel()
        assert self.ready.is_set(), "it did not start:\n" + "\n".join(self.log[-30:])

    async def next_start(self) -> None:
        """Return when it is ready the next time."""
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(started)
        try:
            await started
        finally:
            started.cancel()

    def kill_now(self) -> None:
        """SIGKILL at this very moment; nothing if it does not run."""
        if self._process is not None and self._process.returncode is None and self.ready.is_set():
            self.kills.append(asyncio.get_running_loop().time())
            self.ready.clear()
            self._process.kill()

    def kills_after(self, at: float) -> float:
        """Return when it was killed next after that moment; never, where it was not."""
        return next((kill for kill in self.kills if kill >= at), math.inf)

    def ran(self, since: float, until: float, *, at_least: float) -> bool:
        """Return whether one of its runs lasted so long between two moments."""
        runs = zip(self.starts, [*self.kills, math.inf], strict=True)
        return any(min(kill, until) - max(start, since) >= at_least for start, kill in runs)

    async def gone(self) -> None:
        """Return when the process has ended, and all that it logged was read."""
        assert self._process is not None
        assert self._reading is not None
        await self._process.wait()
        await self._reading
        self._process = None

    async def stop(self) -> None:
        """End it in good order."""
        if self._process is None:
            return
        self.ready.clear()
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_WITHIN):
                await self.gone()
        except TimeoutError:
            self._process.kill()
            await self.gone()
            raise

    async def api(self, method: str, path: str, *, bearer: str = "", body: object = None) -> Answer | None:
        """Send one request; None where no whole answer came, so that nobody knows what became of it."""
        try:
            place = (self.host, self.http_port)
            answer = await request(place, method, path, bearer=bearer, body=body)
        except (OSError, ValueError, TimeoutError):
            return None
        is_cut = not answer.body and answer.status not in (202, 204)
        return None if is_cut else answer

    def tracebacks(self) -> list[str]:
        """Return the lines of its log that tell of an exception which nobody expected."""
        return [line for line in self.log if "Traceback" in line or '"exception"' in line]

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            text = line.decode(errors="replace").rstrip("\n")
            self.log.append(text)
            if not self.ready.is_set() and _is_ready(text):
                self.starts.append(asyncio.get_running_loop().time())
                self.ready.set()
                waiting, self._waiting = self._waiting, []
                for one in waiting:
                    if not one.done():
                        one.set_result(None)


def _guarded() -> tuple[str, ...]:
    """Return the words before a command that let the kernel end it when this process dies."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "KILL", "--") if setpriv else ()


def free_port(host: str) -> int:
    """Return a port of `host` that is free for UDP and TCP and that the kernel gives to nobody else."""
    for port in range(12_000 + os.getpid() % 4_000, 32_000):
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram,
        ):
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                stream.bind((host, port))
                datagram.bind((host, port))
            except OSError:
                continue
            if (host, port) not in _taken:
                _taken.add((host, port))
                return port
    raise OSError(f"no port of {host} is free")


_taken: set[tuple[str, int]] = set()


def _is_ready(line: str) -> bool:
    try:
        event = json.loads(line)
    except ValueError:
        return False
    return isinstance(event, dict) and event.get("event") == "ready"


def _toml(tables: Mapping[str, Mapping[str, Any]]) -> str:
    lines: list[str] = []
    for name, table in tables.items():
        # Text, numbers, lists of text and booleans look the same in JSON and in TOML.
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items()), ""]
    return "\n".join(lines)
