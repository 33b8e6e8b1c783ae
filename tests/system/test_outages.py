"""Every row of docs/outages.md, with a whole server on a clock moved by hand."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.system.outages_world import DAY, HOUR, LEAD, WEEK, OutageWorld, Phone, Scenario
from tests.system.survival.cutting import MINUTE, SECOND
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.pushes import PushType, Rejected, Unavailable
from wakerobin.core.values import Ended

PAGE = Path(__file__).parents[2] / "docs" / "outages.md"
ROWS = [
    found[1]
    for found in re.finditer(r"^\| ([^|]+?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    if found[1] != "outage"
]
WARNING, TROUBLE = PushType.EXPIRY_WARNING, PushType.REGISTRATION_TROUBLE
OVER = PushType.REGISTRATION_TROUBLE_OVER
FIRST, LAST = 12 * HOUR, HOUR
"""How long before the end the warnings of the default plan come."""
UNAVAILABLE = Unavailable("503", processed=False)


async def begun(world: OutageWorld, users: int = 1) -> Phone:
    """Start, and enrol phones that nobody uses afterwards; return the first."""
    names = ["alice"] if users == 1 else [f"user{n}" for n in range(users)]
    for name in names:
        world.pbx.set_password(name, f"pw-{name}")
    await world.start()
    for name in names:
        await world.enrol(name)
    return world.phones[0]


async def ended(world: OutageWorld, phone: Phone, within: int = 2 * DAY) -> int:
    await world.until(lambda: world.life(phone).ended is not None, within)
    return world.life(phone).ended_at


async def down_over_one(world: OutageWorld) -> None:
    phone = await begun(world)
    await world.run_until(phone.end - 13 * HOUR)
    await world.down(phone.end - 8 * HOUR)
    at = world.clock.now()
    assert world.sent(phone, PushType.RENEW), "it was tried silently before"
    await ended(world, phone)
    late, last = world.warned(phone)
    assert late - at < MINUTE
    assert abs(last - (phone.end - LAST)) < MINUTE


async def down_over_both(world: OutageWorld) -> None:
    phone = await begun(world)
    await world.run_until(world.clock.now() + DAY)
    await world.down(phone.end - 30 * MINUTE)
    await world.run_until(world.clock.now() + 5 * MINUTE)
    assert world.sent(phone, PushType.RENEW)
    assert world.warned(phone) == []
    end = await ended(world, phone)
    (warned,) = world.warned(phone)
    assert abs(warned - phone.end) < MINUTE
    assert LEAD <= end - warned < LEAD + MINUTE


async def down_over_the_end(world: OutageWorld) -> None:
    phone = await begun(world)
    await world.run_until(phone.end - 30 * HOUR)
    await world.down(phone.end + 5 * HOUR)
    at = world.clock.now()
    end = await ended(world, phone)
    (warned,) = world.warned(phone)
    assert warned - at < MINUTE
    assert LEAD <= end - warned < LEAD + MINUTE


async def down_for_a_day(world: OutageWorld) -> None:
    phone = await begun(world)
    await world.run_until(phone.end - 30 * HOUR)
    await world.down(phone.end - 6 * HOUR)
    at = world.clock.now()
    await ended(world, phone)
    late, last = world.warned(phone)
    assert late - at < MINUTE
    assert abs(last - (phone.end - LAST)) < MINUTE


async def down_for_a_month(world: OutageWorld) -> None:
    phone = await begun(world, users=120)
    await world.run_until(world.clock.now() + HOUR)
    await world.down(world.clock.now() + 30 * DAY)
    at = world.clock.now()
    await world.until(lambda: all(world.warned(one) for one in world.phones), HOUR)
    a_second = Counter(push.at // SECOND for push in world.taken() if push.at >= at)
    assert max(a_second.values()) <= 60, "[push] rate is 50 here"
    seen = [one.at for one in world.pbx.registrar.seen if one.at > world.clock.monotonic() - HOUR / 1000]
    registers = Counter(int(moment) for moment in seen)
    assert max(registers.values(), default=0) <= 2 * 60, "[sip] register_rate is 50, challenged once each"
    await ended(world, phone)
    await world.run_until(world.clock.now() + HOUR)
    assert {world.life(one).ended for one in world.phones} == {Ended.EXPIRED}


async def database_locked(world: OutageWorld) -> None:
    phone = await begun(world)
    await world.run_until(phone.end - 13 * HOUR)
    world.stick(is_stuck=True)
    await world.run_until(phone.end - 9 * HOUR)
    assert world.warned(phone) == []
    world.stick(is_stuck=False)
    await ended(world, phone)
    assert len(world.warned(phone)) == 2
    assert [up - down for down, up in world.rooms.lives.downtime.gaps if up - down > HOUR]


async def database_full(world: OutageWorld) -> None:
    phone = await begun(world)
    await world.run_until(phone.end - 13 * HOUR)
    world.stick(is_stuck=True)
    with pytest.raises(StoreUnavailableError):
        await world.use(phone, "renewal-push")
    await world.run_until(phone.end - 12 * HOUR + 30 * MINUTE)
    world.stick(is_stuck=False)
    await world.use(phone, "renewal-push")
    await world.run_until(phone.end)
    assert world.warned(phone) == []
    assert world.life(phone).expires_at > phone.end + 6 * DAY


async def pushes_unavailable(world: OutageWorld) -> None:
    phone = await begun(world)
    await world.run_until(phone.end - FIRST - 30 * MINUTE)
    world.accepts, world.refusal = False, UNAVAILABLE
    tried = len(world.pushes)
    await world.run_until(phone.end + 6 * HOUR)
    assert 5 < len(world.pushes) - tried < 200, "with growing pauses"
    assert world.life(phone).ended is None
    world.accepts = True
    end = await ended(world, phone)
    (warned,) = world.warned(phone)
    assert warned - (phone.end + 6 * HOUR) < HOUR
    assert LEAD <= end - warned < LEAD + MINUTE


async def pushes_down_for_days(world: OutageWorld) -> None:
    phone = await begun(world)
    await world.run_until(phone.end - FIRST - 30 * MINUTE)
    world.accepts, world.refusal = False, UNAVAILABLE
    end = await ended(world, phone, within=4 * DAY)
    assert abs(end - (phone.end + 48 * HOUR)) < 2 * HOUR
    subject = f"registration:{phone.registration_id}"
    assert "grace-over" in [row.event for row in world.read(lambda tx: tx.stories.of(subject))]
    world.phones.clear()  # the one that was cut off unwarned: no warning was possible


async def key_refused(world: OutageWorld) -> None:
    phone = await begun(world)
    await world.run_until(phone.end - FIRST - 30 * MINUTE)
    world.accepts, world.refusal = False, Rejected("InvalidProviderToken", ours=True)
    await world.run_until(phone.end + 3 * HOUR)
    assert world.life(phone).ended is None
    assert world.alarms() == ["push-key-refused"]
    world.accepts = True
    await ended(world, phone)
    assert len(world.warned(phone)) == 1
    assert world.alarms() == []


async def pbx_down(world: OutageWorld) -> None:
    phone = await begun(world)
    await world.run_until(world.clock.now() + DAY)
    world.pbx.registrar.rules.is_silent = True
    await world.run_until(world.clock.now() + 2 * DAY)
    assert len(world.sent(phone, TROUBLE)) == 1
    assert world.life(phone).ended is None
    world.pbx.registrar.rules.is_silent = False
    await world.until(lambda: bool(world.sent(phone, OVER)), HOUR)
    assert world.life(phone).expires_at == phone.end
    assert world.sent(phone, WARNING) == []


async def pbx_refuses_one(world: OutageWorld) -> None:
    phone = await begun(world)
    await world.run_until(world.clock.now() + DAY)
    world.pbx.set_password("alice", "another")
    end = await ended(world, phone)
    assert world.life(phone).ended is Ended.REFUSED
    told, last = world.sent(phone, TROUBLE)
    assert abs(end - told.at - 6 * HOUR) < 30 * MINUTE
    assert last.at - end < MINUTE
    assert world.pushes[-1] == last, "the notice is the last thing that is sent"


async def pbx_refuses_all(world: OutageWorld) -> None:
    await begun(world, users=12)
    await world.run_until(world.clock.now() + DAY)
    for number in range(12):
        world.pbx.set_password(f"user{number}", "another")
    await world.run_until(world.clock.now() + 2 * DAY)
    assert {world.life(phone).ended for phone in world.phones} == {None}
    assert all(not world.warned(phone) for phone in world.phones)
    assert world.alarms() == ["registrar-refuses"]


async def clock_ahead(world: OutageWorld) -> None:
    phone = await begun(world)
    await world.run_until(world.clock.now() + DAY)
    world.clock.step_wall(30 * DAY)
    await world.run_until(world.clock.now() + 5 * HOUR)
    assert world.life(phone).ended is None
    assert world.warned(phone) == []
    assert world.alarms() == ["clock"]
    world.clock.step_wall(-30 * DAY)
    await ended(world, phone, within=WEEK)
    assert len(world.warned(phone)) == 2
    assert abs(world.life(phone).ended_at - phone.end) < MINUTE
    assert world.alarms() == []


async def clock_back(world: OutageWorld) -> None:
    phone = await begun(world)
    await world.run_until(phone.end - 30 * MINUTE)
    assert len(world.warned(phone)) == 2
    world.clock.step_wall(-DAY)
    await world.run_until(world.clock.now() + 5 * MINUTE)
    assert await world.ask(lambda rooms: rooms.lives.confirm_clock())
    end = await ended(world, phone)
    assert len(world.warned(phone)) == 2, "nothing twice"
    assert abs(end - phone.end) < MINUTE


async def machine_asleep(world: OutageWorld) -> None:
    phone = await begun(world)
    await world.run_until(phone.end - 30 * HOUR)
    world.clock.step_wall(35 * HOUR)  # the clock that counts stands still meanwhile
    await world.run_until(world.clock.now() + 10 * MINUTE)
    assert world.warned(phone) == []
    await world.ask(lambda rooms: rooms.lives.confirm_clock())
    at = world.clock.now()
    end = await ended(world, phone)
    (warned,) = world.warned(phone)
    assert warned - at < 2 * MINUTE
    assert LEAD <= end - warned < LEAD + 2 * MINUTE


SCENARIOS: dict[str, Scenario] = {
    "the server is down over one warning": down_over_one,
    "the server is down over both warnings": down_over_both,
    "the server is down over the end": down_over_the_end,
    "the server is down for a day": down_for_a_day,
    "the server is down for a month": down_for_a_month,
    "the database is locked": database_locked,
    "the database is full": database_full,
    "the push service answers 503 for hours at a warning": pushes_unavailable,
    "the push service is down for longer than the grace": pushes_down_for_days,
    "the push service refuses our key": key_refused,
    "the PBX is down": pbx_down,
    "the PBX refuses one account": pbx_refuses_one,
    "the PBX refuses all accounts": pbx_refuses_all,
    "the clock steps ahead": clock_ahead,
    "the clock steps back": clock_back,
    "the machine sleeps": machine_asleep,
}


def test_each_row_of_the_page_has_its_test_and_each_test_its_row() -> None:
    assert sorted(ROWS) == sorted(SCENARIOS)


@pytest.mark.parametrize("row", ROWS)
async def test_an_outage_ends_as_the_page_says(row: str) -> None:
    world = OutageWorld()
    await SCENARIOS[row](world)
    world.audit()
    await world.stop()
