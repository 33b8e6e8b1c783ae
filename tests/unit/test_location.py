"""Where the phones are: one flow for each, until it ends."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wakerobin.core.location import MOST_PHONES, Granted, Locations, grant
from wakerobin.core.values import Flow, PhoneFlow, Transport

US = ("198.51.100.1", 5060)


def flow(number: int = 1, *, tcp: bool = False) -> Flow:
    transport = Transport.TCP if tcp else Transport.UDP
    return Flow(transport, US, (f"203.0.113.{number}", 5060), number if tcp else 0)


def phone(
    number: int = 1, account: int = 1, registration: int = 0, instance: str = "", expires: float = 300.0
) -> PhoneFlow:
    return PhoneFlow(
        account_id=account,
        registration_id=registration,
        flow=flow(number),
        contact_uri=f"sip:alice@203.0.113.{number}",
        instance=instance,
        heard_at=0.0,
        expires_at=expires,
    )


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (None, Granted(200, 3600)),
        (0, Granted(200, 0)),
        (1, Granted(423, 60)),
        (59, Granted(423, 60)),
        (60, Granted(200, 60)),
        (3600, Granted(200, 3600)),
        (3601, Granted(200, 3600)),
    ],
)
def test_an_expiry_is_granted_within_bounds(asked: int | None, answer: Granted) -> None:
    assert grant(asked, 60, 3600) == answer


def test_a_phone_that_comes_back_elsewhere_has_its_new_flow_only() -> None:
    places = Locations()
    places.registered(phone(1, registration=7))
    places.registered(phone(2, registration=7))
    assert places.phones(1, 0.0) == [phone(2, registration=7)]
    assert places.on_flow(flow(1), 0.0) == []
    assert len(places) == 1


def test_the_same_instance_is_the_same_phone_whatever_registration_it_has() -> None:
    places = Locations()
    places.registered(phone(1, registration=7, instance="urn:uuid:1"))
    places.registered(phone(2, registration=0, instance="urn:uuid:1"))
    assert [one.registration_id for one in places.phones(1, 0.0)] == [0]


def test_the_same_contact_is_the_same_phone_unless_their_instances_differ() -> None:
    places = Locations()
    places.registered(phone(1, registration=7))
    places.registered(replace(phone(1), registration_id=0))
    assert [one.registration_id for one in places.phones(1, 0.0)] == [0]
    places.registered(phone(1, instance="urn:uuid:1"))
    places.registered(phone(1, instance="urn:uuid:2"))
    assert len(places) == 2


def test_accounts_on_one_flow_do_not_touch_each_other() -> None:
    places = Locations()
    places.registered(phone(1, account=1))
    places.registered(phone(1, account=2))
    assert {one.account_id for one in places.on_flow(flow(1), 0.0)} == {1, 2}
    places.unregistered(1, "sip:alice@203.0.113.1")
    assert {one.account_id for one in places.on_flow(flow(1), 0.0)} == {2}


def test_a_contact_is_taken_back_by_uri_comparison() -> None:
    places = Locations()
    places.registered(phone(1))
    places.unregistered(1, "sip:bob@203.0.113.1")
    assert len(places) == 1
    places.unregistered(1, "SIP:alice@203.0.113.1;x=1")
    assert len(places) == 0
    places.unregistered(1, "nonsense")


def test_taking_back_an_older_contact_leaves_the_newer_one() -> None:
    places = Locations()
    places.registered(phone(1, registration=7))
    places.registered(phone(2, registration=7))
    places.unregistered(1, "sip:alice@203.0.113.1")
    assert len(places) == 1


def test_a_star_clears_the_account_only() -> None:
    places = Locations()
    places.registered(phone(1))
    places.registered(phone(2))
    places.registered(phone(3, account=2))
    places.cleared(1)
    assert places.phones(1, 0.0) == []
    assert len(places.phones(2, 0.0)) == 1


def test_a_closed_connection_takes_all_its_phones_and_no_other() -> None:
    places = Locations()
    places.registered(phone(1, account=1))
    places.registered(phone(1, account=2))
    places.registered(phone(2, account=1))
    places.closed(flow(1))
    assert len(places) == 1
    places.closed(flow(9))
    assert len(places) == 1


def test_the_most_recently_heard_comes_first() -> None:
    places = Locations()
    places.registered(phone(1))
    places.registered(phone(2))
    places.heard(flow(1), 5.0)
    assert [one.heard_at for one in places.phones(1, 6.0)] == [5.0, 0.0]
    places.heard(flow(2), 6.0)
    assert [one.flow for one in places.phones(1, 6.0)] == [flow(2), flow(1)]
    places.heard(flow(9), 7.0)


def test_what_has_expired_is_not_shown_and_is_dropped_at_the_deadline() -> None:
    places = Locations()
    assert places.deadline is None
    places.registered(phone(1, expires=60.0))
    assert places.deadline == 60.0
    assert places.phones(1, 60.0) == []
    assert places.on_flow(flow(1), 60.0) == []
    assert places.expire(59.9) == []
    assert places.expire(60.0) == [phone(1, expires=60.0)]
    assert len(places) == 0
    assert places.deadline is None


def test_a_refresh_puts_the_end_off() -> None:
    places = Locations()
    places.registered(phone(1, expires=60.0))
    places.registered(phone(1, expires=120.0))
    assert places.expire(60.0) == []
    assert len(places) == 1
    assert places.expire(120.0) == [phone(1, expires=120.0)]


def test_an_account_has_room_for_so_many_phones_and_the_quietest_makes_way() -> None:
    places = Locations()
    for number in range(1, MOST_PHONES + 1):
        places.registered(phone(number))
    places.heard(flow(1), 1.0)
    places.registered(phone(100))
    assert len(places) == MOST_PHONES
    assert places.on_flow(flow(1), 0.0)
    assert not places.on_flow(flow(2), 0.0)


@dataclass
class Naive:
    """The same, by looking at a list."""

    phones: list[PhoneFlow]

    def live(self, account: int, now: float) -> set[str]:
        return {one.contact_uri for one in self.phones if one.account_id == account and one.expires_at > now}


_steps = st.lists(
    st.tuples(
        st.sampled_from(["register", "unregister", "close", "expire", "clear"]),
        st.integers(1, 4),
        st.integers(1, 2),
        st.integers(0, 3),
        st.sampled_from([30.0, 60.0, 90.0]),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(_steps)
def test_it_always_agrees_with_a_list(steps: list[tuple[str, int, int, int, float]]) -> None:
    places, naive, now = Locations(), Naive([]), 0.0
    for what, number, account, registration, seconds in steps:
        now += 7.0
        one = replace(phone(number, account, registration), heard_at=now, expires_at=now + seconds)
        mine = [other for other in naive.phones if other.account_id == account]
        if what == "register":
            places.registered(one)
            gone = [
                other
                for other in mine
                if other.contact_uri == one.contact_uri or other.installation == one.installation
            ]
            naive.phones = [other for other in naive.phones if other not in gone] + [one]
        elif what == "unregister":
            places.unregistered(account, one.contact_uri)
            naive.phones = [o for o in naive.phones if o not in mine or o.contact_uri != one.contact_uri]
        elif what == "close":
            places.closed(one.flow)
            naive.phones = [other for other in naive.phones if other.flow != one.flow]
        elif what == "clear":
            places.cleared(account)
            naive.phones = [other for other in naive.phones if other not in mine]
        else:
            places.expire(now)
            naive.phones = [other for other in naive.phones if other.expires_at > now]
        for account_id in (1, 2):
            shown = {other.contact_uri for other in places.phones(account_id, now)}
            assert shown == naive.live(account_id, now)
        assert len(places) == len(naive.phones)
        assert places.deadline is not None or not naive.phones
