"""What must be true after many kills: of the push service's log, of the PBX, and of the store.

Each function returns what is wrong, in words; nothing is wrong where it returns nothing.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator

from tests.system.survival.ringing import MadeCall
from tests.system.survival.town import SMALLEST_LEAD_S, WARNINGS, App, Town
from wakerobin.core.pushes import OUTLIVES_USE
from wakerobin.core.values import Ended
from wakerobin.net.clock import SystemClock
from wakerobin.ports.options import StoreOptions
from wakerobin.ports.store import Transaction
from wakerobin.store import open_store
from wakerobin.testing.pns import ReceivedPush

IN_FLIGHT = 1.0
"""Seconds within which an accepted push is settled; one that is older at a kill is not sent again."""
HEDGED = 0.9
"""A call push that nobody answers for a second is sent twice by the push service's client."""
RAN = 0.5
"""Seconds in which a server that started has surely sent what is in its outbox."""
LATE = 0.5
"""Seconds after an acknowledged use in which a push of the old generation may still be on its way."""
TOLERANCE = 0.2


def wrong_pushes(town: Town) -> Iterator[str]:
    """A push is repeated under its own key only, and only around a kill."""
    by_id: dict[str, list[ReceivedPush]] = defaultdict(list)
    for push in town.pns.pushes:
        if not push.is_accepted:
            yield f"refused with {push.status} {push.reason}: {push.type}"
        if push.headers["apns-id"] != push.payload["wakerobin"]["id"]:
            yield f"a push with two ids: {push.headers}"
        by_id[push.headers["apns-id"]].append(push)
    for pushes in by_id.values():
        keys = {(p.token, p.type, p.headers.get("apns-collapse-id")) for p in pushes}
        if len(keys) > 1:
            yield f"one id, several pushes: {keys}"
        for before, after in itertools.pairwise(pushes):
            yield from _wrong_repeat(town, before, after)


def _wrong_repeat(town: Town, before: ReceivedPush, after: ReceivedPush) -> Iterator[str]:
    said = f"{before.type} of generation {before.payload['wakerobin']['generation']}"
    first, second = town.run_of(before), town.run_of(after)
    gap = after.at - before.at
    if first == second:
        if before.type != "call" or gap < HEDGED:
            yield f"{said} was sent twice within one run, {gap:.3f} s apart"
        return
    age = town.server.kills[first - 1] - before.at
    if before.type != "call" and age > IN_FLIGHT:
        yield f"{said} was sent again although it was accepted {age:.3f} s before the kill"


def wrong_life(town: Town, app: App, *, is_over: bool) -> Iterator[str]:
    """What one app saw of its life, from the pushes that it got. `is_over`: it was left in a drawer."""
    yield from app.broken
    pushes = [p for p in town.pns.pushes if p.token == app.notice_token]
    warnings: dict[int, list[ReceivedPush]] = defaultdict(list)
    notices: dict[str, ReceivedPush] = {}
    for push in pushes:
        generation = push.payload["wakerobin"]["generation"]
        if push.type == "expiry-warning":
            warnings[generation].append(push)
        if push.type == "expired":
            notices.setdefault(push.headers["apns-id"], push)
        elif notices:
            yield f"{push.type} after the notice of the end"
        yield from _wrong_generation(app, push, generation)
    for generation, sent in warnings.items():
        yield from _wrong_warnings(town, generation, sent)
    if len(notices) != (1 if is_over else 0):
        yield f"{len(notices)} notices of the end"
    if is_over and notices:
        yield from _wrong_end(app, [push.at for push in warnings[app.generation]], *notices.values())


def _wrong_warnings(town: Town, generation: int, sent: list[ReceivedPush]) -> Iterator[str]:
    """Each warning of the plan at most once, and the one of last resort only where it may be owed.

    That is so where the server was killed with the last warning in flight, and hardly ran until the end that
    this warning announces: nobody knows whether it was accepted, and law 3 wants one that was.
    """
    ids = list(dict.fromkeys(push.headers["apns-id"] for push in sent))
    in_flight = [
        push
        for push in sent
        if 0 <= town.server.kills_after(push.at) - push.at < IN_FLIGHT
        and not town.server.ran(push.at, push.at + _announced_in(push), at_least=RAN)
    ]
    if len(ids) > WARNINGS + (1 if in_flight else 0):
        first = sent[0].at
        at = ", ".join(f"{push.at - first:.3f}" for push in sent)
        yield f"{len(ids)} warnings in generation {generation}: {at}"


def _announced_in(push: ReceivedPush) -> float:
    said = push.payload["wakerobin"]
    return float(said["expires_at"] - said["sent_at"])


def _wrong_generation(app: App, push: ReceivedPush, generation: int) -> Iterator[str]:
    if push.type in OUTLIVES_USE:
        return  # a missed call stays missed
    newer = [at for at, acknowledged in app.acknowledged if acknowledged > generation]
    if newer and push.at > newer[0] + LATE:
        yield f"{push.type} of generation {generation} came {push.at - newer[0]:.3f} s after a newer one"


def _wrong_end(app: App, warned_at: list[float], notice: ReceivedPush, *_more: ReceivedPush) -> Iterator[str]:
    if notice.payload["wakerobin"]["sent_at"] < app.expires_at:
        yield "it ended before the end that was acknowledged"
    if not warned_at:
        yield "it ended unwarned"
    elif notice.at < max(warned_at) + SMALLEST_LEAD_S - TOLERANCE:
        yield f"it ended {notice.at - max(warned_at):.3f} s after its last warning"


def wrong_calls(town: Town, made: list[MadeCall]) -> Iterator[str]:
    """Every call that was stored before the kill has exactly one final response, and one early dialog."""
    for one in made:
        said = f"call {one.manner!r}: {one.call}"
        finals = {(r.status, r.to_tag) for r in one.call.responses if r.status >= 200}
        if len(finals) > 1:
            yield f"{len(finals)} final responses, {said}"
        if not finals and not one.was_cut_early(town.server.kills):
            yield f"no final response, {said}"
        ours = {r.to_tag for r in one.call.responses if r.status == 180 and not r.message.has("Contact")}
        if len(ours) > 1:
            yield f"{len(ours)} early dialogs of ours, {said}"
        if one.unoffered:
            yield f"its awake phone did not get it {one.unoffered} times, {said}"
        if one.is_talking and not one.is_hung_up:
            yield f"the BYE was not answered, {said}, {[r.status for r in one.call.replies]}"


def wrong_contacts(town: Town, apps: list[App], *, is_over: bool) -> Iterator[str]:
    """The binding lives as long as the push registration does (law 6)."""
    for app in apps:
        contacts = town.pbx.contacts(app.user)
        if len(contacts) != (0 if is_over else 1):
            yield f"{app.user} has {len(contacts)} contacts at the PBX"


def told_secrets(town: Town, apps: list[App]) -> Iterator[str]:
    """The log of a server that was killed at its busiest tells no secret either."""
    log = "\n".join(town.server.log)
    for app in apps:
        for secret in (app.password, app.secret, app.call_token, app.notice_token, app.installation):
            if secret in log:
                yield f"the log tells a secret of {app.user}"


async def wrong_store(town: Town, over: dict[str, Ended]) -> list[str]:
    """Read the store of the stopped server; `over` are the users whose lives have ended, and how."""
    loop = town.server.loop
    store = open_store(StoreOptions(), town.server.data_folder, town.server.key_file, SystemClock(loop))
    try:
        return store.read(lambda tx: list(_wrong_store(tx, over)))
    finally:
        await store.close()


def _wrong_store(tx: Transaction, over: dict[str, Ended]) -> Iterator[str]:
    if tx.outbox.next_due() is not None:
        yield "the outbox is not empty"
    if tx.binding_work.unregisters():
        yield "an un-REGISTER was not done"
    if tx.binding_work.trials():
        yield "credentials wait for their proof"
    if tx.calls.held():
        yield "a call is still held"
    seen: set[str] = set()
    for account in tx.accounts.page(0, 10_000):
        user = account.aor.removeprefix("sip:").partition("@")[0]
        seen.add(user)
        living = tx.registrations.of_account(account.id)
        has_credentials = tx.accounts.credentials(account.id) is not None
        if len(living) != (0 if user in over else 1):
            yield f"{user} has {len(living)} living registrations"
        if has_credentials is (user in over):
            yield f"{user}: credentials {'kept' if has_credentials else 'lost'}"
    yield from (f"{user} is not known" for user in over.keys() - seen)
    yield from _wrong_ends(tx, over)


def _wrong_ends(tx: Transaction, over: dict[str, Ended]) -> Iterator[str]:
    registrations = tx.registrations.page(0, 10_000)
    newest = {one.account_id: one.id for one in registrations}
    for registration in registrations:
        life = tx.lives.get(registration.id)
        account = tx.accounts.get(registration.account_id)
        if life is None or account is None or life.ended is None:
            continue
        user = account.aor.removeprefix("sip:").partition("@")[0]
        if tx.targets.of_registration(registration.id):
            yield f"{user}: push tokens were kept beyond the end"
        expected = over.get(user, Ended.DELETED)
        # A registration whose enrolment was never acknowledged made way for the one that was.
        made_way = life.ended is Ended.DELETED and registration.id != newest[account.id]
        if registration.proven and life.ended is not expected and not made_way:
            yield f"{user} ended as {life.ended}"
