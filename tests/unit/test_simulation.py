"""The simulation: the same phones with the same luck, whoever counts, and skipping changes nothing."""

from __future__ import annotations

import dataclasses
import json
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wakerobin.core.lifetime import LifetimePolicy
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Duration
from wakerobin.simulation import Model, Plan, picture, report, simulate, table
from wakerobin.simulation.fate import Fate, draw
from wakerobin.simulation.fleet import walk
from wakerobin.simulation.intervals import Intervals
from wakerobin.simulation.luck import Luck, Purpose
from wakerobin.simulation.model import DAY, HOUR, described
from wakerobin.simulation.phone import NEVER, AndroidPhone, Answer, IPhone
from wakerobin.simulation.policies import Contestant
from wakerobin.simulation.tally import Tally
from wakerobin.simulation.walk import Walk

_DAYS = 60
_MODEL = Model()
_STRETCHES = st.lists(st.tuples(st.integers(0, 500), st.integers(1, 60)), max_size=12)


def _found(phones: int, days: int = _DAYS, **changes: Any) -> dict[str, Any]:
    plan = Plan(phones=phones, days=days, seed=3, **changes)
    return report(plan, simulate(plan, 1))


def _fate(**changes: Any) -> Fate:
    """Return a phone that is always on, in the hands of somebody who uses the app no more."""
    fate = draw(1, 1, _DAYS, _MODEL)
    traits = dataclasses.replace(
        fate.traits,
        is_ios=changes.pop("is_ios", True),
        notifications=True,
        refresh_off=False,
        force_quits=changes.pop("force_quits", False),
        killed=False,
        low_power=False,
        demoted=changes.pop("demoted", False),
        acts=changes.pop("acts", 0.0),
        keenness=1.0,
    )
    given: dict[str, Any] = {
        "traits": traits,
        "start": HOUR,
        "end": _DAYS * DAY,
        "gone_at": _DAYS * DAY,
        "opens": (),
        "calls": (),
        "off": Intervals(()),
        "force_stops": (),
    }
    return dataclasses.replace(fate, **{**given, **changes})


def _walked(fate: Fate, model: Model = _MODEL, policy: LifetimePolicy | None = None) -> Tally:
    tally = Tally()
    Walk(fate, model, Contestant(policy or LifetimePolicy()), tally).run()
    return tally


_NEVER_RUNS = dataclasses.replace(_MODEL, runs_in_memory=0.0, runs_charging=0.0, runs_purged=0.0)
_ALWAYS_RUNS = dataclasses.replace(_MODEL, runs_in_memory=1.0, runs_charging=1.0, runs_purged=1.0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 10**6))
def test_skipping_uses_that_no_due_moment_follows_changes_nothing(seed: int, first: int) -> None:
    numbers = range(first, first + 3)
    plan = Plan(phones=3, days=_DAYS, seed=seed)
    assert walk(plan, numbers) == walk(dataclasses.replace(plan, skips=False), numbers)


def test_the_same_seed_gives_the_same_bytes_on_any_number_of_processes() -> None:
    plan = Plan(phones=1100, days=20, seed=5)
    alone, together = simulate(plan, 1), simulate(plan, 3)
    texts = [json.dumps(report(plan, found)) for found in (alone, together)]
    assert texts[0] == texts[1]
    pictures = [picture(plan, found, report(plan, found)) for found in (alone, together)]
    assert pictures[0] == pictures[1]
    other = Plan(phones=1100, days=20, seed=6)
    assert json.dumps(report(other, simulate(other, 1))["policies"]) != json.dumps(
        report(plan, alone)["policies"]
    )


def test_every_policy_meets_the_same_phones() -> None:
    policies = _found(200)["policies"]
    assert list(policies) == ["adaptive", "ladder", "single"]
    assert len({numbers["phones"] for numbers in policies.values()}) == 1
    phones = {name: {"only": Contestant(LifetimePolicy())} for name in ("one", "two")}
    one, two = (walk(Plan(phones=50, days=_DAYS, seed=1, contestants=p), range(50)) for p in phones.values())
    assert one == two


def test_the_json_object_has_what_scripts_read() -> None:
    found = _found(100)
    assert list(found) == ["assumptions", "policies"]
    for numbers in found["policies"].values():
        assert 0 < numbers["reachable_share"] <= numbers["reachable_while_on_share"] <= 1
        assert numbers["visible_warnings_per_user_month"] >= 0
        assert numbers["renewal_pushes_per_user_month"] > 0
        assert numbers["lives_saved_silently"] + numbers["lives_saved_by_warning"] > 0
        assert numbers["lives_ended"] >= 0
    assert found["policies"]["ladder"]["beside_ladder"]["reachable_share"] == 1.0
    assert json.loads(json.dumps(found)) == found


def test_every_assumption_says_what_it_means_and_where_it_is_from() -> None:
    for name, one in described(_MODEL).items():
        assert one["says"], name
        assert one["source"], name
    assert sum(custom.share for custom in _MODEL.customs) == pytest.approx(1.0)
    assert sum(temper.share for temper in _MODEL.tempers) == pytest.approx(1.0)


def test_a_phone_whose_app_always_runs_is_renewed_for_ever_and_its_owner_sees_nothing() -> None:
    tally = _walked(_fate(), _ALWAYS_RUNS)
    assert tally.reachable == tally.installed == tally.on
    assert tally.silent >= 7
    assert (tally.warnings, tally.ended) == (0, {})


def test_a_phone_whose_app_never_runs_is_warned_twice_and_its_life_ends_after_a_week() -> None:
    tally = _walked(_fate(), _NEVER_RUNS)
    assert tally.warnings == 2
    assert tally.notices == 1
    assert tally.ended == {"expired": 1}
    assert 7 * DAY <= tally.reachable <= 7 * DAY + HOUR


def test_somebody_who_acts_on_every_warning_never_loses_a_call_and_loses_no_life() -> None:
    calls = tuple(day * DAY + 15 * HOUR for day in range(1, 30, 9))
    tally = _walked(_fate(acts=1.0, calls=calls), _NEVER_RUNS)
    assert tally.by_warning >= 5
    assert (tally.calls_lost, tally.ended) == (0, {})
    assert tally.reachable == tally.installed


def test_calls_after_the_end_are_lost_until_the_app_is_opened() -> None:
    calls = (9 * DAY, 12 * DAY, 40 * DAY)
    tally = _walked(_fate(opens=(38 * DAY,), calls=calls), _NEVER_RUNS)
    assert tally.calls == 3
    assert tally.calls_lost == 2


def test_an_app_that_was_removed_ends_by_its_push_service_and_is_no_loss() -> None:
    tally = _walked(_fate(gone_at=2 * DAY))
    assert tally.ended == {"targets-gone": 1}
    assert tally.installed == 2 * DAY - HOUR
    assert sum(tally.lost_days.values()) == 0


def test_an_iphone_that_is_off_gets_only_the_newest_push_and_only_in_time() -> None:
    phone = IPhone(_fate(off=Intervals([(10 * HOUR, 20 * HOUR)])), _ALWAYS_RUNS)
    assert phone.push(PushType.EXPIRY_WARNING, 11 * HOUR, 30 * HOUR) is None
    assert phone.push(PushType.RENEW, 12 * HOUR, 30 * HOUR) is None
    assert phone.due == 20 * HOUR
    assert phone.look(20 * HOUR) is Answer.RENEWED
    assert phone.look(21 * HOUR) is None
    phone.push(PushType.EXPIRY_WARNING, 11 * HOUR, 19 * HOUR)
    assert phone.look(20 * HOUR) is None
    phone.push(PushType.RENEW, 12 * HOUR, 0)
    assert phone.look(20 * HOUR) is None


def test_a_force_quit_iphone_discards_background_pushes_and_shows_warnings() -> None:
    model = dataclasses.replace(_ALWAYS_RUNS, force_quit=1.0)
    phone = IPhone(_fate(force_quits=True), model)
    assert phone.push(PushType.RENEW, HOUR, 90 * HOUR) is Answer.RENEWED
    phone.opened(2 * HOUR)
    assert phone.push(PushType.RENEW, 3 * HOUR, 90 * HOUR) is None
    assert phone.due == NEVER
    assert phone.push(PushType.EXPIRY_WARNING, 3 * HOUR, 90 * HOUR) is Answer.SHOWN


def test_a_held_background_push_runs_at_a_later_hour_unless_the_app_was_killed_meanwhile() -> None:
    model = dataclasses.replace(_MODEL, held=1.0, runs_purged=0.05, runs_charging=0.05, runs_in_memory=0.0)
    phone = IPhone(_fate(), model)
    answer = phone.push(PushType.RENEW, HOUR, 90 * HOUR)
    hours = 0
    while answer is None and hours < 100:
        hours += 1
        assert phone.due % HOUR == 0
        answer = phone.look(phone.due)
    assert answer is Answer.RENEWED
    assert hours > 0
    phone.opened(200 * HOUR)
    phone.push(PushType.RENEW, 200 * HOUR + 1, 400 * HOUR)
    assert phone.due == 201 * HOUR
    assert phone.look(300 * HOUR) is None
    assert phone.due == NEVER


def test_an_android_warning_runs_the_app_which_renews_instead_of_showing_it() -> None:
    phone = AndroidPhone(_fate(is_ios=False), dataclasses.replace(_MODEL, renews=1.0))
    assert phone.push(PushType.EXPIRY_WARNING, 3 * HOUR, DAY) is Answer.RENEWED_FIRST
    phone = AndroidPhone(_fate(is_ios=False), dataclasses.replace(_MODEL, renews=0.0))
    assert phone.push(PushType.EXPIRY_WARNING, 3 * HOUR, DAY) is Answer.SHOWN


def test_a_normal_push_waits_for_doze_to_pause_and_is_delivered_within_its_time() -> None:
    dozing = dataclasses.replace(_MODEL, doze_by_day=1.0, maintenance=0.05, charges_at_night=0.0, renews=1.0)
    fate = dataclasses.replace(_fate(is_ios=False), charges_at_night=0.0)
    phone = AndroidPhone(fate, dozing)
    waits = 0
    answer = phone.push(PushType.RENEW, HOUR, 1000 * HOUR)
    while answer is None and waits < 200:
        waits += 1
        answer = phone.look(phone.due)
    assert answer is Answer.RENEWED
    assert waits > 0
    late = AndroidPhone(fate, dataclasses.replace(dozing, maintenance=0.0))
    assert late.push(PushType.RENEW, HOUR, 3 * HOUR) is None
    assert [late.look(late.due) for _ in range(3)] == [None, None, None]
    assert late.due == NEVER


def test_a_stopped_android_app_gets_nothing_until_it_is_opened() -> None:
    tally = _walked(_fate(is_ios=False, force_stops=(DAY,), opens=(30 * DAY, 30 * DAY + 1)))
    assert tally.ended["expired"] == 1
    stopped = _walked(_fate(is_ios=False, opens=(HOUR + 1,), force_stops=(DAY,)))
    assert stopped.reachable == DAY - HOUR
    assert (stopped.warnings, stopped.notices) == (0, 0)


def test_calls_do_not_ring_on_a_demoted_phone_that_dozes() -> None:
    model = dataclasses.replace(_MODEL, doze_by_day=1.0, charges_at_night=0.0)
    demoted = dataclasses.replace(_fate(is_ios=False, demoted=True), charges_at_night=0.0)
    phone = AndroidPhone(demoted, model)
    assert phone.rings_outside(DAY, 2 * DAY) == DAY
    assert AndroidPhone(_fate(is_ios=False), model).rings_outside(DAY, 2 * DAY) == 0


def test_nobody_acts_on_a_warning_asleep_and_everybody_wakes() -> None:
    fate = _fate()
    for hour in range(24):
        at = 5 * DAY + hour * HOUR
        wakes_at = fate.wakes_at(at)
        assert wakes_at >= at
        assert not fate.is_night(wakes_at)
        assert (wakes_at == at) == (not fate.is_night(at))


@given(_STRETCHES, st.integers(0, 600), st.integers(0, 600))
def test_intervals_measure_like_a_clock_that_is_looked_at_every_moment(
    given_: list[tuple[int, int]], start: int, end: int
) -> None:
    stretches = [(at, at + length) for at, length in given_]
    intervals = Intervals(stretches)
    covered = {moment for one in stretches for moment in range(*one)}
    assert intervals.outside(start, end) == sum(moment not in covered for moment in range(start, end))
    assert intervals.covers(start) == (start in covered)
    after = intervals.end_of(start)
    assert after not in covered
    assert all(moment in covered for moment in range(start, after))


def test_luck_is_even_and_each_purpose_has_its_own() -> None:
    luck = Luck(7)
    runs = [luck.at(Purpose.RUNS, hour * HOUR) for hour in range(4000)]
    acts = [luck.at(Purpose.ACTS, hour * HOUR) for hour in range(4000)]
    assert sum(runs) / 4000 == pytest.approx(0.5, abs=0.03)
    assert len(set(runs)) == 4000
    together = sum((a - 0.5) * (b - 0.5) for a, b in zip(runs, acts, strict=True)) / 4000
    assert together == pytest.approx(0.0, abs=0.01)
    assert luck.at(Purpose.RUNS, HOUR) == luck.at(Purpose.RUNS, 2 * HOUR - 1)


def test_the_table_has_a_column_for_each_policy_and_the_ratios() -> None:
    lines = table(_found(100))
    assert lines[0].split() == ["adaptive", "ladder", "single", "adaptive", "/", "ladder"]
    assert len({len(line) for line in lines}) == 1


def test_the_picture_is_a_png_of_its_size() -> None:
    plan = Plan(phones=60, days=20, seed=3)
    tallies = simulate(plan, 1)
    content = picture(plan, tallies, report(plan, tallies))
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    chunks: dict[bytes, bytes] = {}
    at = 8
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        kind, data = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", content, at + 8 + length) == (zlib.crc32(kind + data),)
        chunks[kind] = data
        at += 12 + length
    width, height, depth, colours, *_ = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    pixels = zlib.decompress(chunks[b"IDAT"])
    assert (depth, colours, len(pixels)) == (8, 3, (width + 1) * height)
    assert set(pixels) >= {0, 1, 2, 3, 4, 5, 6}
    assert max(pixels) < len(chunks[b"PLTE"]) // 3


def test_a_shorter_life_makes_more_of_everything() -> None:
    contestants = {
        "ladder": Contestant(LifetimePolicy()),
        "adaptive": Contestant(LifetimePolicy(lifetime=Duration(3 * DAY))),
    }
    found = _found(150, contestants=contestants)["policies"]
    assert (
        found["adaptive"]["visible_warnings_per_user_month"]
        > found["ladder"]["visible_warnings_per_user_month"]
    )
