"""A server that writes without pause is killed again and again: what was acknowledged is there.

This file is also the program that is killed.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from wakerobin.core.pushes import Lane, PushType
from wakerobin.core.values import Account, Duration, Life, PushRegistration
from wakerobin.ports.options import StoreOptions
from wakerobin.ports.store import OutboxRow, StoryRow, Transaction
from wakerobin.store import SqliteStore, engine, open_store
from wakerobin.testing.clock import ManualClock

REGISTRATIONS = 25
AT_ONCE = 40
MANY = 1_000_000


def opened(folder: Path) -> SqliteStore:
    return open_store(StoreOptions(), folder / "data", folder / "vault.key", ManualClock())


def prepare(tx: Transaction) -> int:
    """Enrol once; return the number of the next step."""
    if not tx.registrations.page(0, 1):
        account = tx.accounts.add(
            Account(
                slot=0,
                app="app",
                aor="sip:a@pbx.example",
                auth_user="a",
                registrar="",
                contact_user="c",
                instance="i",
                created_at=0,
            )
        )
        for number in range(REGISTRATIONS):
            registration = PushRegistration(
                public_id=f"pr_{number}",
                account_id=account.id,
                app="app",
                installation=str(number),
                sip_instance=str(number),
                secret_hash=b"",
                lifetime=Duration(1),
                created_at=0,
            )
            id_ = tx.registrations.add(registration).id
            tx.lives.add(Life(id=id_, slot=0, expires_at=0, next_at=0, lifetime=Duration(1), renewed_at=0))
    return int(tx.kept.get("next") or b"1")


def step(number: int, tx: Transaction) -> int:
    """Write a bit of everything; all of it belongs together."""
    life = tx.lives.get(tx.registrations.page(number % REGISTRATIONS, 1)[0].id)
    assert life is not None
    # Now and then the timer moves too, so that its index is written.
    next_at = number if number % 7 == 0 else life.next_at
    tx.lives.update(replace(life, generation=number, expires_at=number, next_at=next_at))
    tx.stories.add(StoryRow(subject=f"step:{number}", at=number, event="first"))
    row = OutboxRow(
        slot=0,
        registration_id=life.id,
        generation=number,
        kind=PushType.EXPIRED,
        step=0,
        not_before=0,
        deadline_at=number,
    )
    assert tx.outbox.add(row)
    tx.kept.put("next", str(number + 1).encode())
    tx.stories.add(StoryRow(subject=f"step:{number}", at=number, event="last"))
    return number


async def write_for_ever(folder: Path) -> None:
    """Write steps, and one line for each that was committed."""
    store = opened(folder)
    numbers = itertools.count(await store.transact(prepare))

    async def writer() -> None:
        for number in numbers:
            done = await store.transact(partial(step, number))
            os.write(1, f"{done}\n".encode())

    os.write(1, b"0\n")
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(writer())


def killed_after(folder: Path, lines: int) -> list[int]:
    """Run the program, kill it after so many lines; return what it acknowledged until then."""
    with subprocess.Popen(
        [sys.executable, __file__, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        try:
            said = [program.stdout.readline() for _ in range(lines)]
        finally:
            program.kill()
        rest = program.stdout.read()
        errors = program.stderr.read().decode()
        assert program.wait() == -signal.SIGKILL, errors
    *whole, cut = b"".join([*said, rest]).split(b"\n")
    assert cut == b""
    return [number for number in map(int, whole) if number]


def stored(tx: Transaction) -> tuple[set[int], dict[int, list[str]]]:
    """Return the generations of the lives, and what the stories tell of each step."""
    generations = {one.life.generation for one in tx.lives.standings(tx.lives.due(MANY, MANY))}
    last = int(tx.kept.get("next") or b"1")
    return generations, {
        n: [row.event for row in tx.stories.of(f"step:{n}")] for n in range(1, last + AT_ONCE)
    }


async def test_what_was_acknowledged_survives_kill_9_and_nothing_is_there_by_half(tmp_path: Path) -> None:
    acknowledged: set[int] = set()
    for lines in (1, 2, 3, 10, 40, 41, 80, 200, 333, 500, 700, 1000):
        acknowledged.update(killed_after(tmp_path, lines))
        connection = engine.connect_writer(tmp_path / "data" / "wakerobin.db", 0)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.close()

    store = opened(tmp_path)
    generations, told = store.read(stored)
    pushes = {row.generation for row in store.read(lambda tx: tx.outbox.due(Lane.NOTICES, MANY, MANY))}
    await store.close()
    assert len(acknowledged) > 2000
    written = {number for number, events in told.items() if events}
    assert acknowledged <= written
    assert all(events in ([], ["first", "last"]) for events in told.values())
    assert pushes == written
    assert generations - {1} <= written
    # Not acknowledged but written: at most what was on its way at each kill.
    assert len(written - acknowledged) <= 12 * AT_ONCE


def test_a_kill_while_the_store_is_made_leaves_one_that_opens(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from wakerobin.store import migrations, opening;"
        "from wakerobin.ports.options import StoreOptions; from wakerobin.testing.clock import ManualClock;"
        "after, folder = int(sys.argv[1]), Path(sys.argv[2]); calls = 0\n"
        "def watch(frame, event, argument):\n"
        "    global calls\n"
        "    if 'wakerobin/store' in frame.f_code.co_filename:\n"
        "        calls += 1\n"
        "        if calls == after: os.kill(os.getpid(), signal.SIGKILL)\n"
        "import threading; threading.setprofile(watch); sys.setprofile(watch)\n"
        "opening.open_store(StoreOptions(), folder / 'data', folder / 'vault.key', ManualClock())\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    ended = []
    for after in range(3, 100, 9):
        folder = tmp_path / str(after)
        folder.mkdir()
        run = subprocess.run([sys.executable, "-c", code, str(after), str(folder)], capture_output=True)
        ended.append(run.returncode)
        assert run.returncode in (-signal.SIGKILL, -signal.SIGTERM), run.stderr.decode()
        again = opened(folder)
        asyncio.run(again.close())
    assert ended.count(-signal.SIGKILL) >= 5


if __name__ == "__main__":
    asyncio.run(write_for_ever(Path(sys.argv[1])))
