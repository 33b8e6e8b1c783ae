"""The command line, with a server that runs and without one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.system.served import PATH, World, serving
from wakerobin.cli.commands import wakerobin_command
from wakerobin.cli.show import print_details, print_table

HOST = "127.81.0.7"


class Shell:
    """Runs commands against the data of a world."""

    def __init__(self, folder: Path) -> None:
        self.store = [
            "--store-data-dir",
            str(folder / "data"),
            "--store-key-file",
            str(folder / "config" / "vault.key"),
        ]

    def run(self, *words: str, typed: str = "") -> Result:
        return CliRunner().invoke(wakerobin_command, [*words, *self.store], input=typed)

    async def __call__(self, *words: str, typed: str = "") -> Result:
        return await asyncio.to_thread(self.run, *words, typed=typed)


async def called(world: World) -> str:
    """Enrol anna and let her be called; return the id of her registration."""
    body = (await world.api.enrol(world.fields(display_name="Anna"))).json
    call = world.pbx.call("anna", display="Ben \x1b[31m")
    await world.pns.wait_for(lambda one: one.type == "call")
    await call.wait(lambda one: one.is_ringing)
    call.cancel()
    await call.wait(lambda one: one.final != 0)
    path = f"{PATH}/{body['id']}/calls"
    async with asyncio.timeout(5):
        while (await world.api.send("GET", path, secret=body["secret"])).json["calls"][0][
            "state"
        ] != "cancelled":
            await asyncio.sleep(0)
    return str(body["id"])


async def test_a_running_server_is_asked_over_its_socket(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    async with serving(tmp_path, HOST) as world:
        id_ = await called(world)
        assert (tmp_path / "data" / "wakerobin.sock").stat().st_mode & 0o777 == 0o600
        await expect_commands(shell, id_, "registered")
        gone = await shell("registrations", "delete", id_, typed="y\n")
        assert (gone.exit_code, gone.stdout) == (0, "Ended.\n")
        shown = json.loads((await shell("registrations", "show", id_, "--json")).stdout)
        assert shown["life"]["ended"] == "deleted"


async def test_a_long_path_of_the_data_folder_is_no_hindrance(tmp_path: Path) -> None:
    """Linux takes no name of a Unix socket of more than 107 octets."""
    folder = tmp_path / ("a" * 60) / ("b" * 60)
    folder.mkdir(parents=True)
    shell = Shell(folder)
    async with serving(folder, HOST) as world:
        id_ = (await world.api.enrol(world.fields())).json["id"]
        socket = folder / "data" / "wakerobin.sock"
        assert len(str(socket)) > 120
        assert socket.stat().st_mode & 0o777 == 0o600
        shown = json.loads((await shell("registrations", "show", id_, "--json")).stdout)
        assert shown["account"]["binding_expires_at"], "only the server that runs knows that"
    assert not socket.exists()


async def test_without_a_server_the_store_itself_is_read(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    async with serving(tmp_path, HOST) as world:
        id_ = await called(world)
        port = world.pbx.port
    await expect_commands(shell, id_, "registered")
    assert (await shell("registrations", "delete", id_, "--yes")).exit_code == 0
    async with serving(tmp_path, HOST, port) as world:
        shown = json.loads((await shell("registrations", "show", id_, "--json")).stdout)
        assert shown["life"]["ended"] == "deleted"
        # What the deletion owes the PBX is done by the server that runs next.
        await world.pbx.wait_register()
        removal = world.pbx.registrar.seen[0]
        assert removal.user == "anna"
        assert removal.expires == 0 or all("expires=0" in contact for contact in removal.contacts)
        assert removal.contacts != ("*",), "what is not ours stays"


async def expect_commands(shell: Shell, id_: str, binding: str) -> None:
    """Every reading command shows what there is, to people and to programs."""
    listed = await shell("registrations", "list")
    assert listed.exit_code == 0, listed.output
    header, row = listed.stdout.splitlines()
    assert header.split() == ["ID", "AOR", "APP", "PLATFORM", "STAGE", "BINDING", "LIVES", "UNTIL"]
    assert row.split()[:6] == [id_, "sip:anna@pbx.test", "phone", "ios", "active", binding]

    page = json.loads((await shell("registrations", "list", "--json", "--aor", "anna")).stdout)
    assert [one["id"] for one in page["registrations"]] == [id_]
    assert page["next"] == 0
    none = await shell("registrations", "list", "--aor", "nobody")
    assert none.stdout == "There is no push registration.\n"

    shown = await shell("registrations", "show", id_)
    assert "display name: Anna" in shown.stdout
    assert "provider apns, purposes call" in shown.stdout
    details = json.loads((await shell("registrations", "show", id_, "--json")).stdout)
    assert details["account"]["state"] == binding
    assert [one["purposes"] for one in details["targets"]] == [["call"], ["notice"]]
    text = json.dumps(details)
    for secret in ("a1a1a1", "b2b2b2", "anna-password", "wrs_"):
        assert secret not in text

    story = (await shell("registrations", "timeline", id_)).stdout
    assert "The app enrolled it." in story
    assert "The PBX accepted the credentials" in story

    calls = await shell("calls", "list")
    assert "cancelled" in calls.stdout
    assert "\x1b" not in calls.stdout, "a caller's name cannot steer the terminal"
    call_id = json.loads((await shell("calls", "list", "--json")).stdout)["calls"][0]["call_id"]
    call = (await shell("calls", "show", call_id)).stdout
    assert "A push to wake the phone was sent." in call
    events = json.loads((await shell("calls", "show", call_id, "--json")).stdout)["events"]
    assert [one["event"] for one in events][:2] == ["invite", "push-sent"]

    for words in (("registrations", "show"), ("registrations", "timeline"), ("calls", "show")):
        missing = await shell(*words, "nothing/../else")
        assert missing.exit_code == 1
        assert missing.stderr.startswith("wakerobin: there is no")
    assert (await shell("registrations", "delete", id_, typed="n\n")).exit_code == 1


async def test_lists_are_read_in_pages(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    async with serving(tmp_path, HOST) as world:
        for number in range(3):
            fields = world.fields(f"user{number}", installation_id=f"{number}" * 22)
            assert (await world.api.enrol(fields, wait=0)).status == 201
        first = json.loads((await shell("registrations", "list", "--json", "--limit", "2")).stdout)
        rest = json.loads(
            (await shell("registrations", "list", "--json", "--after", str(first["next"]))).stdout
        )
        assert (len(first["registrations"]), len(rest["registrations"]), rest["next"]) == (2, 1, 0)
        told = await shell("registrations", "list", "--limit", "2")
        assert told.stdout.splitlines()[-1] == f"There are more: --after {first['next']}"


def test_where_nothing_is_there_is_nobody_to_ask(tmp_path: Path) -> None:
    result = Shell(tmp_path).run("registrations", "list")
    assert result.exit_code == 3
    assert "no server answers" in result.stderr
    assert not (tmp_path / "data").exists(), "reading makes nothing"


def test_a_key_that_is_not_the_databases_is_told(tmp_path: Path) -> None:
    shell = Shell(tmp_path)

    async def run() -> None:
        async with serving(tmp_path, HOST):
            pass

    asyncio.run(run())
    (tmp_path / "config" / "vault.key").unlink()
    result = shell.run("calls", "list")
    assert result.exit_code == 2
    assert "vault.key is missing" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--version"], 0),
        (["--help"], 0),
        (["nothing"], 2),
        (["registrations"], 2),
        (["registrations", "show"], 2),
        (["registrations", "list", "--limit", "0"], 2),
        (["calls", "list", "--store-max-pages", "many"], 2),
        (["calls", "list", "--config", "/no/such/file"], 2),
        (["serve", "--sip-listen", "nonsense"], 2),
    ],
)
def test_usage_and_configuration_have_their_exit_code(words: list[str], code: int, tmp_path: Path) -> None:
    environ = {"XDG_DATA_HOME": str(tmp_path / "d"), "XDG_CONFIG_HOME": str(tmp_path / "c")}
    result = CliRunner(env=environ).invoke(wakerobin_command, words)
    assert result.exit_code == code, result.output


def test_empty_fields_are_left_out_and_times_are_readable(capsys: pytest.CaptureFixture[str]) -> None:
    value: dict[str, Any] = {
        "name": "x\x1b]0;y",
        "empty": "",
        "ended_at": 0,
        "created_at": 1_783_395_200_123,
        "proven": False,
        "life": {"expires_at": 1_783_395_200_123},
        "plan": [{"kind": "renew", "at": 1_783_395_200_123}],
    }
    print_details(value)
    assert capsys.readouterr().out.splitlines() == [
        "name: x\ufffd]0;y",
        "created at: 2026-07-07 03:33:20 UTC",
        "proven: no",
        "life:",
        "  expires at: 2026-07-07 03:33:20 UTC",
        "plan:",
        "  kind renew, at 2026-07-07 03:33:20 UTC",
    ]


def test_columns_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("a", "long name"), [("xyz", 1), ("", True)], "nothing")
    assert capsys.readouterr().out == "A    LONG NAME\nxyz  1\n     yes\n"
