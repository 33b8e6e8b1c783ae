"""Google's quotas and quiet minutes: what may go, and what has to wait for how long."""

from __future__ import annotations

import pytest

from wakerobin.push.fcm.pacing import ProjectPace, quiet_for

HOUR = 1_799_996_400_000  # a full hour
MINUTE = 60_000


@pytest.mark.parametrize(
    ("minutes", "left"),
    [
        (0.0, 2.0),
        (1.5, 0.5),
        (2.0, 0.0),
        (7.0, 0.0),
        (12.99, 0.0),
        (13.0, 4.0),
        (14.0, 3.0),
        (15.0, 2.0),
        (29.0, 3.0),
        (44.0, 3.0),
        (46.0, 1.0),
        (58.0, 4.0),
        (60.0, 2.0),
    ],
)
def test_the_two_minutes_around_each_quarter_hour_are_quiet(minutes: float, left: float) -> None:
    assert quiet_for(HOUR + round(minutes * MINUTE)) == round(left * MINUTE)


def test_a_device_takes_240_pushes_a_minute_and_then_one_every_quarter_of_a_second() -> None:
    pace = ProjectPace(0.0)
    assert all(pace.hold(1, 0.0, collapses=False) is None for _ in range(240))
    held = pace.hold(1, 0.0, collapses=False)
    assert held is not None
    assert "device" in held.reason
    assert held.wait == 250
    assert pace.hold(2, 0.0, collapses=False) is None
    assert pace.hold(1, 0.25, collapses=False) is None


def test_a_device_takes_5000_pushes_an_hour() -> None:
    pace = ProjectPace(0.0)
    now = 0.0
    sent = 0
    while pace.hold(1, now, collapses=False) is None:
        sent += 1
        now += 0.25
    assert 5_000 <= sent <= 5_000 + now * 5_000 / 3600 + 1


def test_what_replaces_something_is_taken_20_times_and_then_every_three_minutes() -> None:
    pace = ProjectPace(0.0)
    assert all(pace.hold(1, 0.0, collapses=True) is None for _ in range(20))
    held = pace.hold(1, 0.0, collapses=True)
    assert held is not None
    assert held.wait == 180_000
    assert pace.hold(1, 0.0, collapses=False) is None
    assert pace.hold(1, 180.0, collapses=True) is None


def test_what_is_held_costs_nothing() -> None:
    pace = ProjectPace(0.0)
    for _ in range(20):
        pace.hold(1, 0.0, collapses=True)
    for _ in range(1000):
        assert pace.hold(1, 0.0, collapses=True) is not None
    assert all(pace.hold(1, 0.0, collapses=False) is None for _ in range(220))


def test_a_project_takes_ten_thousand_a_second() -> None:
    pace = ProjectPace(0.0)
    assert all(pace.hold(number, 0.0, collapses=False) is None for number in range(10_000))
    held = pace.hold(99_999, 0.0, collapses=False)
    assert held is not None
    assert "project" in held.reason
    assert pace.hold(99_999, 0.001, collapses=False) is None


def test_calls_are_counted_and_never_held() -> None:
    pace = ProjectPace(0.0)
    for _ in range(500):
        pace.urgent(1, 0.0)
    held = pace.hold(1, 0.0, collapses=False)
    assert held is not None
    assert held.wait > 60_000  # what calls took ahead is paid back by the others


def test_a_pause_holds_everybody_or_one_device() -> None:
    pace = ProjectPace(0.0)
    pace.pause_device(1, 0.0, 5_000)
    held = pace.hold(1, 1.0, collapses=False)
    assert held is not None
    assert held.wait == 4_000
    assert pace.hold(2, 1.0, collapses=False) is None
    pace.pause_project(1.0, 9_000)
    pace.pause_project(1.0, 1_000)  # a shorter one ends no longer one
    held = pace.hold(2, 2.0, collapses=False)
    assert held is not None
    assert held.wait == 8_000
    assert pace.hold(1, 10.0, collapses=False) is None


def test_a_trickle_may_go_in_quiet_minutes() -> None:
    pace = ProjectPace(0.0)
    assert sum(pace.trickles(0.0) for _ in range(100)) == 30
    assert not pace.trickles(0.5)
    assert pace.trickles(1.0)
