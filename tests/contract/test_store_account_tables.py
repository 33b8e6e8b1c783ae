"""What every store promises about accounts, push registrations and push targets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.contract.stores import (
    ENGINES,
    NOW,
    account,
    credentials,
    enrol,
    life,
    opened,
    push,
    registration,
    target,
    write_each,
)
from wakerobin.core.pushes import Lane
from wakerobin.core.values import (
    Account,
    Algorithm,
    BindingState,
    Ended,
    Life,
    Platform,
    Provider,
    Purpose,
    PushRegistration,
    Secret,
    Transport,
)
from wakerobin.ports.store import KeptAccount, Store, Transaction, Trial


@pytest.fixture(params=ENGINES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(request.param(tmp_path)) as store:
        yield store


def ids(registrations: list[PushRegistration]) -> list[int]:
    return [r.id for r in registrations]


async def refused(store: Store, work: Callable[[Transaction], object]) -> None:
    """Expect that a broken rule is a ValueError and keeps nothing."""
    with pytest.raises(ValueError, match=r".+"):
        await store.transact(work)


@pytest.mark.parametrize(
    "given",
    [
        account(),
        account(
            registrar="",
            outbound_proxy="",
            transport=Transport.UDP,
            proven=False,
            realm="",
            algorithm=Algorithm.MD5,
            state=BindingState.UNPROVEN,
            reason_code="",
            reason="",
            state_since_at=0,
        ),
        account(realm="Büro \udcff\udce4", reason="\udc80 says no"),
        *[account(state=state) for state in BindingState],
    ],
)
async def test_an_account_comes_back_as_it_was_given(store: Store, given: Account) -> None:
    stored = await store.transact(lambda tx: tx.accounts.add(given))
    assert stored == replace(given, id=stored.id)
    assert store.read(lambda tx: tx.accounts.get(stored.id)) == stored


async def test_accounts_are_found_by_aor_and_by_our_contact(store: Store) -> None:
    def fill(tx: Transaction) -> list[Account]:
        return [
            tx.accounts.add(a) for a in (account(), account(app="other", contact_user="c2"), account("bert"))
        ]

    first, second, third = await store.transact(fill)
    assert store.read(lambda tx: tx.accounts.by_aor("sip:anna@pbx.example")) == [first, second]
    assert store.read(lambda tx: tx.accounts.by_aor("sip:nobody@pbx.example")) == []
    assert store.read(lambda tx: tx.accounts.by_contact_user("contact-bert")) == third
    assert store.read(lambda tx: tx.accounts.by_contact_user("nobody")) is None
    assert store.read(lambda tx: tx.accounts.get(third.id + 1)) is None


async def test_accounts_are_found_by_the_user_of_their_aor_whatever_the_domain(store: Store) -> None:
    users = ("anna", "annabel", "ann", "anna.b")
    aors = [f"sip:{user}@{domain}" for user in users for domain in ("x.example", "pbx.example")]
    made = [account(f"n{n}", aor=aor) for n, aor in enumerate(aors)]
    await store.transact(lambda tx: [tx.accounts.add(one) for one in made])
    found = store.read(lambda tx: tx.accounts.by_user("anna", 9))
    assert [one.aor for one in found] == ["sip:anna@pbx.example", "sip:anna@x.example"]
    assert len(store.read(lambda tx: tx.accounts.by_user("anna", 1))) == 1
    assert (
        store.read(lambda tx: [tx.accounts.by_user(one, 9) for one in ("", "nobody", "%", "an")]) == [[]] * 4
    )


async def test_an_empty_contact_user_belongs_to_nobody_and_may_be_had_by_many(store: Store) -> None:
    await store.transact(lambda tx: [tx.accounts.add(account(n, contact_user="")) for n in ("a", "b")])
    assert store.read(lambda tx: tx.accounts.by_contact_user("")) is None


async def test_an_account_is_unique_by_app_and_aor_and_by_its_contact_user(store: Store) -> None:
    stored = await store.transact(lambda tx: tx.accounts.add(account()))
    await refused(store, lambda tx: tx.accounts.add(account(contact_user="another")))
    await refused(store, lambda tx: tx.accounts.add(stored))
    await refused(store, lambda tx: tx.accounts.add(account("bert", contact_user=stored.contact_user)))
    bert = await store.transact(lambda tx: tx.accounts.add(account("bert")))
    await refused(store, lambda tx: tx.accounts.update(replace(bert, aor=stored.aor)))
    assert store.read(lambda tx: tx.accounts.page(0, 9)) == [stored, bert]


async def test_an_account_is_updated_as_a_whole_and_only_where_it_exists(store: Store) -> None:
    def fill(tx: Transaction) -> tuple[Account, Account]:
        return tx.accounts.add(account()), tx.accounts.add(account("bert"))

    anna, bert = await store.transact(fill)
    changed = replace(account("carl", app="x", proven=False, slot=4095, realm="r", created_at=1), id=anna.id)
    await store.transact(lambda tx: tx.accounts.update(changed))
    assert store.read(lambda tx: tx.accounts.page(0, 9)) == [changed, bert]
    await refused(store, lambda tx: tx.accounts.update(account("dora")))


async def test_accounts_are_paged_in_order_of_their_ids(store: Store) -> None:
    names = ["e", "d", "c", "b", "a"]
    stored = await store.transact(lambda tx: [tx.accounts.add(account(n)) for n in names])
    page = store.read(lambda tx: tx.accounts.page(0, 2))
    assert page == stored[:2]
    assert store.read(lambda tx: tx.accounts.page(page[-1].id, 99)) == stored[2:]
    assert store.read(lambda tx: tx.accounts.page(stored[-1].id, 99)) == []


async def test_the_fleet_is_paged_without_accounts_that_are_not_proven(store: Store) -> None:
    def fill(tx: Transaction) -> list[Account]:
        states = (BindingState.REGISTERED, BindingState.UNPROVEN, BindingState.REFUSED)
        return [tx.accounts.add(account(f"a{n}", proven=n != 1, state=s)) for n, s in enumerate(states)]

    first, _, last = await store.transact(fill)
    kept = [
        KeptAccount(a.id, a.state, a.aor, a.registrar, a.outbound_proxy, a.transport) for a in (first, last)
    ]
    assert store.read(lambda tx: tx.accounts.kept(0, 9)) == kept
    assert store.read(lambda tx: tx.accounts.kept(0, 1)) == kept[:1]
    assert store.read(lambda tx: tx.accounts.kept(first.id, 9)) == kept[1:]


async def test_credentials_are_stored_replaced_and_erased(store: Store) -> None:
    id_ = (await store.transact(lambda tx: tx.accounts.add(account()))).id
    assert store.read(lambda tx: tx.accounts.credentials(id_)) is None
    for given in (credentials(), credentials(None), credentials("")):
        await write_each(store, lambda tx: partial(tx.accounts.set_credentials, id_), [given])
        assert store.read(lambda tx: tx.accounts.credentials(id_)) == given
    await store.transact(lambda tx: tx.accounts.set_credentials(id_, None))
    assert store.read(lambda tx: tx.accounts.credentials(id_)) is None
    await store.transact(lambda tx: tx.accounts.set_credentials(id_, None))
    await refused(store, lambda tx: tx.accounts.set_credentials(id_ + 1, credentials()))


async def test_an_account_goes_with_its_credentials_but_not_before_its_registrations(store: Store) -> None:
    def fill(tx: Transaction) -> tuple[int, int]:
        id_ = tx.accounts.add(account()).id
        tx.accounts.set_credentials(id_, credentials())
        return id_, enrol(tx, account_id=id_)

    id_, registration_id = await store.transact(fill)
    await refused(store, lambda tx: tx.accounts.remove(id_))
    assert store.read(lambda tx: tx.accounts.credentials(id_)) == credentials()
    await store.transact(lambda tx: tx.registrations.remove(registration_id))
    await store.transact(lambda tx: tx.accounts.remove(id_))
    assert store.read(lambda tx: tx.accounts.get(id_)) is None
    assert store.read(lambda tx: tx.accounts.credentials(id_)) is None
    await store.transact(lambda tx: tx.accounts.remove(id_))


def add(given: PushRegistration, tx: Transaction) -> PushRegistration:
    return tx.registrations.add(given)


def both_ways(given: PushRegistration, tx: Transaction) -> tuple[PushRegistration | None, ...]:
    return tx.registrations.get(given.id), tx.registrations.by_public_id(given.public_id)


async def test_a_registration_comes_back_as_it_was_given(store: Store) -> None:
    account_id = (await store.transact(lambda tx: tx.accounts.add(account()))).id
    plain = PushRegistration(
        public_id="pr_plain",
        account_id=account_id,
        app="softphone",
        installation="i",
        sip_instance="s",
        secret_hash=b"",
        lifetime=registration(1).lifetime,
        created_at=NOW,
    )
    platforms = [registration(account_id, str(p), platform=p) for p in Platform]
    for given in (registration(account_id), plain, *platforms):
        stored = await store.transact(partial(add, given))
        assert stored == replace(given, id=stored.id)
        assert await store.transact(partial(both_ways, stored)) == (stored, stored)


async def test_what_a_caller_does_to_a_row_in_its_hands_changes_nothing_stored(store: Store) -> None:
    def add(tx: Transaction) -> PushRegistration:
        return tx.registrations.add(registration(tx.accounts.add(account()).id, capabilities={"a": True}))

    stored = await store.transact(add)
    read = store.read(lambda tx: tx.registrations.get(stored.id))
    assert read is not None
    read.capabilities["b"] = True
    again = store.read(lambda tx: tx.registrations.get(stored.id))
    assert again is not None
    assert again.capabilities == {"a": True}


async def test_a_registration_needs_its_account_and_a_public_id_of_its_own(store: Store) -> None:
    id_ = await store.transact(enrol)
    stored = store.read(lambda tx: tx.registrations.get(id_))
    assert stored is not None
    await refused(store, lambda tx: tx.registrations.add(stored))
    await refused(store, lambda tx: tx.registrations.add(registration(stored.account_id + 1)))
    await refused(
        store, lambda tx: tx.registrations.update(replace(stored, id=id_ + 1, public_id="pr_other"))
    )
    changed = replace(
        stored, secret_hash=b"new", proven=False, capabilities={}, locale="", platform=Platform.WEB
    )
    await store.transact(lambda tx: tx.registrations.update(changed))
    assert store.read(lambda tx: tx.registrations.page(0, 9)) == [changed]


async def test_registrations_are_found_by_installation_ended_ones_too(store: Store) -> None:
    def fill(tx: Transaction) -> tuple[int, list[int], int]:
        first, other = tx.accounts.add(account()).id, tx.accounts.add(account("bert")).id
        mine = [tx.registrations.add(registration(first, "phone", public_id=f"pr_{n}")).id for n in range(3)]
        tx.lives.add(life(mine[0], ended=Ended.EXPIRED, ended_at=NOW, next_at=None))
        enrol(tx, "tablet", first)
        return first, mine, enrol(tx, "phone", other)

    first, mine, other = await store.transact(fill)
    assert store.read(lambda tx: ids(tx.registrations.by_installation(first, "installation-phone"))) == mine
    assert store.read(lambda tx: tx.registrations.by_installation(first, "installation-watch")) == []
    assert other not in mine


async def test_of_an_account_are_those_whose_life_has_not_ended_begun_or_not(store: Store) -> None:
    def fill(tx: Transaction) -> tuple[int, list[int]]:
        account_id = tx.accounts.add(account()).id
        made = [enrol(tx, str(n), account_id) for n in range(4)]
        enrol(tx, "of another account")
        tx.lives.add(life(made[0]))
        tx.lives.add(life(made[1], ended=Ended.DELETED, ended_at=NOW, next_at=None))
        unproven = tx.registrations.get(made[2])
        assert unproven is not None
        tx.registrations.update(replace(unproven, proven=False))
        return account_id, made

    account_id, made = await store.transact(fill)
    assert store.read(lambda tx: ids(tx.registrations.of_account(account_id))) == [made[0], made[2], made[3]]


async def test_a_call_to_an_account_can_wake_what_lives_is_proven_and_has_a_target_for_calls(
    store: Store,
) -> None:
    notices = frozenset({Purpose.NOTICE})

    def fill(tx: Transaction) -> tuple[int, list[int]]:
        account_id = tx.accounts.add(account()).id
        made = [enrol(tx, str(n), account_id) for n in range(5)]
        tx.lives.add(life(made[0], ended=Ended.DELETED, ended_at=NOW, next_at=None))
        for id_ in made[1:]:
            tx.lives.add(life(id_))
        unproven = tx.registrations.get(made[1])
        assert unproven is not None
        tx.registrations.update(replace(unproven, proven=False))
        for id_ in made[:4]:
            tx.targets.add(target(id_, f"a{id_}"))
        tx.targets.add(target(made[3], "another"))
        tx.targets.add(target(made[3], "for notices", purposes=notices))
        tx.targets.add(target(made[4], "for notices", purposes=notices))
        other = enrol(tx, "of another account")
        tx.lives.add(life(other))
        tx.targets.add(target(other, "z"))
        return account_id, made

    account_id, made = await store.transact(fill)
    found = store.read(lambda tx: tx.registrations.callees(account_id))

    def each(tx: Transaction) -> list[tuple[PushRegistration | None, Life | None]]:
        return [(tx.registrations.get(id_), tx.lives.get(id_)) for id_ in made[2:4]]

    assert [(one.registration, one.life) for one in found] == store.read(each)
    assert [[one_target.token.reveal() for one_target in one.targets] for one in found] == [
        [f"a{made[2]}"],
        [f"a{made[3]}", "another"],
    ]


async def test_of_an_installation_are_the_living_of_every_account_in_its_app(store: Store) -> None:
    def fill(tx: Transaction) -> list[int]:
        first, second = enrol(tx, "phone"), tx.accounts.add(account("bert")).id
        others = [
            tx.registrations.add(registration(second, "phone")).id,
            tx.registrations.add(registration(second, "phone", public_id="pr_ended")).id,
            tx.registrations.add(registration(second, "phone", public_id="pr_app", app="deskphone")).id,
            enrol(tx, "tablet", second),
        ]
        tx.lives.add(life(others[1], ended=Ended.EXPIRED, ended_at=NOW, next_at=None))
        return [first, *others]

    made = await store.transact(fill)
    found = store.read(lambda tx: ids(tx.registrations.of_installation("softphone", "installation-phone")))
    assert found == made[:2]
    assert store.read(lambda tx: tx.registrations.of_installation("softphone", "installation-watch")) == []


async def test_a_sip_instance_means_the_living_then_the_proven_then_the_newest(store: Store) -> None:
    instance = "urn:uuid:the-same"

    def add(tx: Transaction, account_id: int, name: str, *, proven: bool, has_ended: bool) -> int:
        given = registration(account_id, name, sip_instance=instance, proven=proven)
        id_ = tx.registrations.add(given).id
        end = {"ended": Ended.EXPIRED, "ended_at": NOW, "next_at": None} if has_ended else {}
        tx.lives.add(life(id_, **end))
        return id_

    def fill(tx: Transaction) -> tuple[int, list[int]]:
        account_id = tx.accounts.add(account()).id
        made = [
            add(tx, account_id, "best", proven=True, has_ended=False),
            add(tx, account_id, "unproven", proven=False, has_ended=False),
            add(tx, account_id, "older end", proven=True, has_ended=True),
            add(tx, account_id, "newer end", proven=True, has_ended=True),
        ]
        enrol(tx, "of another account")
        return account_id, made

    account_id, (best, unproven, older, newer) = await store.transact(fill)
    for expected in (best, unproven, newer, older):
        found = store.read(lambda tx: tx.registrations.by_sip_instance(account_id, instance))
        assert found is not None
        assert found.id == expected
        await write_each(store, lambda tx: tx.registrations.remove, [expected])
    assert store.read(lambda tx: tx.registrations.by_sip_instance(account_id, instance)) is None


async def test_registrations_that_wait_for_their_proof_too_long_are_found(store: Store) -> None:
    def fill(tx: Transaction) -> list[int]:
        account_id = tx.accounts.add(account()).id
        times = [("late", NOW + 2), ("first", NOW), ("second", NOW + 1), ("proven", NOW)]
        return [
            tx.registrations.add(registration(account_id, n, proven=n == "proven", created_at=at)).id
            for n, at in times
        ]

    _, first, second, _ = await store.transact(fill)
    assert store.read(lambda tx: ids(tx.registrations.unproven(NOW + 2, 0, 9))) == [first, second]
    assert store.read(lambda tx: ids(tx.registrations.unproven(NOW + 2, 0, 1))) == [first]
    assert store.read(lambda tx: tx.registrations.unproven(NOW, 0, 9)) == []


@pytest.mark.parametrize(
    ("is_proven", "started_at", "waits"), [(False, 9, True), (True, 9, False), (False, 8, False)]
)
async def test_who_waits_for_the_first_proof_of_an_account_is_left_out(
    store: Store, is_proven: bool, started_at: int, waits: bool
) -> None:
    def fill(tx: Transaction) -> int:
        account_id = tx.accounts.add(account(proven=is_proven)).id
        made = tx.registrations.add(registration(account_id, proven=False, created_at=NOW)).id
        tx.binding_work.put_trial(
            Trial(
                registration_id=made,
                account_id=account_id,
                credentials=credentials(),
                started_at=NOW + started_at,
            )
        )
        return made

    made = await store.transact(fill)
    found = store.read(lambda tx: ids(tx.registrations.unproven(NOW + 1, NOW + 8, 9)))
    assert found == ([] if waits else [made])


async def test_registrations_are_paged_in_order_of_their_ids(store: Store) -> None:
    made = await store.transact(lambda tx: [enrol(tx, str(n)) for n in range(5)])
    assert store.read(lambda tx: ids(tx.registrations.page(made[1], 2))) == made[2:4]
    assert store.read(lambda tx: ids(tx.registrations.page(0, 99))) == made


async def test_a_registration_goes_with_all_that_hangs_on_it_and_nothing_else(store: Store) -> None:
    def fill(tx: Transaction) -> tuple[int, int]:
        made = enrol(tx, "goes"), enrol(tx, "stays")
        for id_ in made:
            tx.targets.add(target(id_))
            tx.lives.add(life(id_))
            tx.outbox.add(push(id_))
            trial = Trial(registration_id=id_, account_id=1, credentials=credentials(), started_at=NOW)
            tx.binding_work.put_trial(trial)
        return made

    goes, stays = await store.transact(fill)
    await store.transact(lambda tx: tx.registrations.remove(goes))

    def what_is_left(tx: Transaction) -> tuple[list[int], ...]:
        return (
            ids(tx.registrations.page(0, 9)),
            [id_ for id_ in (goes, stays) if tx.targets.of_registration(id_)],
            [id_ for id_ in (goes, stays) if tx.lives.get(id_)],
            [row.registration_id for row in tx.outbox.due(Lane.WARNINGS, NOW, 9)],
            [trial.registration_id for trial in tx.binding_work.trials()],
        )

    assert store.read(what_is_left) == ([stays],) * 5
    await store.transact(lambda tx: tx.registrations.remove(goes))


async def test_targets_come_back_as_they_were_given_in_the_order_of_adding(store: Store) -> None:
    registration_id = await store.transact(enrol)
    given = [
        target(registration_id, "voip", purposes=frozenset({Purpose.CALL})),
        target(
            registration_id, "alert \udcff", purposes=frozenset({Purpose.NOTICE}), topic="", environment=""
        ),
        target(registration_id, "both", accepted_at=0, refused_at=0),
    ]
    stored = await store.transact(lambda tx: [tx.targets.add(t) for t in given])
    assert [replace(t, id=0) for t in stored] == given
    assert store.read(lambda tx: tx.targets.of_registration(registration_id)) == stored
    assert store.read(lambda tx: tx.targets.of_registration(registration_id + 1)) == []


async def test_a_token_is_found_at_all_who_have_it_at_this_provider(store: Store) -> None:
    one, other = await store.transact(lambda tx: [enrol(tx, "one"), enrol(tx, "other")])
    ours, theirs = await store.transact(
        lambda tx: [tx.targets.add(target(one)), tx.targets.add(target(other))]
    )
    await store.transact(lambda tx: tx.targets.add(target(one, "another")))
    await store.transact(lambda tx: tx.targets.add(target(other, provider=Provider.FCM)))
    assert store.read(lambda tx: tx.targets.with_token(Provider.APNS, ours.token)) == [ours, theirs]
    assert store.read(lambda tx: tx.targets.with_token(Provider.WEBPUSH, ours.token)) == []


async def test_a_registration_without_a_payload_key_gets_one_and_loses_it_again(store: Store) -> None:
    account_id = (await store.transact(lambda tx: tx.accounts.add(account()))).id
    without = await store.transact(
        lambda tx: tx.registrations.add(registration(account_id, payload_key=Secret("")))
    )
    for key in ("k" * 43, ""):
        changed = replace(without, payload_key=Secret(key))
        await store.transact(lambda tx: tx.registrations.update(changed))  # noqa: B023 - run at once
        assert store.read(lambda tx: tx.registrations.get(without.id)) == changed


async def test_targets_are_found_by_what_they_may_be_used_for(store: Store) -> None:
    purposes = {
        "both": frozenset(Purpose),
        "rings": frozenset({Purpose.CALL}),
        "shows": frozenset({Purpose.NOTICE}),
    }

    def fill(tx: Transaction) -> int:
        id_ = enrol(tx)
        for token, of in purposes.items():
            tx.targets.add(target(id_, token, purposes=of))
        return id_

    id_ = await store.transact(fill)
    for purpose, expected in (
        (None, [*purposes]),
        (Purpose.CALL, ["both", "rings"]),
        (Purpose.NOTICE, ["both", "shows"]),
    ):
        found = store.read(lambda tx: tx.targets.of_registration(id_, purpose))  # noqa: B023 - read at once
        assert [one.token.reveal() for one in found] == expected


async def test_an_accepted_push_is_noted_at_its_target_and_clears_what_was_suspected(store: Store) -> None:
    id_ = await store.transact(enrol)
    given = await store.transact(lambda tx: [tx.targets.add(target(id_, token)) for token in "ab"])
    first = given[0]
    await store.transact(lambda tx: tx.targets.note_accepted(first.id, NOW + 77))
    noted = replace(first, accepted_at=NOW + 77, refused_at=0)
    assert store.read(lambda tx: tx.targets.of_registration(id_)) == [noted, *given[1:]]
    await store.transact(lambda tx: tx.targets.note_accepted(12345, NOW))


async def test_the_environment_that_accepted_a_push_is_kept_until_another_one_does(store: Store) -> None:
    id_ = await store.transact(enrol)
    first = await store.transact(lambda tx: tx.targets.add(target(id_, "a")))
    for told, kept in (("sandbox", "sandbox"), ("", "sandbox"), ("production", "production")):
        await store.transact(lambda tx: tx.targets.note_accepted(first.id, NOW, told))  # noqa: B023 - run at once
        assert store.read(lambda tx: tx.targets.of_registration(id_))[0].environment == kept


async def test_a_target_is_changed_and_removed(store: Store) -> None:
    registration_id = await store.transact(enrol)
    first, second = await store.transact(
        lambda tx: [tx.targets.add(target(registration_id, t)) for t in "ab"]
    )
    changed = replace(first, token=Secret("rotated"), reported_at=NOW + 9, purposes=frozenset({Purpose.CALL}))
    await store.transact(lambda tx: tx.targets.update(changed))
    assert store.read(lambda tx: tx.targets.of_registration(registration_id)) == [changed, second]
    await store.transact(lambda tx: tx.targets.remove(first.id))
    await store.transact(lambda tx: tx.targets.remove(first.id))
    assert store.read(lambda tx: tx.targets.of_registration(registration_id)) == [second]


async def test_a_token_is_unique_in_its_registration_but_not_beyond(store: Store) -> None:
    one, other = await store.transact(lambda tx: (enrol(tx, "one"), enrol(tx, "other")))
    first = await store.transact(lambda tx: tx.targets.add(target(one)))
    await refused(store, lambda tx: tx.targets.add(target(one, topic="another")))
    await refused(store, lambda tx: tx.targets.add(first))
    await refused(store, lambda tx: tx.targets.add(target(other + 1)))
    await refused(store, lambda tx: tx.targets.update(replace(first, id=first.id + 1, token=Secret("x"))))
    await store.transact(lambda tx: tx.targets.add(target(other)))
    assert store.read(lambda tx: len(tx.targets.of_registration(one))) == 1
