"""`wakerobin guests`: what an operator sees of phones that never enrolled, with a server and without."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from click.testing import CliRunner, Result

from tests.contract.test_store_guests import TOKEN, guest
from wakerobin.cli.commands import wakerobin_command
from wakerobin.core.guests import Guest
from wakerobin.ports.options import StoreOptions
from wakerobin.ports.store import Transaction
from wakerobin.services import story
from wakerobin.store import open_store
from wakerobin.testing.clock import ManualClock


def run(folder: Path, *words: str) -> Result:
    file = folder / "wakerobin.toml"
    file.write_text(f'[store]\ndata_dir = "{folder}/data"\nkey_file = "{folder}/key"\n')
    return CliRunner().invoke(wakerobin_command, ["guests", *words, "--config", str(file)])


def keep(folder: Path, *guests: Guest) -> None:
    async def work() -> None:
        store = open_store(StoreOptions(), folder / "data", folder / "key", ManualClock())

        def write(tx: Transaction) -> None:
            for one in guests:
                tx.guests.put(one)
                story.tell(
                    tx, story.of_guest(one.number), one.registered_at, "guest-registered", provider="fcm"
                )

        await store.transact(write)
        await store.close()

    asyncio.run(work())


def test_the_list_says_who_is_registered_and_until_when_and_no_token(tmp_path: Path) -> None:
    one, other = guest(), guest(2**48 + 2, aor="sip:ben@pbx.example", targets=())
    keep(tmp_path, one, other)
    shown = run(tmp_path, "list")
    assert shown.exit_code == 0, shown.output
    assert [line.split()[0] for line in shown.output.splitlines()] == [
        "ID",
        str(one.number),
        str(other.number),
    ]
    assert "fcm" in shown.output
    of_ben = json.loads(run(tmp_path, "list", "--aor", "sip:ben@pbx.example", "--json").output)
    assert [found["id"] for found in of_ben["guests"]] == [str(other.number)]
    assert TOKEN not in shown.output


def test_one_is_shown_with_its_story_in_words(tmp_path: Path) -> None:
    keep(tmp_path, guest())
    shown = run(tmp_path, "show", str(guest().number))
    assert shown.exit_code == 0, shown.output
    assert "The phone registered at its PBX through us. Push service: fcm." in shown.output
    assert TOKEN not in shown.output


def test_one_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    keep(tmp_path)
    assert "There is no such phone." in run(tmp_path, "list").output
    for id_ in ("7", "x", "9" * 40, "½"):
        shown = run(tmp_path, "show", id_)
        assert shown.exit_code == 1
        assert "there is no phone" in shown.output
