"""The SQL of the store: its files, the plans that SQLite makes of them, and the migrations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from wakerobin.core.errors import ConfigurationError
from wakerobin.store import migrations
from wakerobin.store.engine import Connection, DatabaseError, connect_writer
from wakerobin.store.migrations import Migration
from wakerobin.store.opening import back_up
from wakerobin.store.statements import load, parse

STORE = Path(str(resources.files("wakerobin.store")))
GROUPS = sorted(path.stem for path in (STORE / "sql").glob("*.sql"))
STATEMENTS = [(group, name) for group in GROUPS for name in load(group)]


def unexpected(schema: int) -> None:
    raise AssertionError(f"a backup of schema {schema} was not expected")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    connection = connect_writer(tmp_path / "test.db", 0)
    migrations.apply(connection, migrations.shipped(), unexpected, name="test.db")
    yield connection
    connection.close()


def explained(connection: Connection, how: str, group: str, name: str) -> list[tuple[Any, ...]]:
    sql = load(group)[name]
    values = dict.fromkeys(re.findall(r":(\w+)", sql), 0)
    return connection.execute(f"{how} {sql}", values).fetchall()


@pytest.mark.parametrize(("group", "name"), STATEMENTS)
def test_every_statement_fits_the_schema_and_is_used(connection: Connection, group: str, name: str) -> None:
    assert explained(connection, "EXPLAIN", group, name)
    programs = [path.read_text() for path in STORE.glob("*.py") if f'load("{group}")' in path.read_text()]
    assert any(f'"{name}"' in program for program in programs)


# What reads a whole table, and may: these hold work that is waiting, or are counted for the operator.
WHOLE = {
    ("alarms", "all"),
    ("binding_work", "trials"),
    ("binding_work", "trial_ids"),
    ("binding_work", "unregisters"),
    ("calls", "held"),
    ("guests", "count"),
    ("lives", "standings"),  # the list that it is given
    ("lives", "total"),
    ("lives", "ends"),
    ("outbox", "forget_leases"),
    ("troubles", "count"),
}
# What sorts in memory, and may: a handful of rows.
SORTED = {
    ("alarms", "all"),
    ("accounts", "by_aor"),
    ("outbox", "companions"),
    ("outbox", "due_of_few"),
    ("registrations", "callees"),
    ("registrations", "of_account"),
    ("registrations", "by_sip_instance"),
    ("calls", "held"),
    ("binding_work", "trials"),
    ("lives", "ends"),
    ("registrations", "dormant"),
    ("tallies", "since"),
}


@pytest.mark.parametrize(("group", "name"), STATEMENTS)
def test_no_statement_scans_or_sorts_a_large_table(connection: Connection, group: str, name: str) -> None:
    plan = [row[3] for row in explained(connection, "EXPLAIN QUERY PLAN", group, name)]
    scans = [step for step in plan if step.startswith("SCAN") and "CONSTANT" not in step]
    # min() and a paged walk begin at one end of an index and stop soon; SQLite calls that a search.
    assert not scans or (group, name) in WHOLE or re.search(r"\bLIMIT\b", load(group)[name]), plan
    assert not any("TEMP B-TREE" in step for step in plan) or (group, name) in SORTED, plan


@pytest.mark.parametrize(("name", "writes"), [("renew", False), ("update", True)])
def test_a_renewal_writes_no_index(connection: Connection, name: str, writes: bool) -> None:
    operations = {row[1] for row in explained(connection, "EXPLAIN", "lives", name)}
    assert ("IdxInsert" in operations) is writes
    assert "Insert" in operations


def test_statements_are_read_by_name_without_their_comments() -> None:
    text = (
        "-- one --\n-- Do one thing.\nSELECT 1\n\n-- two --\n-- Do another,\n-- at length.\nSELECT 2,\n  3\n"
    )
    assert parse(text) == {"one": "SELECT 1", "two": "SELECT 2,\n  3"}
    assert parse("") == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SELECT 1\n-- one --\n-- Do.\nSELECT 1", "before the first"),
        ("-- one --\nSELECT 1", "one needs a comment"),
        ("-- one --\n-- Do nothing.\n", "one needs a comment"),
        ("-- one --\n-- Do.\nSELECT 1\n-- one --\n-- Do.\nSELECT 1", "two statements one"),
    ],
)
def test_a_statement_without_name_description_or_sql_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse(text)


FIRST = Migration(1, "pre", "first", "CREATE TABLE a (x INTEGER) STRICT; INSERT INTO a VALUES (1)")
SECOND = Migration(2, "post", "second", "ALTER TABLE a ADD COLUMN y TEXT;\n-- done\n")
BROKEN = Migration(2, "pre", "broken", "INSERT INTO a VALUES (2); INSERT INTO nowhere VALUES (1)")


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Connection]:
    connection = connect_writer(tmp_path / "bare.db", 0)
    yield connection
    connection.close()


def schema(connection: Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_the_shipped_migrations_lead_to_their_last_number(connection: Connection) -> None:
    steps = migrations.shipped()
    assert schema(connection) == len(steps) == steps[-1].number
    migrations.apply(connection, steps, unexpected, name="test.db")
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def test_only_what_is_missing_runs_and_a_backup_comes_before(bare: Connection) -> None:
    migrations.apply(bare, [FIRST], unexpected, name="bare.db")
    backed_up: list[tuple[int, int]] = []
    migrations.apply(
        bare, [FIRST, SECOND], lambda present: backed_up.append((present, schema(bare))), name="bare.db"
    )
    assert backed_up == [(1, 1)]
    assert bare.execute("SELECT x, y FROM a").fetchall() == [(1, None)]
    assert schema(bare) == 2


def test_a_step_that_fails_leaves_the_database_as_it_was_before_it(bare: Connection) -> None:
    with pytest.raises(DatabaseError, match="nowhere"):
        migrations.apply(bare, [FIRST, BROKEN], unexpected, name="bare.db")
    assert schema(bare) == 1
    assert bare.execute("SELECT x FROM a").fetchall() == [(1,)]
    assert not bare.in_transaction


def test_a_backup_that_fails_stops_the_update(bare: Connection) -> None:
    migrations.apply(bare, [FIRST], unexpected, name="bare.db")
    with pytest.raises(AssertionError, match="schema 1"):
        migrations.apply(bare, [FIRST, SECOND], unexpected, name="bare.db")
    assert schema(bare) == 1


def test_a_database_of_a_newer_program_is_refused_in_words(bare: Connection) -> None:
    migrations.apply(bare, [FIRST, SECOND], unexpected, name="bare.db")
    with pytest.raises(
        ConfigurationError, match=r"newer Wakerobin wrote bare\.db \(schema 2; this one knows 1\)"
    ):
        migrations.apply(bare, [FIRST], unexpected, name="bare.db")


def test_a_backup_is_a_whole_database_for_its_owner_only(bare: Connection, tmp_path: Path) -> None:
    migrations.apply(bare, [FIRST], unexpected, name="bare.db")
    target = tmp_path / "copies"
    target.mkdir()
    (target / "copy.db.partial").write_text("left over by a backup that was cut off")
    back_up(bare, target / "copy.db")
    assert [path.name for path in target.iterdir()] == ["copy.db"]
    assert (target / "copy.db").stat().st_mode & 0o777 == 0o600
    copy = connect_writer(target / "copy.db", 0)
    assert (schema(copy), copy.execute("SELECT x FROM a").fetchall()) == (1, [(1,)])
    copy.close()
