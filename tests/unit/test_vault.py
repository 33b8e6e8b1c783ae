from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.errors import ConfigurationError
from wakerobin.store import vault
from wakerobin.store.vault import KeyRing, SealBrokenError, Vault

PLACE = "credentials:sealed:7"
LOOKUP = b"l" * 32


def ring(active: int = 1, **keys: bytes) -> KeyRing:
    return KeyRing(active, {int(name[1:]): key for name, key in keys.items()} or {1: b"k" * 32}, LOOKUP)


@given(st.binary(max_size=200), st.text(max_size=40))
def test_what_was_sealed_for_a_place_opens_there(plain: bytes, place: str) -> None:
    assert Vault(ring()).unseal(Vault(ring()).seal(plain, place), place) == plain


@pytest.mark.parametrize(
    "place", ["credentials:sealed:8", "credentials:other:7", "target:sealed:7", "credentials:sealed:77", ""]
)
def test_it_opens_in_no_other_row_column_or_table(place: str) -> None:
    sealed = Vault(ring()).seal(b"secret", PLACE)
    with pytest.raises(SealBrokenError, match="another key or for another row"):
        Vault(ring()).unseal(sealed, place)


def test_another_key_does_not_open_it() -> None:
    sealed = Vault(ring()).seal(b"secret", PLACE)
    with pytest.raises(SealBrokenError, match="another key"):
        Vault(ring(k1=b"x" * 32)).unseal(sealed, PLACE)
    with pytest.raises(SealBrokenError, match="not sealed by any key"):
        Vault(ring(2, k2=b"k" * 32)).unseal(sealed, PLACE)


@given(st.data())
def test_a_sealed_value_that_was_changed_or_cut_does_not_open(data: st.DataObject) -> None:
    sealed = Vault(ring()).seal(b"secret", PLACE)
    cut = data.draw(st.integers(0, len(sealed) - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    flipped = sealed[:cut] + bytes([sealed[cut] ^ bit]) + sealed[cut + 1 :]
    for broken in (sealed[:cut], flipped, sealed + b"\0"):
        with pytest.raises(SealBrokenError):
            Vault(ring()).unseal(broken, PLACE)


def test_the_same_secret_is_sealed_differently_each_time_and_shows_nothing_of_it() -> None:
    secret = b"correct horse battery staple"
    sealed = [Vault(ring()).seal(secret, PLACE) for _ in range(20)]
    assert len(set(sealed)) == 20
    assert not any(secret[n : n + 6] in s for s in sealed for n in range(len(secret) - 6))
    assert {len(s) for s in sealed} == {len(secret) + 32}


def test_after_a_rotation_the_new_key_seals_and_the_old_one_still_opens() -> None:
    old = Vault(ring(1, k1=b"a" * 32))
    rotated = Vault(ring(2, k1=b"a" * 32, k2=b"b" * 32))
    only_new = Vault(ring(2, k2=b"b" * 32))
    sealed = old.seal(b"secret", PLACE)
    assert rotated.unseal(sealed, PLACE) == b"secret"
    assert only_new.unseal(rotated.seal(b"secret", PLACE), PLACE) == b"secret"
    with pytest.raises(SealBrokenError):
        only_new.unseal(sealed, PLACE)


def test_a_lookup_is_stable_keyed_and_different_for_different_texts() -> None:
    one, same, other = (
        Vault(ring()),
        Vault(ring(1, k1=b"z" * 32)),
        Vault(KeyRing(1, {1: b"k" * 32}, b"m" * 32)),
    )
    assert one.lookup("token") == same.lookup("token")
    assert one.lookup("token") != other.lookup("token")
    assert one.lookup("token") != one.lookup("token2")
    assert one.lookup("\udcff") != one.lookup("?")


def test_a_key_ring_does_not_show_its_keys() -> None:
    shown = repr(ring())
    assert "kkk" not in shown
    assert "lll" not in shown


def test_a_new_key_ring_is_written_for_its_owner_only_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "config" / "vault.key"
    made = vault.create(path)
    assert vault.load(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [p.name for p in path.parent.iterdir()] == ["vault.key"]
    assert len(made.keys[made.active]) == 32
    assert made.keys != vault.create(tmp_path / "other").keys


def test_a_key_ring_that_is_there_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "vault.key"
    first = vault.create(path)
    assert vault.create(path) == first
    assert [p.name for p in tmp_path.iterdir()] == ["vault.key"]


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o660, 0o666, 0o620, 0o601])
def test_a_key_file_that_others_may_read_is_refused_with_the_command_that_mends_it(
    tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "vault.key"
    vault.create(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=rf"others may read .*{mode:04o}.*chmod 600 {path}"):
        vault.load(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_file_of_another_owner_may_be_given_to_us_by_its_group(tmp_path: Path) -> None:
    path = tmp_path / "vault.key"
    made = vault.create(path)
    path.chmod(0o440)
    os.chown(path, 65534, -1)
    assert vault.load(path) == made
    path.chmod(0o444)
    with pytest.raises(ConfigurationError, match="others may read"):
        vault.load(path)


KEY = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\xff",
        "no toml",
        f'active = 1\nlookup = "{KEY}"\n',
        f'active = 2\nlookup = "{KEY}"\n[keys]\n1 = "{KEY}"\n',
        f'active = 1\nlookup = "{KEY}"\nkeys = 5\n',
        f'active = 1\n[keys]\n1 = "{KEY}"\n',
        f'active = 1\nlookup = "{KEY}"\n[keys]\n1 = "{KEY[:-4]}"\n',
        f'active = 1\nlookup = "{KEY}"\n[keys]\n1 = "*{KEY[1:]}"\n',
        f'active = 1\nlookup = "{KEY}"\n[keys]\n1 = 5\n',
        f'active = 0\nlookup = "{KEY}"\n[keys]\n0 = "{KEY}"\n',
        f'active = 4294967296\nlookup = "{KEY}"\n[keys]\n4294967296 = "{KEY}"\n',
        f'active = 1\nlookup = "{KEY}"\n[keys]\none = "{KEY}"\n',
    ],
)
def test_a_file_that_is_no_key_ring_is_refused_in_words(tmp_path: Path, text: str) -> None:
    path = tmp_path / "vault.key"
    path.write_bytes(text.encode("latin-1"))
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match=r"is not a key ring .*Restore the file"):
        vault.load(path)


def test_the_smallest_good_key_ring_is_read(tmp_path: Path) -> None:
    path = tmp_path / "vault.key"
    path.write_text(f'active = 1\nlookup = "{KEY}"\n[keys]\n1 = "{KEY}"\n')
    path.chmod(0o600)
    assert vault.load(path) == KeyRing(1, {1: b"k" * 32}, b"k" * 32)


def test_a_place_where_no_key_can_be_written_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        vault.create(tmp_path / "file" / "vault.key")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        vault.load(tmp_path / "file" / "vault.key")
    with pytest.raises(FileNotFoundError):
        vault.load(tmp_path / "none")
