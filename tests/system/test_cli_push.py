"""`wakerobin push`: the key of a web app is made once and shown as browsers want it."""

from __future__ import annotations

import stat
from pathlib import Path

from click.testing import CliRunner, Result

from wakerobin.cli.push import push


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(push, [str(word) for word in words], prog_name="wakerobin push")


def configuration(folder: Path, webpush: str) -> Path:
    file = folder / "wakerobin.toml"
    file.write_text(f'[apps.phone]\nenrolment_key = "k"\n{webpush}')
    return file


def test_a_key_is_made_and_its_public_half_shown_again_from_the_configuration(tmp_path: Path) -> None:
    key = tmp_path / "vapid.pem"
    config = configuration(tmp_path, "")
    made = run("webpush-key", "phone", "--make", key, "--config", config)
    assert made.exit_code == 0
    public = made.stdout.strip()
    assert len(public) == 87
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert "PRIVATE" not in made.output
    lines = made.stderr[made.stderr.index("[apps.phone.webpush]") :]
    config = configuration(tmp_path, lines)
    shown = run("webpush-key", "phone", "--config", config)
    assert (shown.exit_code, shown.stdout.strip()) == (0, public)


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    key = tmp_path / "vapid.pem"
    config = configuration(tmp_path, "")
    assert run("webpush-key", "phone", "--make", key, "--config", config).exit_code == 0
    before = key.read_bytes()
    again = run("webpush-key", "phone", "--make", key, "--config", config)
    assert again.exit_code == 1
    assert "exists" in again.stderr
    assert key.read_bytes() == before


def test_what_stands_in_the_way_is_said_in_one_line(tmp_path: Path) -> None:
    config = configuration(tmp_path, "")
    none = run("webpush-key", "phone", "--config", config)
    assert none.exit_code == 1
    assert "no [apps.phone.webpush]" in none.stderr
    nowhere = run("webpush-key", "phone", "--make", tmp_path / "no" / "key.pem", "--config", config)
    assert nowhere.exit_code == 1
    assert "cannot be written (No such file" in nowhere.stderr
    lost = f'[apps.phone.webpush]\nsubject = "mailto:a@b.example"\nvapid_key_file = "{tmp_path}/lost.pem"\n'
    gone = run("webpush-key", "phone", "--config", configuration(tmp_path, lost))
    assert gone.exit_code == 2
    assert "lost.pem cannot be read" in gone.stderr
