"""`wakerobin accounts import`: what an operator brings from elsewhere rings like what enrolled itself."""

from __future__ import annotations

import asyncio
import csv
import hashlib
from pathlib import Path
from typing import Any

from tests.system.served import OTHER_INSTALLATION, World, serving
from tests.system.test_cli import Shell
from wakerobin.core.values import PushRegistration
from wakerobin.ports.store import Store

HOST = "127.81.9.1"
WEEK = 7 * 24 * 3600_000


def token(number: int) -> str:
    return f"{number:064x}"


def line(user: str, number: int, **changes: str) -> dict[str, str]:
    """Return a good line for a user."""
    fields = {
        "app": "phone",
        "aor": f"sip:{user}@pbx.test",
        "password": f"{user}-password",
        "provider": "apns",
        "token": token(number),
        "notice_token": token(number + 1000),
        "platform": "ios",
    }
    return fields | changes


def write(path: Path, lines: list[dict[str, str]]) -> Path:
    names = list(dict.fromkeys(name for one in lines for name in one))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(lines)
    return path


def at(world: World, lines: list[dict[str, str]]) -> list[dict[str, str]]:
    """Name the PBX of a world in every line."""
    return [{**one, "registrar": f"{world.pbx.host}:{world.pbx.port}"} for one in lines]


async def proven(world: World, count: int) -> list[PushRegistration]:
    """Wait until so many registrations are proven."""
    async with asyncio.timeout(15):
        while True:
            found = [one for one in registrations(store_of(world)) if one.proven]
            if len(found) >= count:
                return found
            await asyncio.sleep(0)


def store_of(world: World) -> Store:
    assert world.server.rooms is not None
    return world.server.rooms.ground.store


def registrations(store: Store) -> list[PushRegistration]:
    return store.read(lambda tx: tx.registrations.page(0, 500))


async def test_an_imported_account_is_registered_and_its_phone_is_woken(tmp_path: Path) -> None:
    ha1 = hashlib.md5(b"ben:pbx.test:ben-password").hexdigest()
    async with serving(tmp_path, HOST) as world:
        hashed = line("ben", 2, password="", ha1=ha1, realm="pbx.test", algorithm="MD5")
        file = write(tmp_path / "accounts.csv", at(world, [line("anna", 1), hashed]))
        done = await Shell(tmp_path)("accounts", "import", str(file))
        assert done.exit_code == 0, done.output
        assert "2 taken in" in done.output
        await proven(world, 2)
        call = world.pbx.call("ben")
        pushed = await world.pns.wait_for(lambda one: one.type == "call")
        assert pushed.token == token(2)
        call.cancel()
        again = await Shell(tmp_path)("accounts", "import", str(file))
        assert again.exit_code == 0
        assert "2 there already" in again.output
        assert len(registrations(store_of(world))) == 2


async def test_wrong_lines_are_told_by_their_numbers_and_the_others_are_taken(tmp_path: Path) -> None:
    async with serving(tmp_path, HOST) as world:
        lines = at(
            world,
            [
                line("anna", 1),
                line("ben", 2, app="unknown"),
                line("ben", 3, aor="ben"),
                line("ben", 4, token="no hex"),
                line("ben", 5, password=""),
                line("ben", 6, platform="nokia"),
                line("ben", 7, lifetime_s="week"),
            ],
        )
        file = write(tmp_path / "accounts.csv", lines)
        errors = tmp_path / "errors.txt"
        done = await Shell(tmp_path)("accounts", "import", str(file), "--errors", str(errors))
        assert done.exit_code == 1
        assert "6 of 7 lines were refused" in done.output
        told = errors.read_text().splitlines()
        assert [one.split(":")[0] for one in told] == [f"line {number}" for number in range(3, 9)]
        for text, word in zip(
            told, ("app", "aor", "token", "credentials", "platform", "lifetime"), strict=True
        ):
            assert word in text, text
        assert "anna-password" not in done.output + errors.read_text()
        await proven(world, 1)


async def test_what_the_pbx_refuses_is_told_when_the_file_comes_again(tmp_path: Path) -> None:
    async with serving(tmp_path, HOST) as world:
        file = write(tmp_path / "accounts.csv", at(world, [line("anna", 1, password="wrong")]))
        first = await Shell(tmp_path)("accounts", "import", str(file))
        assert first.exit_code == 0, first.output
        store = store_of(world)
        async with asyncio.timeout(15):
            while store.read(lambda tx: tx.binding_work.trial_ids()):
                await asyncio.sleep(0)
        second = await Shell(tmp_path)("accounts", "import", str(file))
        assert second.exit_code == 1
        assert "line 2:" in second.output


async def test_lives_that_were_imported_together_end_at_different_times(tmp_path: Path) -> None:
    async with serving(tmp_path, HOST) as world:
        lines = at(world, [line(f"user{number}", number) for number in range(60)])
        done = await Shell(tmp_path)("accounts", "import", str(write(tmp_path / "accounts.csv", lines)))
        assert done.exit_code == 0, done.output
        store = store_of(world)
        now = world.server.rooms.ground.clock.now()  # type: ignore[union-attr]  # it runs
        lives = store.read(lambda tx: [tx.lives.get(one.id) for one in tx.registrations.page(0, 500)])
        ends = [life.expires_at - now for life in lives if life is not None]
        assert len(set(ends)) == 60
        assert all(WEEK * 3 // 4 - 60_000 <= end <= WEEK for end in ends)
        assert max(ends) - min(ends) > WEEK // 10
        assert all(life.next_at is not None and life.next_at < life.expires_at for life in lives if life)


async def test_without_a_server_the_file_goes_into_the_store_and_is_tried_at_the_start(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, HOST) as world:
        port = world.pbx.port
        lines = at(world, [line("anna", 1)])
    config = tmp_path / "wakerobin.toml"
    config.write_text(
        '[apps.phone]\nenrolment_key = "k"\nregistrars = ["pbx.test"]\n'
        f'[apps.phone.apns]\nkey_file = "{tmp_path}/pns/key.p8"\nkey_id = "ABCDE12345"\n'
        'team_id = "ABCDE12345"\ntopic = "com.example.phone"\n',
        encoding="utf-8",
    )
    file = write(tmp_path / "accounts.csv", lines)
    done = await Shell(tmp_path)("accounts", "import", str(file), "--config", str(config))
    assert done.exit_code == 0, done.output
    assert "1 taken in" in done.output
    async with serving(tmp_path, HOST, port) as world:
        await proven(world, 1)


async def test_an_app_that_enrols_later_takes_its_place_beside_the_import(tmp_path: Path) -> None:
    async with serving(tmp_path, HOST) as world:
        lines = at(world, [line("anna", 1, installation_id=OTHER_INSTALLATION)])
        await Shell(tmp_path)("accounts", "import", str(write(tmp_path / "accounts.csv", lines)))
        (imported,) = await proven(world, 1)
        fields: dict[str, Any] = world.fields(installation_id=OTHER_INSTALLATION)
        answer = await world.api.enrol(fields)
        assert answer.status == 200
        assert answer.json["id"] == imported.public_id


def test_a_file_that_is_no_list_of_accounts_is_refused_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "accounts.csv"
    for content, word in (
        ("app,aor\nphone,sip:a@b\n", "provider"),
        ("app,aor,provider,colour\n", "colour"),
        ("", "app"),
    ):
        file.write_text(content)
        # The store is made first: reading a file needs somewhere to put it.
        with_store = tmp_path / "data"
        with_store.mkdir(exist_ok=True)
        (with_store / "wakerobin.db").touch()
        done = Shell(tmp_path).run("accounts", "import", str(file))
        assert done.exit_code == 2, done.output
        assert word in done.output
