"""The server is cut between any two effects of an enrolment, a life and a call: nothing is lost or doubled.

A course of events is run once without a cut, to count its moments, and then again for each of them. What
the push service saw, what the PBX holds and what the store keeps must be the same each time, save that a
push in flight may be seen twice under one key.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from tests.system.survival.cutting import APP, DOMAIN, MINUTE, SECOND, CutWorld, Knife
from wakerobin.core.pushes import Accepted, Outcome, PushMessage, PushType, Rejected, Throttled, Unavailable
from wakerobin.core.values import Duration, Ended, Provider, Purpose, Secret, Transport
from wakerobin.ports.options import LifetimeOptions
from wakerobin.ports.store import Transaction
from wakerobin.server.building import Rooms
from wakerobin.services.enrolment import Enrolled, EnrolRequest, Refusal, TargetRequest
from wakerobin.testing.pbx_call import FakeCall
from wakerobin.testing.phone import FakePhone
from wakerobin.testing.phone_call import PhoneCall

Facts = dict[str, Any]
Course = Callable[[CutWorld], Awaitable[Facts]]

LIFE = LifetimeOptions(
    lifetime=Duration(40 * MINUTE),
    renewal_from=Duration(20 * MINUTE),
    renewal_every=Duration(5 * MINUTE),
    warnings=(Duration(10 * MINUTE), Duration(4 * MINUTE)),
    grace_limit=Duration(30 * MINUTE),
)
MOST_LOST = {200: 4, 487: 7}
"""Moments between our 100 to an INVITE and the COMMIT that stores it, right after its push has left; and
between our 200 to a CANCEL and the 487. Both are said at once, and not when the disk has flushed."""
CALL, NOTICE = frozenset({Purpose.CALL}), frozenset({Purpose.NOTICE})


def request(user: str = "alice", password: str = "") -> EnrolRequest:
    targets = (("a1" * 32, CALL), ("b2" * 32, NOTICE))
    return EnrolRequest(
        app=APP,
        aor=f"sip:{user}@{DOMAIN}",
        password=Secret(password or f"pw-{user}"),
        targets=tuple(
            TargetRequest(provider=Provider.APNS, purposes=purposes, token=Secret(token))
            for token, purposes in targets
        ),
        installation_id="kU3b8R7l0cYbq1m2n3o4pQ",
    )


async def enrolled(world: CutWorld) -> Enrolled:
    """Enrol as an app does: again with the same installation until it is answered."""
    app = world.options.apps[APP]
    answer = await world.ask(lambda rooms: rooms.enrolment.enrol(app, request(), 10.0))
    assert isinstance(answer, Enrolled), answer
    assert answer.registration.proven
    return answer


def stored(tx: Transaction) -> Facts:
    """What must be the same, however often the server was cut."""
    accounts = tx.accounts.page(0, 100)
    living = [one for account in accounts for one in tx.registrations.of_account(account.id)]
    keys = [tx.accounts.credentials(account.id) for account in accounts]
    return {
        "proven accounts": sum(account.proven for account in accounts),
        "credentials": [(c.password, len(c.keys)) for c in keys if c is not None],
        "living": [(one.installation, one.proven) for one in living],
        "tokens": sorted(t.token.reveal() for one in living for t in tx.targets.of_registration(one.id)),
        "trials": len(tx.binding_work.trials()),
        "unregisters": len(tx.binding_work.unregisters()),
        "outbox": tx.outbox.next_due(),
        "held": len(tx.calls.held()),
    }


def facts(world: CutWorld, **more: Any) -> Facts:
    distinct = {push.key: push.type for push in world.pushes}
    contacts = len(world.pbx.contacts("alice"))
    return {**world.read(stored), "contacts": contacts, "pushes": sorted(distinct.values()), **more}


async def an_enrolment(world: CutWorld) -> Facts:
    """Enrolled, and asked for with the secret that was told."""
    answer = await enrolled(world)

    async def known(rooms: Rooms) -> bool:
        found = rooms.access.known(answer.registration.public_id, answer.secret.reveal())
        return found is not None and found[0].proven and found[1].ended is None

    await world.run_until(world.clock.now() + MINUTE)
    return facts(world, known=await world.ask(known))


async def a_deletion(world: CutWorld) -> Facts:
    """Enrolled and deleted: the PBX forgets us, and so do we."""
    answer = await enrolled(world)
    await world.ask(lambda rooms: rooms.lives.end(answer.registration.id, Ended.DELETED))
    await world.until(lambda: not world.pbx.contacts("alice"))
    await world.until(lambda: not world.read(lambda tx: tx.binding_work.unregisters()))
    life = world.read(lambda tx: tx.lives.get(answer.registration.id))
    assert life is not None
    return facts(world, ended=life.ended)


async def a_refusal(world: CutWorld) -> Facts:
    """The wrong password: told in the answer, and nothing is kept."""
    app = world.options.apps[APP]
    answer = await world.ask(lambda rooms: rooms.enrolment.enrol(app, request(password="wrong"), 10.0))
    # What a cut leaves behind without its password is erased after a quarter of an hour.
    await world.run_until(world.clock.now() + 17 * MINUTE)
    return facts(world, problem=answer.problem if isinstance(answer, Refusal) else "")


async def a_drawer(world: CutWorld) -> Facts:
    """Enrolled and forgotten: renewed in vain, warned twice, ended, told, taken back at the PBX."""
    answer = await enrolled(world)
    await world.until(lambda: any(p.type is PushType.EXPIRED for p in world.pushes), 60 * MINUTE)
    await world.until(lambda: not world.pbx.contacts("alice"))
    await world.run_until(world.clock.now() + MINUTE)
    life = world.read(lambda tx: tx.lives.get(answer.registration.id))
    assert life is not None
    return facts(world, ended=life.ended)


async def course_of(course: Course, *cuts: int, **world: Any) -> tuple[CutWorld, Facts]:
    made = CutWorld(Knife(*cuts), **world)
    await made.start()
    found = await course(made)
    await made.stop()
    return made, found


def repeats(world: CutWorld) -> int:
    """How many pushes were handed over again; each must be in another run than the one before."""
    by_key: dict[tuple[str, str, str], list[int]] = {}
    for push in world.pushes:
        by_key.setdefault(push.key, []).append(push.run)
    assert all(len(set(runs)) == len(runs) for runs in by_key.values()), "twice within one run"
    return sum(len(runs) - 1 for runs in by_key.values())


def cut_before(knife: Knife, cut: int) -> str:
    """Say in words where a cut was."""
    around = [f"{'>>' if n == cut else '  '} {n} {what}" for n, what in enumerate(knife.moments, 1)]
    return "cut before:\n" + "\n".join(around[max(0, cut - 15) : cut + 10])


async def cut_everywhere(course: Course, **world: Any) -> tuple[Facts, int]:
    """Run a course uncut, then cut at each of its moments; return its facts and the most repeats."""
    uncut, expected = await course_of(course, **world)
    assert repeats(uncut) == 0
    assert uncut.knife.count > 15
    most = 0
    for cut in range(1, uncut.knife.count + 1):
        made, found = await course_of(course, cut, **world)
        assert found == expected, cut_before(uncut.knife, cut)
        assert made.cuts == 1
        most = max(most, repeats(made))
    return expected, most


@pytest.mark.parametrize("course", [an_enrolment, a_deletion, a_refusal])
async def test_a_cut_at_any_moment_of_an_enrolment_changes_nothing(course: Course) -> None:
    expected, _ = await cut_everywhere(course)
    assert expected["unregisters"] == expected["trials"] == 0


async def test_a_cut_at_any_moment_of_a_forgotten_life_repeats_only_what_was_in_flight() -> None:
    expected, most = await cut_everywhere(a_drawer, lifetime=LIFE)
    assert expected["ended"] is Ended.EXPIRED
    assert expected["pushes"].count(PushType.EXPIRY_WARNING) == 2
    assert expected["pushes"].count(PushType.EXPIRED) == 1
    assert (expected["contacts"], expected["credentials"], expected["tokens"]) == (0, [], [])
    # A renewal and a warning leave at the same moment; both may be in flight, and each keeps its key.
    assert most == 2


def fails(failing: int, outcome: Outcome | None, number: int, _message: PushMessage) -> Outcome | None:
    return outcome if number == failing else Accepted()


@pytest.mark.parametrize(
    "outcome",
    [
        None,
        Unavailable("reset", processed=False),
        Throttled("TooManyRequests", retry_after=30 * SECOND),
        Rejected("BadMessageId"),
    ],
)
async def test_a_push_service_that_fails_once_at_any_push_cuts_nobody_off_unwarned(
    outcome: Outcome | None,
) -> None:
    uncut, expected = await course_of(a_drawer, lifetime=LIFE)
    for failing in range(1, len(uncut.pushes) + 1):
        world, found = await course_of(a_drawer, lifetime=LIFE, answer=partial(fails, failing, outcome))
        accepted = [push for number, push in enumerate(world.pushes, 1) if number != failing]
        last_warned = max(p.at for p in accepted if p.type is PushType.EXPIRY_WARNING)
        told_at = min(p.at for p in world.pushes if p.type is PushType.EXPIRED)
        assert told_at >= last_warned + LIFE.warnings[-1]
        distinct: Counter[PushType] = Counter(found["pushes"])
        assert distinct[PushType.EXPIRY_WARNING] == 2, f"failing at {failing}"
        assert distinct[PushType.EXPIRED] == 1
        assert {**found, "pushes": []} == {**expected, "pushes": []}


# Calls


async def woken(world: CutWorld, phone: FakePhone, call: FakeCall) -> bool:
    """Wait for the push, and do what it makes an app do until the call is there. False: it never rang."""
    with contextlib.suppress(AssertionError):
        await world.until(lambda: bool(world.pushes) or call.final > 0, MINUTE)
    for _ in range(15):
        if phone.calls or call.final:
            break
        await world.registered(phone)
        with contextlib.suppress(AssertionError):
            await world.until(lambda: bool(phone.calls) or call.final > 0, 3 * SECOND)
    return bool(phone.calls)


async def until(world: CutWorld, phone: FakePhone, condition: Callable[[], bool]) -> None:
    """Wait until something is so; a phone whose connection dies with the server registers again."""
    while True:
        run = world.run.number
        await world.until(lambda run=run: condition() or world.run.number != run)  # type: ignore[misc]
        if condition():
            return
        if phone.transport is Transport.TCP:
            await world.registered(phone)


async def a_call(world: CutWorld, transport: Transport) -> Facts:
    """Pushed, answered by the woken phone, and hung up by the caller."""
    await enrolled(world)
    phone = world.phone(transport=transport)
    phone.on_call = answers
    call = world.pbx.call("alice")
    if not await woken(world, phone, call):
        return {"is_lost": True, "finals": finals(call)}
    await until(world, phone, lambda: call.answer is not None)
    await world.run_until(world.clock.now() + SECOND)
    if transport is Transport.TCP:
        await world.registered(phone)
    call.hang_up()
    await until(world, phone, lambda: bool(call.replies))
    await until(world, phone, lambda: phone.calls[-1].is_over)
    await world.run_until(world.clock.now() + 3 * MINUTE)
    (record,) = world.read(lambda tx: tx.calls.of_account(0, 10))
    return {
        **facts(world),
        "is_lost": False,
        "finals": finals_over(transport, call),
        # A BYE whose 200 was cut off is repeated, and the phone has forgotten the dialog by then.
        "hung up": all(reply.status in (200, 481) for reply in call.replies),
        "rang once": len(phone.calls) == 1 or transport is Transport.TCP,
        "is_over": record.ended_at > 0,
    }


async def a_cancelled_call(world: CutWorld, transport: Transport) -> Facts:
    """Pushed, ringing on the woken phone, and given up by the caller."""
    await enrolled(world)
    phone = world.phone(transport=transport)
    call = world.pbx.call("alice")
    if not await woken(world, phone, call):
        return {"is_lost": True, "finals": finals(call)}
    call.cancel()
    await until(world, phone, lambda: call.final > 0 or bool(call.failures))
    await world.run_until(world.clock.now() + 3 * MINUTE)
    known = facts(world)
    # A server that was cut before it had written that the phone rings tells the user of the missed call.
    assert known["pushes"].count(PushType.MISSED_CALL) <= 1
    known["pushes"] = [kind for kind in known["pushes"] if kind is not PushType.MISSED_CALL]
    return {
        **known,
        "is_lost": not call.final,
        "finals": finals_over(transport, call),
        # A phone that we had called and not stored yet rings until it finds out by itself.
        "is_over": phone.calls[-1].is_over or transport is Transport.TCP or world.branches_at_cut == 0,
    }


def answers(call: PhoneCall) -> None:
    call.ring()
    call.answer()


def finals(call: FakeCall) -> list[int]:
    """The statuses of all distinct final responses."""
    return sorted({(r.to_tag, r.status): r.status for r in call.responses if r.status >= 200}.values())


def finals_over(transport: Transport, call: FakeCall) -> list[int]:
    """The statuses of the final responses: one over UDP.

    A phone that answered, and whose connection died with the server, registers again and is called again:
    the PBX gets a second 2xx, which it ends as RFC 3261 13.2.2.4 has it.
    """
    return finals(call) if transport is Transport.UDP else sorted(set(finals(call)))


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
@pytest.mark.parametrize(("course", "status"), [(a_call, 200), (a_cancelled_call, 487)])
async def test_a_cut_at_any_moment_of_a_call_ends_it_as_without_a_cut(
    course: Callable[[CutWorld, Transport], Awaitable[Facts]], status: int, transport: Transport
) -> None:
    def through(world: CutWorld) -> Awaitable[Facts]:
        return course(world, transport)

    uncut, expected = await course_of(through)
    assert (expected["finals"], expected["held"]) == ([status], 0)
    lost = []
    for cut in range(1, uncut.knife.count + 1):
        world, found = await course_of(through, cut)
        repeats(world)
        if found["is_lost"]:
            assert found["finals"] == []
            # Either the PBX had our 100 and the INVITE was not stored yet, or it had our 200 to its CANCEL
            # and we had not acted on it: whatever is said before it is stored has such a moment.
            is_cancelled = "CANCEL" in world.knife.moments[cut - 1] or status == 487
            assert is_cancelled or not world.cut_with_a_held_call, cut_before(uncut.knife, cut)
            lost.append(cut)
        else:
            assert found == expected, cut_before(uncut.knife, cut)
    assert len(lost) <= MOST_LOST[status], lost
