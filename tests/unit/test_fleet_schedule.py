"""The roster's rows and the wheel of seconds at which they are due."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from wakerobin.services.fleet.schedule import NEVER, RefreshWheel, Roster


def roster(count: int) -> Roster:
    made = Roster()
    for account in range(1, count + 1):
        made.add(account, 0)
    return made


def test_a_row_is_due_at_its_second_and_once() -> None:
    wheel = RefreshWheel(roster(1), now=10)
    wheel.put(0, 12)
    assert wheel.take(11) == []
    assert wheel.take(12) == [0]
    assert wheel.take(20_000) == []


def test_a_row_put_anew_is_due_at_the_new_time_only() -> None:
    wheel = RefreshWheel(roster(1), now=0)
    wheel.put(0, 5)
    wheel.put(0, 9)
    assert wheel.take(8) == []
    assert wheel.take(9) == [0]
    wheel.put(0, 50)
    wheel.put(0, 20)
    assert wheel.take(20) == [0]
    assert wheel.take(60) == []


def test_what_is_further_away_than_one_turn_of_the_wheel_waits_for_its_turn() -> None:
    wheel = RefreshWheel(roster(1), now=0)
    wheel.put(0, 20_000)
    for now in range(0, 20_000, 500):
        assert wheel.take(now) == []
    assert wheel.take(20_000) == [0]


def test_a_time_that_is_past_means_the_next_second() -> None:
    wheel = RefreshWheel(roster(1), now=100)
    wheel.put(0, 3)
    assert wheel.next_look() == 101
    assert wheel.take(101) == [0]


def test_after_a_long_sleep_everything_that_was_due_is_due() -> None:
    wheel = RefreshWheel(roster(3), now=0)
    for row, at in enumerate((10, 5_000, 90_000)):
        wheel.put(row, at)
    assert sorted(wheel.take(50_000)) == [0, 1]
    assert wheel.take(90_000) == [2]


def test_a_removed_row_is_due_no_more_and_its_number_is_used_again() -> None:
    rows = roster(2)
    wheel = RefreshWheel(rows, now=0)
    wheel.put(0, 5)
    rows.remove(1)
    assert wheel.take(10) == []
    assert rows.row(1) is None
    assert rows.add(99, 7) == 0
    assert (rows.due[0], rows.registrar[0], rows.account[0]) == (NEVER, 7, 99)
    assert rows.row(99) == 0


def test_an_account_has_one_row() -> None:
    rows = roster(3)
    assert rows.add(2, 5) == rows.row(2)
    assert (len(rows), rows.registrar[1]) == (3, 5)


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 9_000), st.integers(0, 6_000)), min_size=1, max_size=60
    )
)
def test_the_wheel_agrees_with_a_sorted_list(steps: list[tuple[int, int, int]]) -> None:
    rows = roster(5)
    wheel = RefreshWheel(rows, now=0)
    now = 0
    expected: dict[int, int] = {}
    for row, ahead, passed in steps:
        wheel.put(row, now + ahead)
        expected[row] = max(now + ahead, now + 1)
        look = wheel.next_look()
        assert look is None or look <= min(expected.values()) or min(expected.values()) - now > 4096
        now += passed
        due = sorted(row for row, at in expected.items() if at <= now)
        assert sorted(wheel.take(now)) == due
        for row in due:
            del expected[row]


def test_the_accounts_of_a_registrar_are_counted_without_those_that_left() -> None:
    roster = Roster()
    for account_id in range(1, 6):
        roster.add(account_id, account_id % 2)
    assert (roster.count_of(0), roster.count_of(1), roster.count_of(7)) == (2, 3, 0)
    roster.remove(1)
    assert roster.count_of(1) == 2
    roster.add(9, 1)
    assert roster.count_of(1) == 3
