"""`wakerobin simulate`, as a person and as a script call it."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from wakerobin.cli.commands import wakerobin_command


def run(*words: str) -> Result:
    return CliRunner().invoke(wakerobin_command, ["simulate", "--days", "20", *words])


def test_people_read_a_table_with_a_column_for_each_policy() -> None:
    result = run("--phones", "60", "--processes", "1")
    assert result.exit_code == 0
    assert "60 phones, 20 days, seed 1" in result.stdout
    assert "adaptive / ladder" in result.stdout
    assert "visible warnings per user and month" in result.stdout


def test_scripts_read_one_object_which_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    """Also on another number of processes, in the picture, too."""
    results = []
    for processes in ("1", "2"):
        picture = tmp_path / f"{processes}.png"
        words = ("--phones", "600", "--seed", "9", "--json", "--plot", str(picture))
        results.append((run(*words, "--processes", processes).stdout, picture.read_bytes()))
    assert results[0] == results[1]
    found = json.loads(results[0][0])
    assert set(found) == {"assumptions", "policies"}
    assert set(found["policies"]) == {"adaptive", "ladder", "single"}


def test_a_picture_that_cannot_be_written_is_said_in_words(tmp_path: Path) -> None:
    result = run("--phones", "1", "--plot", str(tmp_path / "none" / "a.png"))
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


def test_no_phones_are_no_fleet() -> None:
    assert run("--phones", "0").exit_code == 2
