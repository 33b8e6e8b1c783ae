"""`wakerobin serve` as a process of its own: starting, stopping, dying, and what it says."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

HOST = "127.81.0.8"
PATIENCE_S = 30


class Process:
    """A server process; `lines` are what it printed until it was ready."""

    def __init__(self, folder: Path, *flags: str, sip: str = f"udp:{HOST}:0", api: str = f"{HOST}:0") -> None:
        self.folder = folder
        environ = {name: text for name, text in os.environ.items() if not name.startswith("WAKEROBIN_")}
        environ |= {"XDG_DATA_HOME": str(folder / "data"), "XDG_CONFIG_HOME": str(folder / "config")}
        self.errors = (folder / "stderr").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "wakerobin", "serve", "--sip-listen", sip, "--http-listen", api, *flags],
            cwd=folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        self.lines: list[str] = []

    def wait_ready(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if line.startswith("  on   data"):
                return
        raise AssertionError(f"it ended with {self.process.wait(PATIENCE_S)}: {self.said()}")

    def said(self) -> str:
        self.errors.flush()
        return (self.folder / "stderr").read_text()

    @property
    def api(self) -> tuple[str, int]:
        line = next(one for one in self.lines if one.startswith("  on   API: "))
        host, _, port = line.rpartition("//")[2].rpartition(":")
        return host, int(port)

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(*self.api, timeout=PATIENCE_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        self.close()
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.errors.close()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Process]]:
    """Every process of a test is ended with it."""
    processes: list[Process] = []
    yield processes
    for process in processes:
        process.close()


def test_it_runs_without_any_configuration_and_says_what_is_on_and_off(
    tmp_path: Path, started: list[Process]
) -> None:
    server = Process(tmp_path)
    started.append(server)
    server.wait_ready()
    assert server.lines[0].startswith("Wakerobin ")
    assert any(one.startswith(f"  on   SIP: udp:{HOST}:") for one in server.lines)
    status, text = server.get("/healthz")
    assert (status, json.loads(text)["status"]) == (200, "ready")
    data = tmp_path / "data" / "wakerobin"
    assert {one.name for one in data.iterdir()} >= {"wakerobin.db", "wakerobin.sock", "wakerobin.lock"}
    key = tmp_path / "config" / "wakerobin" / "vault.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert server.process.stdout is not None
    server.process.send_signal(signal.SIGTERM)
    rest = server.process.stdout.read()
    assert "  off  enrolment: no app is configured; add [apps.NAME]" in rest
    assert "  off  public name:" in rest
    assert server.process.wait(PATIENCE_S) == 0
    assert not (data / "wakerobin.sock").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_good_order(
    tmp_path: Path, started: list[Process], number: signal.Signals
) -> None:
    server = Process(tmp_path)
    started.append(server)
    server.wait_ready()
    assert server.end(number) == 0
    assert "Traceback" not in (tmp_path / "stderr").read_text()


def test_after_a_kill_it_starts_again(tmp_path: Path, started: list[Process]) -> None:
    for _ in range(2):
        server = Process(tmp_path)
        started.append(server)
        server.wait_ready()
        assert server.get("/healthz")[0] == 200
        assert server.end(signal.SIGKILL) == -signal.SIGKILL
    assert (tmp_path / "data" / "wakerobin" / "wakerobin.sock").exists(), "a leftover that the next replaces"


def refused(process: Process) -> str:
    """Return the one line with which a process gave up."""
    code = process.process.wait(PATIENCE_S)
    said = process.said()
    process.close()
    assert code == 2, said
    (line,) = said.splitlines()
    assert line.startswith("wakerobin: ")
    return line


def test_a_second_server_on_the_same_data_gives_up_in_words(tmp_path: Path, started: list[Process]) -> None:
    first = Process(tmp_path)
    started.append(first)
    first.wait_ready()
    other = tmp_path / "other"
    other.mkdir()
    second = Process(other, "--store-data-dir", str(tmp_path / "data" / "wakerobin"))
    started.append(second)
    assert f"process {first.process.pid}" in refused(second)


def test_a_port_in_use_is_named(tmp_path: Path, started: list[Process]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        udp.bind((HOST, 0))
        tcp.bind((HOST, 0))
        tcp.listen()
        sip = f"udp:{HOST}:{udp.getsockname()[1]}"
        api = f"{HOST}:{tcp.getsockname()[1]}"
        for number, (given, words) in enumerate((({"sip": sip}, sip), ({"api": api}, api))):
            folder = tmp_path / str(number)
            folder.mkdir()
            process = Process(folder, **given)
            started.append(process)
            line = refused(process)
            assert words in line
            assert "in use" in line


def test_a_certificate_that_is_none_is_one_line(tmp_path: Path, started: list[Process]) -> None:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("nothing")
    process = Process(tmp_path, "--http-tls-cert", "cert.pem", "--http-tls-key", "key.pem")
    started.append(process)
    assert "are no certificate" in refused(process)


def test_with_a_certificate_the_api_speaks_https(tmp_path: Path, started: list[Process]) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert(HOST)
    certificate.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    server = Process(tmp_path, "--http-tls-cert", "both.pem", "--http-tls-key", "both.pem")
    started.append(server)
    server.wait_ready()
    assert any(one.startswith(f"  on   API: https://{HOST}:") for one in server.lines)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    connection = http.client.HTTPSConnection(*server.api, timeout=PATIENCE_S, context=context)
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200
    connection.close()
    assert server.end() == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[sip", "this is no TOML"),
        ("[sip]\nlisen = []", "did you mean listen?"),
        (
            "[apps.a]\nenrolment_key = 'k'\n[apps.a.apns]\nkey_file = 'no.p8'\nkey_id = 'ABCDEFGHIJ'\n"
            "team_id = 'KLMNOPQRST'\ntopic = 'com.example'",
            "no.p8",
        ),
        ("[http]\ntls_cert = 'no.pem'\ntls_key = 'no.key'", "no.pem"),
        ("[store]\nurl = 'postgresql://x'", "postgresql"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_one_line(
    tmp_path: Path, started: list[Process], text: str, words: str
) -> None:
    (tmp_path / "wakerobin.toml").write_text(text)
    process = Process(tmp_path)
    started.append(process)
    assert words in refused(process)
