"""The README is true: what it tells people to type works, and what it claims is shown."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.docs.generated import ROOT
from wakerobin.testing.pbx import FakePbx
from wakerobin.testing.pns import FakePns

README = (ROOT / "README.md").read_text(encoding="utf-8")
SERVER, PBX = (f"127.93.{os.getpid() % 256}.{host}" for host in (1, 10))
"""Loopback addresses of this process: the README's ports are the usual ones."""
LIMIT_S = 30

NOT_RUN_HERE = {"./test": "it runs this test", "./test --install": "it installs Debian packages"}
"""Commands of the README that no test runs, with the reason."""

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_ROW = re.compile(r"^\| (?!by |---)(.+?) \| (.*?) \| (.+?) \|$", re.MULTILINE)
_LINK = re.compile(r"\]\((tests/[^)]+)\)")


def _commands() -> list[str]:
    """Return what the console blocks tell people to type."""
    found: list[str] = []
    for language, block in _BLOCK.findall(README):
        if language == "console":
            found += block.replace("\\\n", " ").removeprefix("$ ").strip().split("\n$ ")
    return found


TRY, SERVE, CURL, *REST = _commands()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of this repository, with an environment as `.ci/venv` makes it from the locked packages."""
    there = tmp_path / "wakerobin"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(there)], check=True, timeout=LIMIT_S)
    # The packages are those of this environment: a test does not ask a package index.
    python = there / ".venv" / "run" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{there}/src" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    want = "cat requirements/run.txt .ci/venv; python3 -V; pwd"
    made_from = subprocess.run(
        ["sh", "-c", f"{{ {want}; }} | sha256sum"], cwd=there, check=True, capture_output=True, text=True
    )
    (there / ".venv" / "run" / "made-from").write_text(made_from.stdout)
    return there


def test_trying_it_needs_what_the_readme_says(clone: Path) -> None:
    cloned, entered, demo = TRY.split(" && ")
    assert (cloned, entered) == ("git clone <this repository> wakerobin", f"cd {clone.name}")
    done = subprocess.run(shlex.split(demo), cwd=clone, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "steps happened" in done.stdout


async def test_running_it_needs_what_the_readme_says(clone: Path) -> None:
    """With a PBX and a push service on this machine in place of those that only the reader has."""
    pbx = FakePbx({"alice": "secret"}, domain=PBX)
    await pbx.start(PBX, 5060)
    try:
        async with FakePns(clone, topic="com.example.phone") as pns:
            environ = _configure(clone, pns)
            async with _serving(clone, environ) as api:
                status, answer = await asyncio.to_thread(_curl, CURL, api)
                assert (status, answer["binding"]["state"]) == (201, "registered")
                assert len(pbx.contacts("alice")) == 1
                listed = await asyncio.to_thread(_run, "./wakerobin registrations list", clone, environ)
                assert f"sip:alice@{PBX}" in listed
                call = pbx.call("alice")
                await pns.wait_for(lambda push: push.type == "call" and push.token == "0a1b2c3d")
                call.cancel()
    finally:
        await pbx.stop()


def test_every_command_is_run_by_a_test_or_cannot_be() -> None:
    assert SERVE == "./wakerobin serve"
    assert CURL.startswith("curl ")
    assert set(REST) <= set(NOT_RUN_HERE)
    assert all(command in README for command in NOT_RUN_HERE)
    assert "`./wakerobin registrations list`" in README


def test_every_claim_names_its_rfc_and_a_test_that_is_there() -> None:
    rows = _ROW.findall(README)
    assert len(rows) > 8
    for claim, by, shown in rows:
        assert re.search(r"RFC \d{4}|laws|–", by), claim
        files = _LINK.findall(shown)
        assert files, claim
        for file in files:
            assert _tests_in(ROOT / file), file


def test_what_is_claimed_of_sip_is_shown_by_peers_that_are_not_ours() -> None:
    for claim, by, shown in _ROW.findall(README):
        if "3261" in by and "unit" not in shown:
            assert "tests/interop/" in shown, claim


def test_it_fits_on_two_screens() -> None:
    assert len(README.splitlines()) <= 140


def _tests_in(file: Path) -> list[str]:
    paths = sorted(file.glob("test_*.py")) if file.is_dir() else [file]
    return [name for path in paths for name in re.findall(r"def test_\w+|= \w+\.TestCase", path.read_text())]


def _configure(clone: Path, pns: FakePns) -> dict[str, str]:
    """Write the README's configuration, with the addresses and the key that this machine has."""
    (toml,) = (block for language, block in _BLOCK.findall(README) if language == "toml")
    shutil.copy(pns.key_file, clone / tomllib.loads(toml)["apps"]["softphone"]["apns"]["key_file"])
    toml = toml.replace("192.168.1.10", PBX)
    toml = toml.replace('"ABC123DEFG"', f'"{pns.team.key_id}"').replace(
        '"DEF123GHIJ"', f'"{pns.team.team_id}"'
    )
    toml += f'url = "{pns.url}"\nca_file = "{pns.ca_file}"\n'
    (clone / "wakerobin.toml").write_text(toml)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(clone / "home"),
        "WAKEROBIN_SIP_LISTEN": f"udp:{SERVER}:5060,tcp:{SERVER}:5060",
        "WAKEROBIN_HTTP_LISTEN": f"{SERVER}:8088",
        "XDG_DATA_HOME": str(clone / "data"),
        "XDG_CONFIG_HOME": str(clone / "config"),
    }


@asynccontextmanager
async def _serving(clone: Path, environ: dict[str, str]) -> AsyncIterator[tuple[str, int]]:
    server = await asyncio.create_subprocess_exec(
        *shlex.split(SERVE),
        cwd=clone,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert server.stdout is not None
    assert server.stderr is not None
    try:
        async with asyncio.timeout(LIMIT_S):
            while "API: " not in (line := (await server.stdout.readline()).decode()):
                assert line, (await server.stderr.read()).decode()
        place = urlsplit(line.split()[-1])
        assert place.hostname is not None
        assert place.port is not None
        yield place.hostname, place.port
    finally:
        if server.returncode is None:
            server.send_signal(signal.SIGTERM)
        async with asyncio.timeout(LIMIT_S):
            await server.communicate()
    assert server.returncode == 0


def _curl(command: str, api: tuple[str, int]) -> tuple[int, dict[str, Any]]:
    """Do what a curl command says, at another address."""
    words = iter(shlex.split(command.replace("192.168.1.10", PBX)))
    url, headers, data = "", {}, ""
    assert next(words) == "curl"
    for word in words:
        match word:
            case "-s":
                continue
            case "-H":
                name, _, value = next(words).partition(": ")
                headers[name] = value
            case "-d":
                data = next(words)
            case _:
                url = word
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc) == ("http", "127.0.0.1:8088")
    connection = http.client.HTTPConnection(*api, timeout=LIMIT_S)
    try:
        connection.request("POST", f"{parts.path}?{parts.query}", data, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def _run(command: str, clone: Path, environ: dict[str, str]) -> str:
    done = subprocess.run(
        shlex.split(command), cwd=clone, env=environ, capture_output=True, text=True, timeout=LIMIT_S
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
