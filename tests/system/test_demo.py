"""The demo: its scenes happen, what does not happen is noticed, and it keeps its manners."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from wakerobin import log
from wakerobin.demo import call, main
from wakerobin.demo.cast import Cast, on_stage
from wakerobin.demo.page import Page
from wakerobin.demo.pocket import Pocket
from wakerobin.demo.tap import OnMessage
from wakerobin.testing.pns_script import Refuse

LIMIT_S = 45
ESCAPE = "\x1b["


@pytest.fixture(autouse=True)
def _log_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo turns the log down; the tests after this one want it as it was."""
    monkeypatch.setattr(log, "_output", log._output)


@pytest.fixture
def manners() -> Iterator[dict[str, str]]:
    """An environment with folders of its own, which the demo leaves as it found them."""
    # Not below pytest's own folder: the name of a Unix socket has 107 characters at most.
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as scratch:
        yield {"PATH": os.environ["PATH"], "HOME": home, "TMPDIR": scratch}
        assert [os.listdir(folder) for folder in (home, scratch)] == [[], []]


def test_every_step_happens_and_a_pipe_gets_plain_text(manners: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wakerobin", "demo"],
        env=manners,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert ESCAPE not in done.stdout
    assert "✗" not in done.stdout
    for shown in ("REGISTER", "INVITE", "VoIP push", "180 Ringing", "ACK", "BYE", "WARNING", "NOTICE", "END"):
        assert shown in done.stdout


def test_a_terminal_gets_colours(manners: dict[str, str], tmp_path: Path) -> None:
    shown = _in_terminal(manners | {"TERM": "xterm"}, tmp_path)
    assert ESCAPE in shown
    assert "steps happened" in shown


def test_a_terminal_gets_plain_text_where_no_color_is_set() -> None:
    for environ, is_coloured in (
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),  # no-color.org: only when it is not empty
        ({"TERM": "dumb"}, False),
    ):
        terminal = _Terminal("utf-8")
        Page.on(terminal, environ).promise("It happened.", is_kept=True)
        assert (ESCAPE in terminal.written()) is is_coloured


def test_a_terminal_without_unicode_gets_ascii() -> None:
    terminal = _Terminal("ascii")
    page = Page.on(terminal, {"NO_COLOR": "1"})
    page.heading("Scene")
    page.line("──► 200 OK │ ✓ é …")
    assert terminal.written().isascii()
    assert "--> 200 OK | + ? ..." in terminal.written()


def test_a_reader_who_leaves_early_gets_no_traceback(manners: dict[str, str], tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "wakerobin", "demo"],
        env=manners,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert demo.stdout is not None
    assert demo.stderr is not None
    try:
        while b"INVITE" not in demo.stdout.readline():
            pass
        demo.stdout.close()
        assert demo.wait(LIMIT_S) == 1
        assert demo.stderr.read() == b""
    finally:
        demo.kill()
        demo.wait()
        demo.stderr.close()


def test_a_push_service_that_refuses_fails_the_call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(call, "PATIENCE_S", 1.0)
    _with_cast(monkeypatch, lambda cast: cast.pns.always(Refuse(status=410, reason="Unregistered")))
    assert main() == 1
    assert "✗ Call a sleeping phone" in capsys.readouterr().out


def test_a_phone_that_is_never_there_fails_the_week(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Pocket, "_wake", lambda _pocket: None)
    assert main() == 1
    shown = capsys.readouterr().out
    assert "✗ A day before its end one silent push renewed it" in shown
    assert "✓ The BYE found its way" in shown


def test_nothing_that_is_secret_is_shown_and_only_loopback_is_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets: list[str] = []
    addresses: list[str] = []

    def look(cast: Cast) -> None:
        assert cast.server.rooms is not None
        assert cast.server.api_address is not None
        secrets.extend((cast.password.reveal(), cast.enrolment_key.reveal(), cast.device_token))
        addresses.extend(listener.address for listener in cast.server.rooms.endpoint.listeners)
        addresses.append(cast.server.api_address[0])

    _with_cast(monkeypatch, look)
    assert main() == 0
    written = "".join(capsys.readouterr())
    assert len(secrets) == 3
    assert [secret for secret in secrets if secret in written] == []
    assert set(addresses) == {"127.0.0.1"}


def _with_cast(monkeypatch: pytest.MonkeyPatch, change: object) -> None:
    @asynccontextmanager
    async def changed(folder: Path, at_pbx: OnMessage, at_phone: OnMessage) -> AsyncIterator[Cast]:
        async with on_stage(folder, at_pbx, at_phone) as cast:
            assert callable(change)
            change(cast)
            yield cast

    monkeypatch.setattr(call, "on_stage", changed)


def _in_terminal(environ: dict[str, str], folder: Path) -> str:
    ours, theirs = pty.openpty()
    demo = subprocess.Popen(
        [sys.executable, "-m", "wakerobin", "demo"],
        env=environ,
        cwd=folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while read := _read(ours):
            shown += read
        assert demo.wait(LIMIT_S) == 0
    finally:
        demo.kill()
        demo.wait()
        os.close(ours)
    return shown.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so at the end of a terminal
        return b""


class _Terminal(io.TextIOWrapper):
    """A stream that says that it is a terminal."""

    def __init__(self, encoding: str) -> None:
        self._octets = io.BytesIO()
        super().__init__(self._octets, encoding=encoding)

    def isatty(self) -> bool:
        return True

    def written(self) -> str:
        self.flush()
        return self._octets.getvalue().decode(self.encoding)
